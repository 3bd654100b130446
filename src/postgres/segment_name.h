// Names of the files that PostgreSQL archives (access/xlog_internal.h).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postgres/lsn.h"

namespace walvault {

// Bytes of one WAL segment: a power of two from 1 MiB to 1 GiB.
[[nodiscard]] bool is_segment_size(std::uint64_t bytes);

// How the WAL of a cluster is cut into segments. All arithmetic between positions and segments
// is here.
struct WalGeometry {
  std::uint64_t segment_bytes = 0;

  bool operator==(const WalGeometry&) const = default;

  [[nodiscard]] Lsn start_of(std::uint64_t number) const { return {number * segment_bytes}; }
  // The number of the segment that holds the byte at `lsn`.
  [[nodiscard]] std::uint64_t number_of(Lsn lsn) const { return lsn.value / segment_bytes; }
  // The number of the last segment that WAL up to `lsn` needs: the byte before it counts.
  [[nodiscard]] std::uint64_t number_before(Lsn lsn) const {
    return (lsn.value - 1) / segment_bytes;
  }
  // A log is 4 GiB of WAL: the middle digits of a segment's name.
  [[nodiscard]] std::uint64_t segments_in_log() const { return 0x1'0000'0000u / segment_bytes; }
  [[nodiscard]] std::uint64_t log_of(std::uint64_t number) const {
    return number / segments_in_log();
  }
  // The number of a log's first segment.
  [[nodiscard]] std::uint64_t first_of_log(std::uint64_t log) const {
    return log * segments_in_log();
  }
};

// One WAL segment: its timeline and its number, counted from LSN 0.
struct SegmentName {
  TimelineId timeline;
  std::uint64_t number = 0;

  auto operator<=>(const SegmentName&) const = default;

  // 24 upper-case hexadecimal digits: timeline, log, segment in the log.
  [[nodiscard]] std::string text(WalGeometry geometry) const;
  [[nodiscard]] Lsn start(WalGeometry geometry) const { return geometry.start_of(number); }
  [[nodiscard]] Lsn end(WalGeometry geometry) const { return geometry.start_of(number + 1); }

  // nullopt when `text` is not a segment name, or one that segments of this
  // size cannot have.
  [[nodiscard]] static std::optional<SegmentName> parse(std::string_view text,
                                                        WalGeometry geometry);
  [[nodiscard]] static SegmentName containing(TimelineId timeline, Lsn lsn, WalGeometry geometry) {
    return {.timeline = timeline, .number = geometry.number_of(lsn)};
  }
  // The segment of the byte before `lsn`: the last one that WAL up to `lsn`
  // needs.
  [[nodiscard]] static SegmentName before(TimelineId timeline, Lsn lsn, WalGeometry geometry) {
    return {.timeline = timeline, .number = geometry.number_before(lsn)};
  }
};

enum class WalFileKind {
  segment,         // 000000010000000000000003
  partial,         // 000000010000000000000003.partial
  backup_history,  // 000000010000000000000003.00000028.backup
  timeline,        // 00000002.history
};

// What a file's name says it is; nullopt for no name of a WAL file. Lower-case
// digits are refused: PostgreSQL writes upper-case ones only.
[[nodiscard]] std::optional<WalFileKind> classify_wal_file(std::string_view name);

// The timeline that any such name starts with.
[[nodiscard]] TimelineId timeline_of(std::string_view wal_file_name);

// 00000002.history
[[nodiscard]] std::string history_file_name(TimelineId timeline);

}  // namespace walvault
