#include "catalog/verification/object_reader.h"

#include <algorithm>

#include "base/ordered_workers.h"
#include "catalog/wal/wal_check.h"
#include "repository/damage.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

// One that is to be read.
struct StoredObject {
  std::string key;
  std::uint64_t size = 0;
  std::optional<PackName> pack = {};
  // Of a WAL segment.
  std::string branch_prefix = {};
  std::optional<std::uint64_t> number = {};
  ObjectKind kind = ObjectKind::wal;
  // Found: empty, it is right. nullopt: it is not there any more.
  std::optional<std::string> fault = {};
  DamageKind damage = DamageKind::damaged;
};

class ObjectReader {
 public:
  explicit ObjectReader(VerifyState& state) : state_(state) {}

  void read_objects() {
    std::vector<StoredObject> chosen;
    for (auto& [name, state] : state_.packs) {
      if (state.faulty) continue;
      // What was found damaged is read whatever is asked for.
      const bool is_wanted =
          state_.marked.contains(name) ||
          (!(state_.request.max_age &&
             state_.journal.is_pack_right(name, state_.request.tier, *state_.request.max_age)) &&
           is_sampled(name.key()));
      if (!is_wanted) continue;
      if (state_.is_deep()) state.task = PackTask::check;
      ++state_.report.packs_read;
      chosen.push_back(
          {.key = name.key(), .size = state.size, .pack = name, .kind = ObjectKind::pack});
    }
    for (const auto& cluster : state_.clusters) choose_wal(cluster, chosen);
    choose_others(chosen);
    std::uint64_t bytes = 0;
    for (const auto& object : chosen) bytes += object.size;
    state_.progress.total(bytes);
    read(std::move(chosen));
  }

 private:
  [[nodiscard]] bool is_sampled(const std::string& key) const {
    if (state_.request.sample >= 1) return true;
    const auto digest = sha256(as_bytes(to_hex(state_.run) + key));
    return static_cast<double>(DigestHash()(digest)) < state_.request.sample * 0x1p64;
  }

  void choose_wal(const ClusterIdentity& cluster, std::vector<StoredObject>& chosen) {
    for (const auto& identity : cluster_identities(state_.repository, cluster.name)) {
      const auto archive = archive_of(identity);
      if (archive) choose_wal(*archive, chosen);
    }
  }

  // nullopt: the opening of a branch is damaged, which is reported as an object.
  [[nodiscard]] std::optional<WalArchive> archive_of(const ClusterIdentity& identity) const {
    return unless_damaged([&] { return std::optional(WalArchive(state_.repository, identity)); });
  }

  void choose_wal(const WalArchive& archive, std::vector<StoredObject>& chosen) {
    const auto& identity = archive.identity();
    const auto prefix = archive.prefix();
    std::string last_prefix;
    state_.storage.list(prefix, [&](const ObjectInfo& object) {
      const auto place = segment_place(archive, object.key);
      // They come in order: before the first of a branch there is nothing any more.
      if (place && place->branch_prefix != last_prefix) {
        last_prefix = place->branch_prefix;
        state_.journal.forget_segments_before(last_prefix, place->number);
      }
      if (state_.request.backup && !(place && is_needed(identity, *place))) return;
      ++state_.report.wal_files;
      state_.report.wal_bytes += object.size;
      StoredObject wanted{.key = object.key, .size = object.size};
      // Small files, which many things hang on, are always read.
      if (place && !place->partial) {
        const bool is_fresh =
            state_.request.max_age &&
            state_.journal.is_segment_right(place->branch_prefix, place->number,
                                            state_.request.tier, *state_.request.max_age);
        if (is_fresh || !is_sampled(object.key)) return;
        wanted.branch_prefix = place->branch_prefix;
        wanted.number = place->number;
      }
      ++state_.report.wal_files_read;
      chosen.push_back(std::move(wanted));
    });
  }

  // By the one backup that is asked for.
  [[nodiscard]] bool is_needed(const ClusterIdentity& identity, const SegmentPlace& place) const {
    return std::ranges::any_of(state_.subjects, [&](const Subject& subject) {
      const auto& info = subject.info;
      return info.identity_number == identity.number && info.timeline == place.branch.timeline &&
             info.branch == place.branch.branch &&
             place.number >= identity.geometry.number_of(info.start) &&
             place.number <= identity.geometry.number_before(info.stop);
    });
  }

