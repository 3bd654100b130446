// A backup whose files are read beside the running server, in parallel, between
// pg_backup_start and pg_backup_stop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/reporter.h"
#include "basebackup/backup_content.h"
#include "basebackup/known_files.h"
#include "catalog/records/cluster.h"
#include "postgres/client/sql_connection.h"
#include "repository/tree_writer.h"

namespace walvault {

struct FileBackupRequest {
  std::string data_directory;
  std::string label;
  bool fast_checkpoint = true;
  std::optional<std::uint32_t> max_rate_kilobytes;
  unsigned jobs = 2;
  // Relative to the data directory; empty for none (13 and 14).
  std::string statistics_directory;
  // Before pg_backup_start: the files' times decide whether these may be relied upon.
  KnownFiles known;
  Timestamp known_since;          // when what is known was read
  bool is_known_damaged = false;  // it could not be read
};

struct FileBackupEvents {
  // Where replay begins, and how much there is to read or to recognize.
  std::function<void(Lsn, std::uint64_t bytes)> started;
  // A page that fails its checksum.
  std::function<void(const std::string&)> damaged_page;
  // What is neither file nor directory. Relative to the data directory.
  std::function<void(const std::string& path)> skipped;
};

// Reads the data directory into `tree`. The timeline of where it stops is the label's.
//
// Error{usage}: the directory cannot be read. {conflict}: it is not that of the server
// behind `sql`. {corrupt}: pg_control stays damaged. {unavailable}: the server fails.
[[nodiscard]] BackupContent back_up_files(const ClusterIdentity& identity, SqlConnection& sql,
                                          Clock& clock, TreeWriter& tree,
                                          const FileBackupRequest& request,
                                          const FileBackupEvents& events, const Reporter& reporter,
                                          const Meter& meter);

}  // namespace walvault
