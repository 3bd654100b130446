#include "repository/gc.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "repository/damaged_packs.h"
#include "repository/gc_plan.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/root_copy.h"
#include "repository/tree.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t batch_keys = 256;
constexpr milliseconds nap{200};

// What is in use, seen at one moment.
struct Reached {
  std::set<PackName> packs;
  std::set<WriterId> writers;  // that may still commit: all of their packs
  std::map<std::string, std::uint64_t> cluster_bytes;
};

// backups/main/ID/1
std::string cluster_of(std::string_view root_key) {
  const auto rest = root_key.substr(prefix_of(ObjectPlace::backups).size());
  return std::string(rest.substr(0, rest.find('/')));
}

class Collector {
 public:
  explicit Collector(const Repository& repository)
      : repository_(repository), storage_(repository.storage()) {}

  // Steps 1 and 2.
  void look() {
    list_packs();
    const auto reached = reach();
    live_writers_ = reached.writers;
    report_.cluster_bytes = reached.cluster_bytes;
    for (const auto& [name, size] : packs_) {
      if (is_reached(reached, name)) continue;
      dead_.add(name, size);
      report_.dead_bytes += size;
    }
    report_.dead_packs = dead_.entries().size();
  }

  void collect(Clock& clock, const RandomId& run, const GcOptions& options,
               const Reporter& reporter) {
    give_up_writers(clock.now() - options.give_up_after);
    if (options.alone) remove_plans();
    const auto records = list_records();
    look();
    remove_records(records);
    if (report_.dead_packs == 0) return;

    const auto plan_key = std::string(prefix_of(ObjectPlace::plans)) + to_hex(run);
    (void)repository_.put_sealed(ObjectKind::plan, plan_key,
                                 encode_gc_plan({.created = clock.now(), .condemned = dead_}));
    reporter.info(std::to_string(report_.dead_packs) + " packs, " +
                  format_size(report_.dead_bytes) + " are not referred to; waiting " +
                  format_duration(options.grace) + " before they are deleted");
    try {
      for (auto left = options.grace; left > milliseconds{0}; left -= nap) {
        reporter.check_cancelled();
        clock.sleep_for(std::min(nap, left));
      }
    } catch (...) {
      // Nothing of it was deleted.
      storage_.remove({plan_key});
      throw;
    }
    const auto reached = reach();
    const auto marked = list_damaged_packs(repository_);
    std::vector<std::string> keys;
    const auto flush = [&] {
      reporter.check_cancelled();
      storage_.remove(keys);
      keys.clear();
    };
    for (const auto& entry : dead_.entries()) {
      if (is_reached(reached, entry.name)) continue;
      keys.push_back(entry.name.key());
      if (marked.contains(entry.name)) keys.push_back(damaged_pack_key(entry.name));
      ++report_.deleted_packs;
      report_.deleted_bytes += entry.size;
      if (keys.size() >= batch_keys) flush();
    }
    if (!keys.empty()) flush();
    // Every delete was answered, and no other will come: what is still needed is nobody's
    // to delete any more.
    storage_.remove({plan_key});
  }

  [[nodiscard]] GcReport report() && { return std::move(report_); }

 private:
  void list_packs() {
    storage_.list(prefix_of(ObjectPlace::packs), [&](const ObjectInfo& object) {
      const auto name = PackName::parse(object.key);
      if (!name) return;
      packs_.emplace(*name, object.size);
      report_.pack_bytes += object.size;
    });
    report_.packs = packs_.size();
  }

  // Pins, then roots: a writer that commits between the two is seen by either.
  Reached reach() {
    Reached reached;
    report_.running.clear();
    for (const auto& stored : list_pins(repository_)) {
      if (!is_live(repository_, stored.pin)) continue;
      report_.running.push_back(stored.pin.root_key);
      if (stored.writer) reached.writers.insert(*stored.writer);
      add(reached, stored.pin.may_borrow);
    }
    std::vector<std::string> roots;
    storage_.list(prefix_of(ObjectPlace::backups),
                  [&](const ObjectInfo& object) { roots.push_back(object.key); });
    // Roots come by cluster.
    std::string cluster;
    std::set<PackName> of_cluster;
    for (const auto& key : roots) {
      if (cluster_of(key) != cluster) of_cluster.clear();
      cluster = cluster_of(key);
      const auto object = storage_.find(key);
      if (!object || is_of_kind(*object, ObjectKind::tombstone)) continue;
      try {
        const auto packs = decode_root(repository_.codec(), *object, key).packs;
        add(reached, packs);
        for (const auto& entry : packs.entries()) {
          if (of_cluster.insert(entry.name).second) reached.cluster_bytes[cluster] += entry.size;
        }
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        throw Error(ErrorKind::corrupt, "a backup is damaged: what it needs is not known",
                    key + ": " + one_line(error) + " Nothing was deleted.",
                    "Restore that object from a copy of the repository, or give the backup up: "
                    "walvault backups delete ID --yes");
      }
    }
    add_lost_roots(reached, {roots.begin(), roots.end()});
    return reached;
  }

