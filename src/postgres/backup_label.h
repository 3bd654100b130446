// backup_label and tablespace_map (access/xlogbackup.c, basebackup.c).
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

struct BackupLabel {
  Lsn start;               // START WAL LOCATION: the redo point replay begins at
  std::string start_file;  // the segment's name that stands beside it
  Lsn checkpoint;
  TimelineId timeline;
  bool from_standby = false;
  std::string label;
};

// Error{corrupt} naming the line that is missing or malformed.
[[nodiscard]] BackupLabel parse_backup_label(ByteView content);

// That of an incremental backup as it has to be in a whole one, without where its changes
// began: a server refuses a data directory that says so.
[[nodiscard]] Bytes backup_label_of_whole(ByteView content);

struct Tablespace {
  std::uint32_t oid = 0;
  std::string location;  // absolute

  bool operator==(const Tablespace&) const = default;
};

// One line a tablespace, "oid location"; a backslash before a line break or
// another backslash in a location belongs to the format.
[[nodiscard]] std::vector<Tablespace> parse_tablespace_map(ByteView content);
[[nodiscard]] std::string format_tablespace_map(const std::vector<Tablespace>& tablespaces);

}  // namespace walvault
