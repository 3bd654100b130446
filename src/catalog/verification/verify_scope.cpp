#include "catalog/verification/verify_scope.h"

#include <algorithm>

#include "catalog/records/backup_list.h"
#include "repository/damaged_packs.h"

namespace walvault {
namespace {

class ScopeFinder {
 public:
  explicit ScopeFinder(VerifyState& state) : state_(state) {}

  void run() {
    find_subjects();
    hold();
    look_for_packs();
  }

 private:
  void find_subjects() {
    // What a pack holds for others is not looked at then: a clone's backups share packs
    // with those of its original.
    state_.is_partial = state_.request.backup ||
                        (state_.request.cluster &&
                         state_.storage.list_names(prefix_of(ObjectPlace::clusters)).size() > 1);
    state_.clusters = state_.request.cluster
                          ? std::vector{get_cluster(state_.repository, *state_.request.cluster)}
                          : readable_clusters();
    for (const auto& cluster : state_.clusters) {
      const auto list = list_backups(state_.repository, cluster.name);
      const auto asked = state_.request.backup
                             ? backup_root_key(cluster.name, *state_.request.backup)
                             : std::string();
      const bool is_damaged = std::ranges::find(list.damaged, asked) != list.damaged.end();
      if (state_.request.backup && !is_damaged)
        (void)get_backup(list.backups, *state_.request.backup);
      for (const auto& key : list.damaged) {
        if (asked.empty() || key == asked) add_damaged_root(cluster.name, key);
      }
      for (const auto& info : list.backups) {
        if (!state_.request.backup || info.id == *state_.request.backup) add_subject(info);
      }
    }
    state_.report.backups = state_.subjects.size();
  }

  // A damaged registration stops no other; as an object it is reported like any.
  [[nodiscard]] std::vector<ClusterIdentity> readable_clusters() {
    std::vector<ClusterIdentity> clusters;
    const auto prefix = std::string(prefix_of(ObjectPlace::clusters));
    for (const auto& name : state_.storage.list_names(prefix)) {
      try {
        if (auto identity = find_cluster(state_.repository, name)) {
          clusters.push_back(std::move(*identity));
        }
      } catch (const Error& error) {
        if (!VerifyState::is_damage(error)) throw;
        if (state_.request.tier == VerifyTier::present) {
          state_.add_damage(prefix + name, DamageKind::damaged, one_line(error));
        }
      }
    }
    return clusters;
  }

  // One of which not even the head can be read.
  void add_damaged_root(const std::string& cluster, const std::string& key) {
    const bool is_there = state_.storage.find_size(key).has_value();
    state_.add_damage(key, is_there ? DamageKind::damaged : DamageKind::missing,
                      is_there ? "What it says of its backup cannot be read."
                               : "A copy of it is here, and nobody deleted the backup.");
    Subject subject{.info = {}, .root_key = key, .packs = {}, .readable = false};
    subject.info.cluster = cluster;
    // backups/main/ID/1
    const auto end = key.rfind('/');
    const auto begin = key.rfind('/', end - 1) + 1;
    subject.info.id = key.substr(begin, end - begin);
    state_.damage_of(subject).whole = true;
  }

  void add_subject(const BackupInfo& info) {
    state_.reporter.check_cancelled();
    Subject subject{.info = info, .root_key = backup_root_key(info.cluster, info.id), .packs = {}};
    std::optional<Bytes> object;
    const auto lost = [&](DamageKind kind, const std::string& why) {
      state_.add_damage(subject.root_key, kind, why);
      state_.damage_of(subject).whole = true;
      subject.readable = false;
    };
    if (const auto why =
            state_.unreadable_twice([&] { object = state_.storage.find(subject.root_key); })) {
      lost(DamageKind::unreadable, *why);
    } else if (!object) {
      return;  // deleted an instant ago
    } else {
      try {
        subject.packs = decode_root(state_.repository.codec(), *object, subject.root_key).packs;
      } catch (const Error& error) {
        if (!VerifyState::is_damage(error)) throw;
        lost(DamageKind::damaged, error.detail());
      }
    }
    for (const auto& entry : subject.packs.entries()) {
      auto& state = state_.packs[entry.name];
      state.size = entry.size;
      ++state.trees_left;
    }
    state_.subjects.push_back(std::move(subject));
  }

  void hold() {
    std::uint32_t number = 0;
    for (const auto& cluster : state_.clusters) {
      PackTable needed;
      for (const auto& subject : state_.subjects) {
        if (subject.info.cluster != cluster.name) continue;
        for (const auto& entry : subject.packs.entries()) needed.add(entry.name, entry.size);
      }
      if (needed.entries().empty()) continue;
      try {
        state_.pins.push_back(std::make_unique<ReaderPin>(
            state_.repository, state_.clock, state_.run, ++number, cluster.name, needed));
      } catch (const Error& error) {
        state_.reporter.warn("cannot protect what is read from gc: " + one_line(error));
      }
    }
    // What was deleted before it was held is no damage.
    std::erase_if(state_.subjects, [&](const Subject& subject) {
      if (state_.storage.find_size(subject.root_key)) return false;
      for (const auto& entry : subject.packs.entries()) --state_.packs[entry.name].trees_left;
      return true;
    });
    std::erase_if(state_.packs, [](const auto& pack) { return pack.second.trees_left == 0; });
  }

  void look_for_packs() {
    state_.storage.list(prefix_of(ObjectPlace::packs), [&](const ObjectInfo& object) {
      if (const auto name = PackName::parse(object.key)) state_.listed.emplace(*name, object.size);
    });
    for (auto& [name, state] : state_.packs) {
      ++state_.report.packs;
      state_.report.pack_bytes += state.size;
      const auto it = state_.listed.find(name);
      if (it == state_.listed.end()) {
        state.task = PackTask::lost;
        state.faulty = true;
        state_.add_damage(name.key(), DamageKind::missing, "");
      } else if (it->second != state.size) {
        state.task = PackTask::check;
        state.faulty = true;
        state_.add_damage(name.key(), DamageKind::damaged,
                          "It has " + std::to_string(it->second) + " bytes instead of " +
                              std::to_string(state.size) + ".");
      } else if (state_.marked.contains(name) &&
                 (state_.request.tier == VerifyTier::present ||
                  (!state_.is_deep() &&
                   damage_of_pack(state_.repository, name) == PackDamage::content))) {
        state.task = PackTask::check;
        state.faulty = true;
        state_.add_damage(name.key(), DamageKind::damaged, "It was found damaged before.");
      }
    }
  }

  VerifyState& state_;
};

}  // namespace

void find_scope(VerifyState& state) { ScopeFinder(state).run(); }

}  // namespace walvault
