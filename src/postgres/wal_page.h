// WAL page headers (access/xlog_internal.h: XLogPageHeaderData and the long
// form that opens each segment).
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

// The oldest and newest PostgreSQL major that this program knows.
inline constexpr int postgres_major_min = 13;
inline constexpr int postgres_major_max = 18;

// The page magic of a major, and back; nullopt for a major not known.
[[nodiscard]] std::optional<std::uint16_t> wal_page_magic(int postgres_major);
[[nodiscard]] std::optional<int> postgres_major_of_magic(std::uint16_t magic);

struct WalPageHeader {
  std::uint16_t magic = 0;
  std::uint16_t info = 0;
  TimelineId timeline;
  Lsn page_address;
  std::uint32_t remaining_bytes = 0;  // of a record that began before
};

// The header that every segment's first page carries.
struct WalSegmentHeader {
  WalPageHeader page;
  std::uint64_t system_identifier = 0;
  std::uint32_t segment_bytes = 0;
  std::uint32_t page_bytes = 0;
};

inline constexpr std::size_t wal_segment_header_bytes = 40;

// Reads the long header off the first bytes of a segment. Error{corrupt} that
// says what is wrong: all zeros, an unknown magic, a header that is not the
// long form, or sizes PostgreSQL does not allow.
[[nodiscard]] WalSegmentHeader parse_wal_segment_header(ByteView segment);

// Where a page says that it lies. REQUIRES: 16 bytes.
[[nodiscard]] Lsn wal_page_address(ByteView page);

// Up to where a segment that was not filled holds WAL: to the last byte that is
// not zero before the first page that is not of its position. What follows in
// the file is zeros, or old pages when the server recycled it. The last record
// may be cut off. Errors as above.
[[nodiscard]] Lsn wal_content_end(ByteView segment);

}  // namespace walvault
