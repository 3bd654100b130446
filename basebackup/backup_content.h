// What a backup is made of beside its files, however they came.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "postgres/backup_label.h"
#include "postgres/client/replication_connection.h"
#include "postgres/control_file.h"

namespace walvault {

// The names under which a backup's parts are kept in its root.
inline constexpr std::string_view manifest_stream = "manifest";
inline constexpr std::string_view backup_label_note = "backup_label";
inline constexpr std::string_view tablespace_map_note = "tablespace_map";
inline constexpr std::string_view control_file_path = "global/pg_control";

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
