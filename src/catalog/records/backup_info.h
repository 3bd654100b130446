// What is known of a backup without reading it: the head of its root.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "catalog/records/cluster.h"
#include "catalog/records/timeline_branch.h"
#include "postgres/control_file.h"
#include "repository/repository.h"

namespace walvault {

struct BackupInfo {
  std::string id;  // 20261121T104100Z-3f9a
  std::string cluster;
  std::uint32_t identity_number = 1;
  std::string label;
  TimelineId timeline;
  std::uint32_t branch = 0;  // of the timeline: catalog/wal/wal_archive.h
  Lsn start;                 // where replay begins
  Lsn stop;                  // where the data is consistent
  Timestamp start_time;
  Timestamp stop_time;
  int server_version = 0;  // 150018
  bool from_standby = false;
  std::string host;            // where the server ran; empty when not known
  std::string data_directory;  // likewise
  std::string writer_version;  // of walvault
  std::string parent_id;       // the backup whose content was borrowed; may be empty
  std::uint32_t sequence = 1;  // of the cluster's backups

  // From pg_control and the settings.
  ControlFile control;

  std::uint64_t files = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t zero_bytes = 0;
  std::uint64_t new_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::chrono::milliseconds duration{0};

  // What the server said of pages that failed their checksum while they were
  // read; empty when it found none, or had no checksums to look at.
  std::vector<std::string> damaged_pages;
  // Of the data, what no backup holds because it is neither file nor directory: what
  // somebody moved and put a link in its place.
  std::vector<std::string> skipped_files;

  // What it was to hold, it holds.
  [[nodiscard]] bool is_whole() const { return damaged_pages.empty() && skipped_files.empty(); }

  [[nodiscard]] TimelineBranch timeline_branch() const {
    return {.timeline = timeline, .branch = branch};
  }
  [[nodiscard]] std::string postgres_version() const;
};

// So much of it a record has room for.
inline constexpr std::size_t damage_texts_max = 32;
inline constexpr std::size_t skipped_texts_max = 16;
inline constexpr std::size_t record_text_bytes_max = 200;

// The key of a backup's root.
[[nodiscard]] std::string backup_root_key(const std::string& cluster, const std::string& id);

// A fresh id: the time, and four digits that keep two of one second apart.
[[nodiscard]] std::string make_backup_id(Timestamp time, const RandomId& random);

[[nodiscard]] Bytes encode_backup_info(const BackupInfo& info);
[[nodiscard]] BackupInfo decode_backup_info(ByteView head);

}  // namespace walvault
