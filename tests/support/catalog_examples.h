// Backups that never were, for what only reasons about them.
#pragma once

#include "catalog/records/backup_info.h"
#include "support/archived_wal.h"

namespace walvault {

// From within segment `first` to within segment `last` of a timeline; its
// times are the minutes of those segments.
[[nodiscard]] inline BackupInfo backup_of(const std::string& id, std::uint32_t timeline,
                                          std::uint64_t first, std::uint64_t last) {
  BackupInfo info;
  info.id = id;
  info.cluster = "main";
  info.timeline = {timeline};
  info.start = {first * test_segment_bytes + 0x28};
  info.stop = {last * test_segment_bytes + 0x100};
  info.start_time = minute_of(first);
  info.stop_time = minute_of(last);
  info.control.next_full_xid = 1000 * first;
  return info;
}

[[nodiscard]] inline Lsn lsn_in(std::uint64_t segment, std::uint64_t offset = 0x8000) {
  return {segment * test_segment_bytes + offset};
}

}  // namespace walvault
