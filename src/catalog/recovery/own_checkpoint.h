// Whether the archived WAL of a backup is that of the server it was taken of.
#pragma once

#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

enum class OwnCheckpoint {
  held,      // the server's checkpoint is in it, byte for byte
  not_held,  // another record, or none, is where it should be: another server wrote that WAL
  unknown,   // it lies elsewhere, or its segment is not archived
};

// A demoted primary that goes on archiving, or another promotion onto the same timeline, fills the
// archive with segments of the same names. `archive` is a view of the backup's branch.
[[nodiscard]] OwnCheckpoint look_for_own_checkpoint(const WalArchive& archive,
                                                    const BackupInfo& info);

}  // namespace walvault
