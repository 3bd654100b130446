// Keeps gc and expire from what a long command reads.
#pragma once

#include <memory>

#include "base/reporter.h"
#include "catalog/records/backup_info.h"
#include "repository/reader_pin.h"

namespace walvault {

// Holds what a backup needs while the result lives. nullptr, after a warning, where
// the repository cannot be written to: that is no reason not to restore.
[[nodiscard]] std::unique_ptr<ReaderPin> hold_backup(const Repository& repository,
                                                     const RandomId& run, const BackupInfo& backup,
                                                     const Reporter& reporter);

}  // namespace walvault
