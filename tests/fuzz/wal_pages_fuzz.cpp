// Arbitrary bytes as the pages of WAL segments, read in pieces.
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "catalog/wal/stored_summary.h"
#include "postgres/wal_page.h"

namespace {

using namespace walvault;

constexpr std::size_t pages_max = 64;

void read(ByteView input) {
  if (input.empty()) return;
  const bool in_pieces = (input[0] & 1) != 0;
  const auto bytes = input.subspan(1);
  WalSegmentHeader first;
  try {
    first = parse_wal_segment_header(bytes);
  } catch (const Error&) {
    return;
  }
  const std::size_t page_bytes = first.page_bytes;
  const auto pages = std::min(bytes.size() / page_bytes, pages_max);
  WalSummarizer summarizer(first, first.page.page_address, first.page.timeline);
  for (std::size_t at = 0; at < pages;) {
    const auto count = in_pieces ? 1 : pages;
    summarizer.read(bytes.subspan(at * page_bytes, count * page_bytes));
    at += count;
  }
  // Whatever was read can be stored and read back.
  const auto summary = summarizer.finish();
  if (!(decode_wal_summary(encode_wal_summary({summary}), "fuzzed").summary == summary))
    __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read({data, size});
  return 0;
}
