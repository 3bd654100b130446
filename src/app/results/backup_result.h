// How a cluster, a backup, a window and a gap are shown, the same in every command's result (cli
// contract).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "catalog/records/backup_info.h"
#include "catalog/recovery/recovery_window.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json backup_json(const BackupInfo& info);
[[nodiscard]] nlohmann::ordered_json window_json(const ClusterIdentity& identity,
                                                 const RecoveryWindow& window);

// Where a gap lies and why; what a command knows besides it adds.
[[nodiscard]] nlohmann::ordered_json gap_json(const WalGap& gap);
[[nodiscard]] nlohmann::ordered_json cluster_json(const ClusterIdentity& identity);

// From when to when, and on which timeline: one line for people.
[[nodiscard]] std::string window_text(const RecoveryWindow& window);

}  // namespace walvault
