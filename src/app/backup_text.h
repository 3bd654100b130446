// The JSON forms of a backup and of a window, the same in every command's result
// (cli contract).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "catalog/records/backup_info.h"
#include "catalog/recovery/recovery_window.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json backup_json(const BackupInfo& info);
[[nodiscard]] nlohmann::ordered_json window_json(const ClusterIdentity& identity,
                                                 const RecoveryWindow& window);

// From when to when, and on which timeline: one line for people.
[[nodiscard]] std::string window_text(const RecoveryWindow& window);

}  // namespace walvault