  void choose_others(std::vector<StoredObject>& chosen) {
    if (state_.request.backup) return;
    choose_tombstones(chosen);
    const auto choose = [&](const std::string& prefix, ObjectKind kind) {
      state_.storage.list(prefix, [&](const ObjectInfo& object) {
        chosen.push_back({.key = object.key, .size = object.size, .kind = kind});
        ++state_.report.objects_read;
      });
    };
    // What is of the repository first: it is reported first.
    for (const auto scope : {Scope::repository, Scope::cluster}) {
      for (const auto& place : object_table()) {
        if (!place.is_sealed || place.scope != scope) continue;
        const bool is_clusters = state_.request.cluster && scope == Scope::cluster;
        choose(is_clusters ? prefix_of(place.place, *state_.request.cluster)
                           : std::string(place.prefix),
               place.kind);
      }
    }
  }

  // At the keys of roots, and smaller than any.
  void choose_tombstones(std::vector<StoredObject>& chosen) {
    constexpr std::uint64_t bytes_max = 256;
    std::vector<StoredObject> small;
    state_.storage.list(prefix_of(ObjectPlace::backups), [&](const ObjectInfo& object) {
      if (object.size > bytes_max) return;
      small.push_back({.key = object.key, .size = object.size, .kind = ObjectKind::tombstone});
    });
    for (auto& object : small) {
      const auto bytes = state_.storage.find(object.key, {.length = envelope_bytes});
      if (!bytes || !is_of_kind(*bytes, ObjectKind::tombstone)) continue;
      ++state_.report.objects_read;
      chosen.push_back(std::move(object));
    }
  }

  void read(std::vector<StoredObject> chosen) {
    const auto jobs = state_.request.jobs;
    OrderedWorkers<StoredObject> workers(
        {.threads = jobs, .in_flight_max = std::size_t{jobs} * 4},
        [&](StoredObject& object, unsigned) {
          state_.reporter.check_cancelled();
          const auto why = state_.unreadable_twice([&] { object.fault = find_fault(object); });
          if (!why) return;
          object.fault = *why;
          object.damage = DamageKind::unreadable;
        },
        [&](StoredObject& object) { note(object); });
    for (auto& object : chosen) workers.submit(std::move(object));
    workers.finish();
  }

  std::optional<std::string> find_fault(const StoredObject& object) {
    const auto metered = [this](std::uint64_t bytes) { state_.meter(bytes); };
    if (object.pack) return find_pack_fault(state_.storage, *object.pack, metered);
    if (object.kind == ObjectKind::wal) {
      return find_wal_fault(state_.repository, object.key, state_.is_deep(), metered);
    }
    state_.meter(object.size);
    try {
      return state_.repository.find_sealed(object.kind, object.key) ? std::optional<std::string>("")
                                                                    : std::nullopt;
    } catch (const Error& error) {
      if (!VerifyState::is_damage(error)) throw;
      return one_line(error);
    }
  }

  // On the delivery thread, one at a time.
  void note(const StoredObject& object) {
    const bool right = object.fault && object.fault->empty();
    if (object.pack) {
      note_pack(*object.pack, object);
    } else if (!object.fault) {
      return;  // deleted since it was listed; what is needed of it is told below
    } else if (!right) {
      state_.add_damage(object.key, object.damage, *object.fault);
      if (object.number) state_.damaged_segments.emplace(object.key, object.damage);
    }
    if (object.number && right) {
      state_.journal.note_segment(object.branch_prefix, *object.number, state_.request.tier);
    } else if (object.number) {
      state_.journal.note_damaged_segment(object.branch_prefix, *object.number);
    }
    state_.journal.save_when_due();
  }

  void note_pack(const PackName& name, const StoredObject& object) {
    auto& state = state_.packs[name];
    if (object.fault && object.fault->empty()) {
      // What deep adds is known when all trees were read.
      state_.journal.note_pack(name, VerifyTier::stored);
      if (state_.marked.contains(name) &&
          damage_of_pack(state_.repository, name) == PackDamage::stored) {
        state_.unmark(name);
      }
      return;
    }
    state.faulty = true;
    state_.journal.note_damaged_pack(name);
    const bool is_there = object.fault.has_value();
    const bool can_be_read = is_there && object.damage != DamageKind::unreadable;
    state.task = can_be_read ? PackTask::check : PackTask::lost;
    state_.add_damage(object.key, is_there ? object.damage : DamageKind::missing,
                      object.fault.value_or(""));
    if (is_there) state_.mark(name, PackDamage::stored);
  }

  VerifyState& state_;
};

}  // namespace

void read_objects(VerifyState& state) { ObjectReader(state).read_objects(); }

}  // namespace walvault