  // What a root needs that is lost, until it is brought back from its copy or given up.
  void add_lost_roots(Reached& reached, const std::set<std::string>& roots) {
    std::vector<std::string> copies;
    storage_.list(prefix_of(ObjectPlace::root_copies),
                  [&](const ObjectInfo& object) { copies.push_back(object.key); });
    for (const auto& copy : copies) {
      const auto root_key = root_key_of_copy(copy);
      // Deleted, or committed behind the look at the roots, by a writer whose pin was seen.
      if (roots.contains(root_key) || storage_.find_size(deletion_key(root_key)) ||
          storage_.find_size(root_key)) {
        continue;
      }
      const auto root = find_root_copy(repository_, root_key);
      if (!root) {
        throw Error(ErrorKind::corrupt, "a backup is lost: what it needs is not known",
                    root_key + " is missing, and its copy is damaged. Nothing was deleted.",
                    "walvault repair --from another repository, or give the backup up: walvault "
                    "backups delete ID --yes");
      }
      add(reached, decode_root(repository_.codec(), *root, root_key).packs);
    }
  }

  static void add(Reached& reached, const PackTable& table) {
    for (const auto& entry : table.entries()) reached.packs.insert(entry.name);
  }

  [[nodiscard]] static bool is_reached(const Reached& reached, const PackName& name) {
    return reached.packs.contains(name) || reached.writers.contains(name.writer);
  }

  // Removes the pins of writers that have committed or never will.
  void give_up_writers(Timestamp begun_by) {
    for (const auto& stored : list_pins(repository_)) {
      const auto& pin = stored.pin;
      if (is_live(repository_, pin)) {
        if (pin.created > begun_by) continue;
        // True: it can never commit. False: it just has.
        if (repository_.put_sealed(ObjectKind::tombstone, pin.root_key, {})) {
          report_.given_up.push_back(pin.root_key);
        }
      } else {
        // What gives it up, whoever put that.
        storage_.settle({pin.root_key, deletion_key(pin.root_key)});
      }
      storage_.remove({stored.key});
    }
  }

  // What writers have recorded for the run after them.
  std::vector<std::string> list_records() {
    std::vector<std::string> keys;
    storage_.list(prefix_of(ObjectPlace::unfinished),
                  [&](const ObjectInfo& object) { keys.push_back(object.key); });
    return keys;
  }

  // Those of writers that were not live when the pins were read: a pin stands before them,
  // so none is taken that was listed earlier and is of a live one. Before the plan, as
  // roots go before it: a source that is there has its packs.
  void remove_records(std::vector<std::string> keys) {
    std::erase_if(keys, [&](const std::string& key) {
      const auto writer = WriterId::in_key(key);
      return writer && live_writers_.contains(*writer);
    });
    if (!keys.empty()) storage_.remove(keys);
  }

  // Of gcs that died. Their plans stay as long as it is not known that they are dead: a copy
  // may bring a pack here once more that is on such a list.
  void remove_plans() {
    std::vector<std::string> keys;
    for (const auto& name : storage_.list_names(prefix_of(ObjectPlace::plans))) {
      keys.push_back(std::string(prefix_of(ObjectPlace::plans)) + name);
    }
    if (!keys.empty()) storage_.remove(keys);
  }

  const Repository& repository_;
  Storage& storage_;
  std::map<PackName, std::uint64_t> packs_;
  std::set<WriterId> live_writers_;  // when what is dead was found
  PackTable dead_;
  GcReport report_;
};

}  // namespace

GcReport collect_garbage(const Repository& repository, Clock& clock, const RandomId& run,
                         const GcOptions& options, const Reporter& reporter) {
  repository.expect_deletable();
  Collector collector(repository);
  collector.collect(clock, run, options, reporter);
  return std::move(collector).report();
}

GcReport find_garbage(const Repository& repository) {
  repository.expect_deletable();
  Collector collector(repository);
  collector.look();
  return std::move(collector).report();
}

}  // namespace walvault
