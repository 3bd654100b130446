#include "app/hold_backup.h"

#include "base/error.h"
#include "repository/tree_reader.h"

namespace walvault {

std::unique_ptr<ReaderPin> hold_backup(const Repository& repository, const RandomId& run,
                                       const BackupInfo& backup, const Reporter& reporter) {
  const auto root_key = backup_root_key(backup.cluster, backup.id);
  const TreeReader tree(repository, root_key);
  std::unique_ptr<ReaderPin> pin;
  try {
    pin = std::make_unique<ReaderPin>(repository, repository.clock(), run, 1, backup.cluster,
                                      tree.root().packs);
  } catch (const Error& error) {
    reporter.warn(
        "what is read cannot be protected from walvault gc and expire; do not run them "
        "until this has ended: " +
        one_line(error));
  }
  // Behind the pin, and before anything is done: the root may be known from a cache.
  if (!repository.storage().find_size(root_key)) {
    throw Error(ErrorKind::unavailable, "the backup " + backup.id + " was deleted meanwhile", {},
                "Run it again: it plans with those that are there.");
  }
  return pin;
}

}  // namespace walvault
