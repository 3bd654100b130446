// Whose content a backup need not store again.
#pragma once

#include <optional>
#include <string>

#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

struct Lender {
  // The newest backup of the cluster: most of its content is in the new one too, even when it
  // is from before pg_upgrade, which leaves most relations' files as they were.
  std::optional<BackupInfo> parent;
  // Without one, the newest backup of another cluster that has the same system identifier: a
  // copy of this one, or what this one was copied from.
  std::optional<BackupInfo> relative;
  std::uint32_t highest_sequence = 0;  // of the cluster's backups

  [[nodiscard]] const std::optional<BackupInfo>& backup() const {
    return parent ? parent : relative;
  }
  // Of its root; empty for none.
  [[nodiscard]] std::string root_key() const;
};

[[nodiscard]] Lender find_lender(const WalArchive& archive);

}  // namespace walvault
