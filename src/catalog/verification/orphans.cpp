#include "catalog/verification/orphans.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "catalog/records/backup_info.h"
#include "repository/damage.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/root_copy.h"
#include "repository/tree.h"

namespace walvault {
namespace {

std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stop != end || number == 0) return std::nullopt;
  return number;
}

// Registrations that may be lost between two that are there.
constexpr std::uint32_t hole_max = 100;

std::set<std::uint32_t> numbers_in(const std::vector<std::string>& names) {
  std::set<std::uint32_t> numbers;
  for (const auto& name : names) {
    if (const auto number = number_in(name)) numbers.insert(*number);
  }
  return numbers;
}

class UnregisteredFinder {
 public:
  explicit UnregisteredFinder(const Repository& repository)
      : repository_(repository), storage_(repository.storage()) {}

  std::vector<Orphan> find() && {
    std::set<std::string> clusters;
    for (const auto place : {ObjectPlace::clusters, ObjectPlace::backups, ObjectPlace::wal}) {
      for (auto& name : storage_.list_names(prefix_of(place))) {
        // What else lies there is nobody's.
        if (is_cluster_name(name)) clusters.insert(std::move(name));
      }
    }
    for (const auto& cluster : clusters) look_at(cluster);
    return std::move(found_);
  }

 private:
  void look_at(const std::string& cluster) {
    const auto prefix = prefix_of(ObjectPlace::clusters, cluster);
    const auto registered = numbers_in(storage_.list_names(prefix));
    const auto with_wal = numbers_in(storage_.list_names(prefix_of(ObjectPlace::wal, cluster)));
    std::set<std::uint32_t> needed = with_wal;
    // Its numbers ascend without a hole.
    std::uint32_t before = 0;
    for (const auto number : registered) {
      if (number - before > 1 && number - before <= hole_max) {
        for (auto lost = before + 1; lost < number; ++lost) needed.insert(lost);
      } else if (number - before > 1) {
        needed.insert(before + 1);  // a name that nobody gave
      }
      before = number;
    }
    if (!std::ranges::includes(registered, needed) || registered.empty()) {
      for (const auto number : identities_of_backups(cluster)) needed.insert(number);
    }
    for (const auto number : needed) {
      // Registered since they were listed.
      if (registered.contains(number) || storage_.find_size(prefix + std::to_string(number)))
        continue;
      found_.push_back({.key = prefix + std::to_string(number),
                        .why = "Backups or WAL of it are here, and no registration."});
    }
    for (const auto number : with_wal) look_at_branches(cluster, number);
  }

  // Read only where something is missing: a registered cluster's are not asked for their number.
  std::set<std::uint32_t> identities_of_backups(const std::string& cluster) {
    std::set<std::uint32_t> numbers;
    for (const auto& id : storage_.list_names(prefix_of(ObjectPlace::backups, cluster))) {
      const auto key = backup_root_key(cluster, id);
      const auto prefix = storage_.find(key, {.length = root_prefix_bytes});
      if (!prefix || is_of_kind(*prefix, ObjectKind::tombstone)) continue;
      const auto info = unless_damaged([&] {
        return std::optional(
            decode_backup_info(decode_root_head(repository_.codec(), *prefix, key)));
      });
      numbers.insert(info ? info->identity_number : 1);
    }
    return numbers;
  }

  void look_at_branches(const std::string& cluster, std::uint32_t number) {
    ClusterIdentity identity;
    identity.name = cluster;
    identity.number = number;
    std::set<std::string> opened;
    const auto branches = prefix_of(ObjectPlace::branches, identity);
    for (const auto& timeline : storage_.list_names(branches)) {
      for (const auto& branch : storage_.list_names(std::string(branches).append(timeline) + "/")) {
        opened.insert(std::string(timeline).append("/").append(branch));
      }
    }
    for (const auto& name : storage_.list_names(prefix_of(ObjectPlace::wal, identity))) {
      // 00000002-1
      const auto dash = name.find('-');
      if (dash == std::string::npos) continue;
      const auto branch = number_in(std::string_view(name).substr(dash + 1));
      if (!branch) continue;
      const auto opening = name.substr(0, dash) + "/" + std::to_string(*branch);
      if (opened.contains(opening) || storage_.find_size(branches + opening)) continue;
      found_.push_back({.key = branches + opening,
                        .why = "WAL of this branch is here, and nothing says that it was opened."});
    }
  }

  const Repository& repository_;
  Storage& storage_;
  std::vector<Orphan> found_;
};

// Copies are listed first: a backup's deletion is on record before its root goes, and its copy goes
// behind that.
std::vector<Orphan> find_lost_roots(const Repository& repository) {
  auto& storage = repository.storage();
  std::vector<std::string> copies;
  storage.list(prefix_of(ObjectPlace::root_copies),
               [&](const ObjectInfo& object) { copies.push_back(object.key); });
  if (copies.empty()) return {};
  std::set<std::string> roots;
  storage.list(prefix_of(ObjectPlace::backups),
               [&](const ObjectInfo& object) { roots.insert(object.key); });
  std::vector<Orphan> found;
  for (const auto& copy : copies) {
    const auto key = root_key_of_copy(copy);
    // Committed since, or deleted.
    if (roots.contains(key) || storage.find_size(key) || storage.find_size(deletion_key(key))) {
      continue;
    }
    found.push_back({.key = key, .why = "A copy of it is here, and nobody deleted the backup."});
  }
  return found;
}

}  // namespace

std::vector<Orphan> find_unregistered(const Repository& repository) {
  return UnregisteredFinder(repository).find();
}

std::vector<Orphan> find_orphans(const Repository& repository) {
  auto found = find_unregistered(repository);
  for (auto& lost : find_lost_roots(repository)) found.push_back(std::move(lost));
  return found;
}

}  // namespace walvault
