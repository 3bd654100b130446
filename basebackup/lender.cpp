#include "basebackup/lender.h"

#include <algorithm>

#include "base/error.h"
#include "catalog/records/backup_list.h"

namespace walvault {
namespace {

std::optional<BackupInfo> newest_backup(const Repository& repository, const std::string& cluster) {
  auto list = list_backups(repository, cluster);
  if (list.backups.empty()) return std::nullopt;
  return std::move(list.backups.back());
}

std::optional<BackupInfo> find_relative(const WalArchive& archive) {
  const auto& repository = archive.repository();
  std::optional<BackupInfo> newest;
  for (const auto& name : repository.storage().list_names(prefix_of(ObjectPlace::clusters))) {
    try {
      const auto other = find_cluster(repository, name);
      if (!other || other->system_identifier != archive.identity().system_identifier) continue;
      auto backup = newest_backup(repository, name);
      if (!backup || (newest && newest->start_time >= backup->start_time)) continue;
      newest = std::move(backup);
    } catch (const Error& error) {
      // What is the matter with another cluster must not stop this one's first backup.
      if (error.kind() == ErrorKind::internal) throw;
    }
  }
  return newest;
}

}  // namespace

std::string Lender::root_key() const {
  const auto& lender = backup();
  return lender ? backup_root_key(lender->cluster, lender->id) : std::string();
}

Lender find_lender(const WalArchive& archive) {
  Lender lender;
  auto list = list_backups(archive.repository(), archive.identity().name);
  for (const auto& each : list.backups) {
    lender.highest_sequence = std::max(lender.highest_sequence, each.sequence);
  }
  if (!list.backups.empty()) lender.parent = std::move(list.backups.back());
  if (!lender.parent) lender.relative = find_relative(archive);
  return lender;
}

}  // namespace walvault
