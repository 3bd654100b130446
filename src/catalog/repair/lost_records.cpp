#include "catalog/repair/lost_records.h"

#include <algorithm>
#include <set>

#include "catalog/copy/copied_gaps.h"
#include "catalog/copy/copied_records.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"
#include "catalog/records/left_timeline.h"
#include "catalog/wal/wal_archive.h"
#include "repository/damage.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

// What is damaged, here or there, is named by whoever reads it.
template <typename Action>
void passing_over_damage(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    if (!is_damage(error)) throw;
  }
}

void bring_keeps(const Repository& ours, const Repository& theirs, const std::string& cluster,
                 RepairReport& report) {
  const auto here = list_backup_keeps(ours, cluster);
  for (const auto& [id, keep] : list_backup_keeps(theirs, cluster)) {
    const auto it = here.find(id);
    if (it != here.end() && it->second.when >= keep.when) continue;
    if (!ours.storage().find_size(backup_root_key(cluster, id))) continue;
    put_backup_keep(ours, cluster, id, keep);
    report.mended.push_back({.key = prefix_of(ObjectPlace::keeps, cluster) + id,
                             .how = "taken from " + theirs.storage().url()});
  }
}

// Where a number means the same there.
void bring_records_of(const Repository& ours, const Repository& theirs,
                      const ClusterIdentity& identity, RepairReport& report) {
  if (!find_cluster(theirs, identity.name)) return;
  const auto there = cluster_identities(theirs, identity.name);
  const bool is_the_same = std::ranges::any_of(there, [&](const ClusterIdentity& each) {
    return each.number == identity.number && is_same_cluster(each, identity);
  });
  if (!is_the_same) return;
  const auto keys = [&] {
    std::set<std::string> found;
    for (const auto place :
         {ObjectPlace::accepted_gaps, ObjectPlace::left, ObjectPlace::catalogues}) {
      ours.storage().list(prefix_of(place, identity),
                          [&](const ObjectInfo& object) { found.insert(object.key); });
    }
    return found;
  };
  const auto before = keys();
  copy_accepted_gaps(theirs, ours, identity);
  copy_left_timelines(theirs, ours, identity);
  copy_catalogues(theirs, ours, identity);
  for (const auto& key : keys()) {
    if (before.contains(key)) continue;
    report.mended.push_back({.key = key, .how = "taken from " + theirs.storage().url()});
  }
}

}  // namespace

std::vector<std::string> readable_clusters(const Repository& repository) {
  auto names = repository.storage().list_names(prefix_of(ObjectPlace::clusters));
  std::erase_if(names, [&](const std::string& name) {
    const auto read = [&]() -> std::optional<bool> {
      if (!is_cluster_name(name) || !find_cluster(repository, name)) return std::nullopt;
      for (const auto& each : cluster_identities(repository, name)) {
        (void)WalArchive(repository, each);
      }
      return true;
    };
    return !unless_damaged(read);
  });
  return names;
}

void bring_records(const Repository& ours, const Repository& theirs, RepairReport& report) {
  for (const auto& cluster : ours.storage().list_names(prefix_of(ObjectPlace::clusters))) {
    passing_over_damage([&] { bring_keeps(ours, theirs, cluster, report); });
    passing_over_damage([&] {
      if (!find_cluster(ours, cluster)) return;
      for (const auto& identity : cluster_identities(ours, cluster)) {
        passing_over_damage([&] { bring_records_of(ours, theirs, identity, report); });
      }
    });
  }
}

}  // namespace walvault
