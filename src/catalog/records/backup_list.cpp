#include "catalog/records/backup_list.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/format.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/root_copy.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// Identities one after another; each by what it is of and in which order they were taken
// (`sequence`), never by the clocks of those who took them. On one timeline the position decides:
// of two repositories that were copied into one, each has a sequence of its own. Which of two
// timelines is the newer one does not count: a copy's may have the higher number.
void sort_by_history(std::vector<BackupInfo>& backups) {
  std::map<std::pair<std::uint32_t, TimelineBranch>, std::vector<const BackupInfo*>> by_branch;
  for (const auto& backup : backups) {
    by_branch[{backup.identity_number, backup.timeline_branch()}].push_back(&backup);
  }
  std::map<std::string, std::uint32_t> rank;
  for (auto& [branch, taken] : by_branch) {
    std::ranges::sort(taken, {},
                      [](const auto* each) { return std::tuple(each->start, each->id); });
    std::uint32_t highest = 0;
    for (const auto* each : taken) rank[each->id] = highest = std::max(highest, each->sequence);
  }
  std::ranges::sort(backups, {}, [&](const BackupInfo& info) {
    return std::tuple(info.identity_number, rank.at(info.id), info.timeline_branch(), info.start,
                      info.id);
  });
}

std::set<std::string> names_under(Storage& storage, const std::string& prefix) {
  const auto names = storage.list_names(prefix);
  return {names.begin(), names.end()};
}

}  // namespace

BackupList list_backups(const Repository& repository, const std::string& cluster) {
  auto& storage = repository.storage();
  const auto oldest_identity = find_cluster(repository, cluster)
                                   ? cluster_identities(repository, cluster).front().number
                                   : 1;
  BackupList list;
  const auto deleted = deleted_backups(repository, cluster);
  const auto copies = names_under(storage, prefix_of(ObjectPlace::root_copies, cluster));
  auto ids = names_under(storage, prefix_of(ObjectPlace::backups, cluster));
  ids.insert(copies.begin(), copies.end());
  for (const auto& id : ids) {
    if (deleted.contains(id)) continue;  // its root is about to go
    const auto key = backup_root_key(cluster, id);
    const auto prefix = storage.find(key, {.length = root_prefix_bytes});
    // The tombstone of a writer that gc gave up.
    if (prefix && is_of_kind(*prefix, ObjectKind::tombstone)) continue;
    if (!prefix) {
      // Deleted since it was listed; or lost, as its copy tells.
      if (copies.contains(id) && !storage.find_size(deletion_key(key))) list.damaged.push_back(key);
      continue;
    }
    try {
      auto info = decode_backup_info(decode_root_head(repository.codec(), *prefix, key));
      if (info.identity_number >= oldest_identity) list.backups.push_back(std::move(info));
    } catch (const Error& error) {
      // Damaged, or made by a newer version: it hides no other.
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
      list.damaged.push_back(key);
    }
  }
  sort_by_history(list.backups);
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
  repository.storage().remove({root_copy_key(root)});
}

std::set<std::string> deleted_backups(const Repository& repository, const std::string& cluster) {
  std::set<std::string> ids;
  for (auto& id : repository.storage().list_names(prefix_of(ObjectPlace::deleted, cluster))) {
    ids.insert(std::move(id));
  }
  return ids;
}

}  // namespace walvault
