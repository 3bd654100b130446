// What a judgement about a cluster's recoverable moments looks at.
#pragma once

#include <vector>

#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

// Both must outlive the view. It is a parameter, nothing to keep.
struct ClusterView {
  const WalArchive& archive;
  const std::vector<BackupInfo>& backups;  // of all identities, oldest first
};

}  // namespace walvault
