#include "postgres/checkpoint_record.h"

#include <algorithm>
#include <optional>

#include "postgres/wal_page.h"

namespace walvault {
namespace {

constexpr std::size_t short_page_header_bytes = 24;  // SizeOfXLogShortPHD
constexpr std::size_t record_header_bytes = 24;      // SizeOfXLogRecord
constexpr std::size_t info_offset = 16;              // of xl_info; xl_rmid follows
constexpr std::uint8_t info_shutdown = 0x00;         // XLOG_CHECKPOINT_SHUTDOWN
constexpr std::uint8_t info_online = 0x10;           // XLOG_CHECKPOINT_ONLINE
constexpr std::uint8_t info_mask = 0xF0;             // without XLR_INFO_MASK
constexpr std::uint8_t rmgr_xlog = 0;
constexpr std::uint8_t short_data_id = 255;  // XLR_BLOCK_ID_DATA_SHORT, then a length

// In CheckPoint: redo replay on a standby updates nextXid in pg_control alone.
constexpr std::size_t next_xid_offset = 24;
constexpr std::size_t next_xid_end = 32;

// The bytes of records from a position on, without the headers of the pages
// that they cross; nullopt when the WAL ends before.
std::optional<Bytes> record_bytes(ByteView wal, const WalSegmentHeader& header,
                                  std::size_t position, std::size_t length) {
  Bytes bytes;
  while (bytes.size() < length) {
    if (position % header.page_bytes == 0) {
      position +=
          position % header.segment_bytes == 0 ? wal_segment_header_bytes : short_page_header_bytes;
    }
    const auto page_end = (position / header.page_bytes + 1) * header.page_bytes;
    const auto part = std::min(length - bytes.size(), page_end - position);
    if (position + part > wal.size()) return std::nullopt;
    const auto piece = wal.subspan(position, part);
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    position += part;
  }
  return bytes;
}

}  // namespace

bool holds_checkpoint(ByteView wal, const ControlFile& control) {
  const auto header = parse_wal_segment_header(wal);
  const auto start = header.page.page_address;
  if (control.checkpoint < start) return false;
  const auto position = control.checkpoint.value - start.value;
  constexpr std::size_t length = record_header_bytes + 2 + checkpoint_copy_bytes;
  if (position + length > wal.size()) return false;
  const auto record = record_bytes(wal, header, position, length);
  if (!record) return false;
  const auto info = (*record)[info_offset] & info_mask;
  if ((info != info_shutdown && info != info_online) || (*record)[info_offset + 1] != rmgr_xlog ||
      (*record)[record_header_bytes] != short_data_id ||
      (*record)[record_header_bytes + 1] != checkpoint_copy_bytes) {
    return false;
  }
  const auto written = ByteView(*record).last(checkpoint_copy_bytes);
  const ByteView copied = control.checkpoint_copy;
  // What is kept with a backup has no copy.
  if (std::ranges::all_of(copied, [](std::uint8_t byte) { return byte == 0; })) {
    ByteReader in(written, "a checkpoint record");
    const Lsn redo{in.u64()};
    const TimelineId timeline{in.u32()};
    return redo == control.redo && timeline == control.timeline;
  }
  return std::ranges::equal(written.first(next_xid_offset), copied.first(next_xid_offset)) &&
         std::ranges::equal(written.subspan(next_xid_end), copied.subspan(next_xid_end));
}

}  // namespace walvault
