// Which backups of a cluster are copied, and what the destination has of them.
#pragma once

#include <string>
#include <vector>

#include "catalog/copy/repository_copy.h"
#include "catalog/records/backup_info.h"

namespace walvault {

// The backups that are asked for, oldest first. Those that are damaged at the source are told
// in `results` when all are asked for. Error{not_found} for an id that there is not.
[[nodiscard]] std::vector<BackupInfo> choose_backups(const Repository& from,
                                                     const CopyRequest& request,
                                                     const std::string& cluster,
                                                     std::vector<CopiedBackup>& results);

// Adds to `results` what becomes of each of the chosen: copied, unless it is there, deleted or
// closed at the destination. True: the destination has other backups of the cluster, too.
[[nodiscard]] bool find_states(const Repository& to, const std::string& cluster,
                               const std::vector<BackupInfo>& chosen,
                               std::vector<CopiedBackup>& results);

}  // namespace walvault
