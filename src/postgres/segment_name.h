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

// One WAL segment: its timeline and its number, counted from LSN 0.
struct SegmentName {
  TimelineId timeline;
  std::uint64_t number = 0;

  auto operator<=>(const SegmentName&) const = default;

  // 24 upper-case hexadecimal digits: timeline, log, segment in the log.
  [[nodiscard]] std::string text(std::uint64_t segment_bytes) const;
  [[nodiscard]] Lsn start(std::uint64_t segment_bytes) const { return {number * segment_bytes}; }
  [[nodiscard]] Lsn end(std::uint64_t segment_bytes) const {
    return {(number + 1) * segment_bytes};
  }

  // nullopt when `text` is not a segment name, or one that segments of this
  // size cannot have.
  [[nodiscard]] static std::optional<SegmentName> parse(std::string_view text,
                                                        std::uint64_t segment_bytes);
  [[nodiscard]] static SegmentName containing(TimelineId timeline, Lsn lsn,
                                              std::uint64_t segment_bytes) {
    return {.timeline = timeline, .number = lsn.value / segment_bytes};
  }
  // The segment of the byte before `lsn`: the last one that WAL up to `lsn`
  // needs.
  [[nodiscard]] static SegmentName before(TimelineId timeline, Lsn lsn,
                                          std::uint64_t segment_bytes) {
    return {.timeline = timeline, .number = (lsn.value - 1) / segment_bytes};
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
