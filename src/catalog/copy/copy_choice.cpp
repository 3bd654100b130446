#include "catalog/copy/copy_choice.h"

#include <algorithm>
#include <map>

#include "catalog/records/backup_list.h"
#include "repository/object_codec.h"

namespace walvault {
namespace {

// A root has at least a head; what is shorter may be a tombstone.
constexpr std::uint64_t tombstone_bytes_max = 256;

std::vector<BackupInfo> get_backups(const std::vector<BackupInfo>& backups,
                                    const std::vector<std::string>& ids) {
  std::vector<BackupInfo> chosen;
  chosen.reserve(ids.size());
  for (const auto& id : ids) chosen.push_back(get_backup(backups, id));
  std::ranges::sort(chosen, {},
                    [](const BackupInfo& info) { return std::pair(info.start_time, info.id); });
  const auto is_same = [](const BackupInfo& a, const BackupInfo& b) { return a.id == b.id; };
  chosen.erase(std::unique(chosen.begin(), chosen.end(), is_same), chosen.end());
  return chosen;
}

}  // namespace

std::vector<BackupInfo> choose_backups(const Repository& from, const CopyRequest& request,
                                       const std::string& cluster,
                                       std::vector<CopiedBackup>& results) {
  auto list = list_backups(from, cluster);
  if (!request.backups.empty()) return get_backups(list.backups, request.backups);
  auto chosen = std::move(list.backups);
  if (request.from) {
    (void)get_backup(chosen, *request.from);
    chosen.erase(chosen.begin(), std::ranges::find(chosen, *request.from, &BackupInfo::id));
  }
  for (const auto& key : list.damaged) {
    results.push_back({.id = key,
                       .state = BackupCopyState::failed,
                       .packs = {},
                       .why = "its root is damaged, or of a newer version"});
  }
  return chosen;
}

bool find_states(const Repository& to, const std::string& cluster,
                 const std::vector<BackupInfo>& chosen, std::vector<CopiedBackup>& results) {
  bool has_others = false;
  const auto prefix = prefix_of(ObjectPlace::backups, cluster);
  std::map<std::string, std::uint64_t> there;
  to.storage().list(prefix,
                    [&](const ObjectInfo& object) { there.emplace(object.key, object.size); });
  const auto deleted = deleted_backups(to, cluster);
  for (const auto& [key, size] : there) {
    const auto id = key.substr(prefix.size(), key.find('/', prefix.size()) - prefix.size());
    has_others |=
        !deleted.contains(id) && std::ranges::find(chosen, id, &BackupInfo::id) == chosen.end();
  }
  for (const auto& backup : chosen) {
    CopiedBackup result{.id = backup.id, .state = {}, .packs = {}, .why = {}};
    const auto key = backup_root_key(cluster, backup.id);
    const auto found = there.find(key);
    if (deleted.contains(backup.id)) {
      result.state = BackupCopyState::deleted;
    } else if (found != there.end()) {
      const auto content =
          found->second <= tombstone_bytes_max ? to.storage().find(key) : std::nullopt;
      const bool is_closed = content && is_of_kind(*content, ObjectKind::tombstone);
      result.state = is_closed ? BackupCopyState::closed : BackupCopyState::there;
      if (is_closed) result.why = "an earlier copy of it was given up there";
    }
    results.push_back(std::move(result));
  }
  return has_others;
}

}  // namespace walvault
