// What a backup is made of beside its files, however they came.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "catalog/records/backup_parts.h"
#include "postgres/backup_label.h"
#include "postgres/client/replication_connection.h"
#include "postgres/control_file.h"

namespace walvault {

struct BackupContent {
  WalPosition stop;                    // where the data is consistent
  std::map<std::string, Bytes> notes;  // backup_label, tablespace_map
  BackupLabel label;
  ControlFile control;
  // The server's clock when it sent backup_label, in seconds since 1970; nullopt: it is
  // this machine's.
  std::optional<std::int64_t> label_time;
};

}  // namespace walvault
