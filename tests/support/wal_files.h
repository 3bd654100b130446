// Synthetic WAL: files that look like segments as far as anything short of
// reading records can tell (access/xlog_internal.h, XLogLongPageHeaderData).
#pragma once

#include <fcntl.h>

#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "catalog/cluster.h"
#include "postgres/segment_name.h"
#include "postgres/wal_page.h"
#include "support/test_data.h"

namespace walvault {

// The smallest that PostgreSQL allows, to be cheap.
inline constexpr std::uint32_t test_segment_bytes = 1u << 20;
inline constexpr std::uint64_t test_system_identifier = 0x6B7C'8D9E'0011'2233u;

[[nodiscard]] inline ClusterIdentity test_cluster() {
  return {.name = "main",
          .number = 1,
          .system_identifier = test_system_identifier,
          .postgres_major = 15,
          .segment_bytes = test_segment_bytes,
          .registered = {}};
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

  [[nodiscard]] std::string name() const {
    return SegmentName{.timeline = {timeline}, .number = number}.text(segment_bytes);
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
