#include "catalog/records/backup_list.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/format.h"
#include "catalog/records/left_timeline.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// By what they are of, never by the clocks of those who took them: identity, timeline, position.
// What was taken of timelines that were abandoned since is older than all that goes on.
void sort_by_history(const Repository& repository, const std::string& cluster,
                     std::vector<BackupInfo>& backups) {
  std::map<std::uint32_t, std::set<TimelineBranch>> taken_of;
  for (const auto& backup : backups) {
    taken_of[backup.identity_number].insert(backup.timeline_branch());
  }
  std::map<std::uint32_t, std::set<TimelineBranch>> abandoned;
  for (const auto& [number, branches] : taken_of) {
    if (branches.size() < 2) continue;
    ClusterIdentity identity;
    identity.name = cluster;
    identity.number = number;
    abandoned[number] = abandoned_branches(list_left_timelines(repository, identity));
  }
  std::ranges::sort(backups, {}, [&](const BackupInfo& info) {
    const auto branch = info.timeline_branch();
    return std::tuple(info.identity_number, !abandoned[info.identity_number].contains(branch),
                      branch, info.start, info.start_time, info.id);
  });
}

}  // namespace

BackupList list_backups(const Repository& repository, const std::string& cluster) {
  auto& storage = repository.storage();
  const auto oldest_identity = find_cluster(repository, cluster)
                                   ? cluster_identities(repository, cluster).front().number
                                   : 1;
  BackupList list;
  const auto deleted = deleted_backups(repository, cluster);
  for (const auto& id : storage.list_names(prefix_of(ObjectPlace::backups, cluster))) {
    if (deleted.contains(id)) continue;  // its root is about to go
    const auto key = backup_root_key(cluster, id);
    const auto prefix = storage.find(key, {.length = root_prefix_bytes});
    // Deleted since it was listed, or the tombstone of a writer that gc gave up.
    if (!prefix || is_of_kind(*prefix, ObjectKind::tombstone)) continue;
    try {
      auto info = decode_backup_info(decode_root_head(repository.codec(), *prefix, key));
      if (info.identity_number >= oldest_identity) list.backups.push_back(std::move(info));
    } catch (const Error& error) {
      // Damaged, or made by a newer version: it hides no other.
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
      list.damaged.push_back(key);
    }
  }
  sort_by_history(repository, cluster, list.backups);
  return list;
}

BackupInfo get_backup(const std::vector<BackupInfo>& backups, const std::string& id) {
  const auto it = std::ranges::find(backups, id, &BackupInfo::id);
  if (it != backups.end()) return *it;
  const auto known = list_of(backups, &BackupInfo::id);
  throw Error(
      ErrorKind::not_found, "there is no backup " + id,
      known.empty() ? "There is no backup of this cluster at all." : "There are: " + known + ".",
      known.empty() ? "Take one with: walvault backup" : "walvault info shows them.");
}

void delete_backup(const Repository& repository, const std::string& cluster, const std::string& id,
                   Timestamp now) {
  ByteWriter payload;
  payload.time(now);
  const auto root = backup_root_key(cluster, id);
  (void)repository.put_sealed(ObjectKind::deleted, deletion_key(root), payload.bytes());
  repository.storage().remove({root});
}

std::set<std::string> deleted_backups(const Repository& repository, const std::string& cluster) {
  std::set<std::string> ids;
  for (auto& id : repository.storage().list_names(prefix_of(ObjectPlace::deleted, cluster))) {
    ids.insert(std::move(id));
  }
  return ids;
}

}  // namespace walvault
