#include "basebackup/file_part.h"

#include <algorithm>
#include <span>

#include "postgres/data_page.h"

namespace walvault {
namespace {

// A page that a server is writing at this moment is whole a moment later.
constexpr int torn_page_looks = 5;
constexpr std::size_t torn_pages_max = 4;  // in a part, for so many looks

void check_pages(FilePart& part, Lsn start, Clock& clock) {
  const auto& file = *part.file;
  for (std::size_t at = 0; at + data_page_bytes <= part.content.size(); at += data_page_bytes) {
    const auto block =
        *file.first_block + static_cast<std::uint32_t>((part.offset + at) / data_page_bytes);
    const auto page = std::span(part.content).subspan(at, data_page_bytes);
    const auto is_wrong = [&] { return judge_page(page, block, start) == PageVerdict::wrong; };
    // Where many are wrong, they are not torn.
    const auto looks = part.damaged_blocks.size() < torn_pages_max ? torn_page_looks : 2;
    for (int look = 1; look < looks && is_wrong(); ++look) {
      part.has_torn_pages = true;
      if (look > 1) clock.sleep_for(torn_page_pause);
      const auto length = read_at(file.file, page, part.offset + at, file.location);
      std::ranges::fill(page.subspan(length), std::uint8_t{0});
    }
    if (is_wrong()) part.damaged_blocks.push_back(block);
  }
}

}  // namespace

void read_part(FilePart& part, Lsn start, Clock& clock) {
  const auto& file = *part.file;
  part.content.resize(part.length);
  const auto length = read_at(file.file, part.content, part.offset, file.location);
  std::fill(part.content.begin() + static_cast<std::ptrdiff_t>(length), part.content.end(),
            std::uint8_t{0});
  if (file.first_block) check_pages(part, start, clock);
}

}  // namespace walvault
