#include "postgres/wal_page.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <string>

#include "base/error.h"
#include "postgres/segment_name.h"

namespace walvault {
namespace {

struct MagicOfMajor {
  int major;
  std::uint16_t magic;
};

// XLOG_PAGE_MAGIC of each release branch.
constexpr std::array<MagicOfMajor, 6> magics = {
    {{13, 0xD106}, {14, 0xD10D}, {15, 0xD110}, {16, 0xD113}, {17, 0xD116}, {18, 0xD118}}};

constexpr std::uint16_t long_header_flag = 0x0002;  // XLP_LONG_HEADER
constexpr std::uint16_t known_flags = 0x000F;       // XLP_ALL_FLAGS

Error damaged(std::string detail) {
  return {ErrorKind::corrupt, "this is not a valid WAL segment", std::move(detail),
          "Check the file system of pg_wal; pg_waldump shows where a segment breaks off."};
}

}  // namespace

std::optional<std::uint16_t> wal_page_magic(int postgres_major) {
  const auto* const it = std::ranges::find(magics, postgres_major, &MagicOfMajor::major);
  if (it == magics.end()) return std::nullopt;
  return it->magic;
}

std::optional<int> postgres_major_of_magic(std::uint16_t magic) {
  const auto* const it = std::ranges::find(magics, magic, &MagicOfMajor::magic);
  if (it == magics.end()) return std::nullopt;
  return it->major;
}

Lsn wal_page_address(ByteView page) {
  constexpr std::size_t address_offset = 8;
  ByteReader in(page.subspan(address_offset), "a page's header");
  return {in.u64()};
}

WalSegmentHeader parse_wal_segment_header(ByteView segment) {
  if (segment.size() < wal_segment_header_bytes) {
    throw damaged("It has " + std::to_string(segment.size()) + " bytes.");
  }
  if (is_all_zero(segment.first(wal_segment_header_bytes))) {
    throw damaged("It starts with zeros where the first page's header belongs.");
  }
  ByteReader reader(segment.first(wal_segment_header_bytes), "a WAL page header");
  WalSegmentHeader header;
  header.page.magic = reader.u16();
  header.page.info = reader.u16();
  header.page.timeline = {reader.u32()};
  header.page.page_address = {reader.u64()};
  header.page.remaining_bytes = reader.u32();
  (void)reader.u32();  // padding to a multiple of eight
  header.system_identifier = reader.u64();
  header.segment_bytes = reader.u32();
  header.page_bytes = reader.u32();

  if (!postgres_major_of_magic(header.page.magic)) {
    char magic[8];
    std::snprintf(magic, sizeof magic, "%04X", header.page.magic);
    throw damaged(std::string("The page magic ") + magic +
                  " is that of no known PostgreSQL major (13 to 18).");
  }
  if ((header.page.info & long_header_flag) == 0 || (header.page.info & ~known_flags) != 0) {
    throw damaged("The flags of its first page header are wrong.");
  }
  if (!is_segment_size(header.segment_bytes) || !std::has_single_bit(header.page_bytes) ||
      header.page_bytes < 1024 || header.page_bytes > 65536) {
    throw damaged("The sizes in its first page header are wrong.");
  }
  return header;
}

Lsn wal_content_end(ByteView segment) {
  constexpr std::size_t short_header_bytes = 24;  // SizeOfXLogShortPHD
  constexpr std::size_t alignment = 8;            // MAXALIGN, of records
  const auto first = parse_wal_segment_header(segment);
  std::size_t valid = std::min<std::size_t>(first.page_bytes, segment.size());
  while (valid + short_header_bytes <= segment.size()) {
    ByteReader page(segment.subspan(valid, short_header_bytes), "a WAL page header");
    const auto magic = page.u16();
    (void)page.u16();  // flags
    (void)page.u32();  // timeline: changes where a timeline begins
    if (magic != first.page.magic || page.u64() != first.page.page_address.value + valid) break;
    valid = std::min<std::size_t>(valid + first.page_bytes, segment.size());
  }
  while (valid > 0 && segment[valid - 1] == 0) --valid;
  valid = (valid + alignment - 1) / alignment * alignment;
  return {first.page.page_address.value + valid};
}

}  // namespace walvault
