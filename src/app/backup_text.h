// The JSON forms of a backup and of a window, the same in every command's result
// (cli contract).
#pragma once

#include <nlohmann/json.hpp>

#include "catalog/backup_info.h"
#include "catalog/recovery_window.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json backup_json(const BackupInfo& info);
[[nodiscard]] nlohmann::ordered_json window_json(const ClusterIdentity& identity,
                                                 const RecoveryWindow& window);

}  // namespace walvault
