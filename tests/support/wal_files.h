// Synthetic WAL: files that look like segments as far as anything short of
// reading records can tell (access/xlog_internal.h, XLogLongPageHeaderData).
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "catalog/records/cluster.h"
#include "postgres/segment_name.h"
#include "postgres/wal_page.h"
#include "support/test_data.h"

namespace walvault {

// The smallest that PostgreSQL allows, to be cheap.
inline constexpr std::uint32_t test_segment_bytes = 1u << 20;
inline constexpr WalGeometry test_geometry{test_segment_bytes};
inline constexpr std::uint64_t test_system_identifier = 0x6B7C'8D9E'0011'2233u;

[[nodiscard]] inline ClusterIdentity test_cluster() {
  return {.name = "main",
          .number = 1,
          .system_identifier = test_system_identifier,
          .postgres_major = 15,
          .geometry = test_geometry,
          .registered = {}};
}

// Where every synthetic segment holds a checkpoint record.
inline constexpr std::size_t test_checkpoint_offset = 0x60;

// What a CheckPoint says; its first fields as in catalog/pg_control.h.
struct CheckpointSpec {
  Lsn redo{3 * test_segment_bytes + 0x28};
  std::uint32_t timeline = 1;
  std::uint64_t next_full_xid = 750;
  std::int64_t time = 1'790'000'000;
};

[[nodiscard]] inline Bytes checkpoint_copy(const CheckpointSpec& spec = {}) {
  ByteWriter out;
  out.u64(spec.redo.value);
  out.u32(spec.timeline);
  out.u32(spec.timeline);
  out.u64(1);  // full_page_writes, padding
  out.u64(spec.next_full_xid);
  out.raw(Bytes(32));
  out.i64(spec.time);
  out.raw(Bytes(16));
  return out.take();
}

[[nodiscard]] inline Bytes checkpoint_record(const CheckpointSpec& spec = {}) {
  ByteWriter out;
  out.u32(114);  // xl_tot_len
  out.u32(0);    // xl_xid
  out.u64(0);    // xl_prev
  out.u8(0x10);  // xl_info: XLOG_CHECKPOINT_ONLINE
  out.u8(0);     // xl_rmid: RM_XLOG_ID
  out.u16(0);    // padding
  out.u32(0);    // xl_crc
  out.u8(255);   // XLR_BLOCK_ID_DATA_SHORT
  out.u8(88);
  out.raw(checkpoint_copy(spec));
  return out.take();
}

struct WalSegmentSpec {
  std::uint32_t timeline = 1;
  std::uint64_t number = 1;
  std::uint64_t seed = 1;               // of what is in it
  std::size_t content_bytes = 200'000;  // zeros follow
  // What its first page's header says.
  std::uint16_t magic = 0xD110;  // PostgreSQL 15
  std::uint16_t info = 2;        // XLP_LONG_HEADER
  std::uint64_t system_identifier = test_system_identifier;
  std::uint32_t segment_bytes = test_segment_bytes;
  std::uint32_t page_bytes = 8192;
  bool has_pages = false;  // whether the pages behind the first have headers

  [[nodiscard]] std::string name() const {
    return SegmentName{.timeline = {timeline}, .number = number}.text({segment_bytes});
  }
};

[[nodiscard]] inline Bytes wal_segment(const WalSegmentSpec& spec = {}) {
  ByteWriter out;
  out.u16(spec.magic);
  out.u16(spec.info);
  out.u32(spec.timeline);
  out.u64(spec.number * spec.segment_bytes);
  out.u32(0);  // xlp_rem_len
  out.u32(0);  // padding
  out.u64(spec.system_identifier);
  out.u32(spec.segment_bytes);
  out.u32(spec.page_bytes);
  out.raw(random_bytes(spec.content_bytes, spec.seed + spec.number * 1000 + spec.timeline));
  auto bytes = out.take();
  const auto checkpoint = checkpoint_record();
  if (bytes.size() >= test_checkpoint_offset + checkpoint.size()) {
    std::ranges::copy(checkpoint, bytes.begin() + test_checkpoint_offset);
  }
  for (std::size_t page = spec.page_bytes; spec.has_pages && page + 24 <= bytes.size();
       page += spec.page_bytes) {
    ByteWriter header;
    header.u16(spec.magic);
    header.u16(0);
    header.u32(spec.timeline);
    header.u64(spec.number * spec.segment_bytes + page);
    header.u64(0);
    std::ranges::copy(header.bytes(), bytes.begin() + static_cast<std::ptrdiff_t>(page));
  }
  bytes.resize(spec.segment_bytes);
  return bytes;
}

// Writes or replaces a file; returns its path.
inline std::string write_test_file(const std::string& directory, const std::string& name,
                                   ByteView content) {
  const auto path = directory + "/" + name;
  write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC), content, path);
  return path;
}

}  // namespace walvault
