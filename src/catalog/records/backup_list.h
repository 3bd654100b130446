// The backups of a cluster that count: list, get, delete.
// docs/repository-format.md, "Deleted backups".
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "catalog/records/backup_info.h"
#include "repository/repository.h"

namespace walvault {

// The committed backups of a cluster, oldest first: by identity, then as they were taken, on one
// timeline by position. Of all the identities that count. A root whose head is damaged hides no
// other: it is listed by its key.
struct BackupList {
  std::vector<BackupInfo> backups;
  std::vector<std::string> damaged;
};
[[nodiscard]] BackupList list_backups(const Repository& repository, const std::string& cluster);

// Error{not_found} that names those which exist.
[[nodiscard]] BackupInfo get_backup(const std::vector<BackupInfo>& backups, const std::string& id);

// Deletes a backup: first the record that it is deleted, which is kept for ever, so
// that a late repetition of its commit revives nothing; then its root. What it
// alone needed is gc's. Doing it twice is no error.
void delete_backup(const Repository& repository, const std::string& cluster, const std::string& id,
                   Timestamp now);

// The ids of the backups that were deleted.
[[nodiscard]] std::set<std::string> deleted_backups(const Repository& repository,
                                                    const std::string& cluster);

}  // namespace walvault
