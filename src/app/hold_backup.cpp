#include "app/hold_backup.h"

#include "app/log.h"
#include "base/error.h"
#include "repository/tree_reader.h"

namespace walvault {

std::unique_ptr<ReaderPin> hold_backup(const Repository& repository, const RandomId& run,
                                       const BackupInfo& backup) {
  const TreeReader tree(repository, backup_root_key(backup.cluster, backup.id));
  try {
    return std::make_unique<ReaderPin>(repository, system_clock(), run, 1, backup.cluster,
                                       tree.root().packs);
  } catch (const Error& error) {
    log_warning(
        "what is read cannot be held against walvault gc and expire; do not run them "
        "meanwhile: " +
        error.message() + ". " + error.detail());
    return nullptr;
  }
}

}  // namespace walvault
