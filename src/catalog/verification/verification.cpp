#include "catalog/verification/verification.h"
#include "catalog/records/backup_list.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "base/rate_limit.h"
#include "catalog/verification/verify_journal.h"
#include "catalog/wal/wal_check.h"
#include "postgres/data_page.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"
#include "repository/reader_pin.h"
#include "repository/tree_check.h"

namespace walvault {
namespace {

// A backup in scope.
struct Subject {
  BackupInfo info;
  std::string root_key;
  PackTable packs;
  bool readable = true;
};

struct PackState {
  std::uint64_t size = 0;
  // What the trees that need it are asked for: nothing, its content, or, when it
  // cannot be read, nothing either and all of it is lost.
  PackTask task = PackTask::skip;
  bool faulty = false;
  // Trees that need it and were not read to the end.
  std::size_t trees_left = 0;
};

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

class Verifier {
 public:
  Verifier(const Repository& repository, Clock& clock, const RandomId& run,
           const VerifyRequest& request, const VerifyListener& listener)
      : repository_(repository),
        storage_(repository.storage()),
        clock_(clock),
        run_(run),
        request_(request),
        listener_(listener),
        journal_(repository, clock, run, listener.warn),
        limit_(clock, request.bytes_per_second) {}

  VerifyReport run() {
    report_.tier = request_.tier;
    marked_ = list_damaged_packs(repository_);
    find_subjects();
    hold();
    look_for_packs();
    try {
      if (request_.tier >= VerifyTier::stored) read_objects();
      read_trees();
      judge_costs();
    } catch (...) {
      journal_.save();
      throw;
    }
    finish();
    return std::move(report_);
  }

 private:
  [[nodiscard]] bool is_deep() const { return request_.tier == VerifyTier::deep; }

  void meter(std::uint64_t bytes) {
    listener_.check_cancelled();
    limit_.take(bytes, listener_.check_cancelled);
    stored_bytes_read_ += bytes;
    listener_.read(bytes);
  }

  void add_damage(std::string key, DamageKind kind, std::string why) {
    ++report_.object_count;
    if (report_.objects.size() >= damage_list_max) return;
    report_.objects.push_back({.key = std::move(key), .kind = kind, .why = std::move(why)});
  }

  BackupDamage& damage_of(const Subject& subject) {
    return damage_in(report_.damaged_backups, subject.info);
  }

  // A bit of an envelope makes an object look like a newer program's.
  static bool is_damage(const Error& error) {
    return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::conflict;
  }

  // What an action on one object throws because that object cannot be read, while
  // the repository can. Anything else is thrown on.
  template <typename Action>
  std::optional<std::string> unreadable(Action&& action) {
    try {
      action();
      return std::nullopt;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
      if (!holds_repository(storage_)) throw;
      return one_line(error);
    }
  }

  // Likewise for one that can be repeated. A repository that was away and has come back
  // in between has made nothing unreadable.
  template <typename Action>
  std::optional<std::string> unreadable_twice(Action&& action) {
    return unreadable(action) ? unreadable(action) : std::nullopt;
  }

  // -- What is in scope ---------------------------------------------------------

  void find_subjects() {
    // What a pack holds for others is not looked at then: a clone's backups share packs
    // with those of its original.
    is_partial_ =
        request_.backup ||
        (request_.cluster && storage_.list_names(prefix_of(ObjectPlace::clusters)).size() > 1);
    clusters_ = request_.cluster ? std::vector{get_cluster(repository_, *request_.cluster)}
                                 : list_clusters(repository_);
    for (const auto& cluster : clusters_) {
      const auto list = list_backups(repository_, cluster.name);
      const auto asked =
          request_.backup ? backup_root_key(cluster.name, *request_.backup) : std::string();
      const bool is_damaged = std::ranges::find(list.damaged, asked) != list.damaged.end();
      if (request_.backup && !is_damaged) (void)get_backup(list.backups, *request_.backup);
      for (const auto& key : list.damaged) {
        if (asked.empty() || key == asked) add_damaged_root(cluster.name, key);
      }
      for (const auto& info : list.backups) {
        if (!request_.backup || info.id == *request_.backup) add_subject(info);
      }
    }
    report_.backups = subjects_.size();
  }

  // One of which not even the head can be read.
  void add_damaged_root(const std::string& cluster, const std::string& key) {
    add_damage(key, DamageKind::damaged, "What it says of its backup cannot be read.");
    Subject subject{.info = {}, .root_key = key, .packs = {}, .readable = false};
    subject.info.cluster = cluster;
    // backups/main/ID/1
    const auto end = key.rfind('/');
    const auto begin = key.rfind('/', end - 1) + 1;
    subject.info.id = key.substr(begin, end - begin);
    damage_of(subject).whole = true;
  }

  void add_subject(const BackupInfo& info) {
    listener_.check_cancelled();
    Subject subject{.info = info, .root_key = backup_root_key(info.cluster, info.id), .packs = {}};
    std::optional<Bytes> object;
    const auto lost = [&](DamageKind kind, const std::string& why) {
      add_damage(subject.root_key, kind, why);
      damage_of(subject).whole = true;
      subject.readable = false;
    };
    if (const auto why = unreadable_twice([&] { object = storage_.find(subject.root_key); })) {
      lost(DamageKind::unreadable, *why);
    } else if (!object) {
      return;  // deleted an instant ago
    } else {
      try {
        subject.packs = decode_root(*object, subject.root_key).packs;
      } catch (const Error& error) {
        if (!is_damage(error)) throw;
        lost(DamageKind::damaged, error.detail());
      }
    }
    for (const auto& entry : subject.packs.entries()) {
      auto& state = packs_[entry.name];
      state.size = entry.size;
      ++state.trees_left;
    }
    subjects_.push_back(std::move(subject));
  }

  void hold() {
    std::uint32_t number = 0;
    for (const auto& cluster : clusters_) {
      PackTable needed;
      for (const auto& subject : subjects_) {
        if (subject.info.cluster != cluster.name) continue;
        for (const auto& entry : subject.packs.entries()) needed.add(entry.name, entry.size);
      }
      if (needed.entries().empty()) continue;
      try {
        pins_.push_back(
            std::make_unique<ReaderPin>(repository_, clock_, run_, ++number, cluster.name, needed));
      } catch (const Error& error) {
        listener_.warn("cannot hold what is read against a gc: " + one_line(error));
      }
    }
    // What was deleted before it was held is no damage.
    std::erase_if(subjects_, [&](const Subject& subject) {
      if (storage_.find_size(subject.root_key)) return false;
      for (const auto& entry : subject.packs.entries()) --packs_[entry.name].trees_left;
      return true;
    });
    std::erase_if(packs_, [](const auto& pack) { return pack.second.trees_left == 0; });
  }

  // -- Packs by listing ---------------------------------------------------------

  void look_for_packs() {
    storage_.list(prefix_of(ObjectPlace::packs), [&](const ObjectInfo& object) {
      if (const auto name = PackName::parse(object.key)) listed_.emplace(*name, object.size);
    });
    for (auto& [name, state] : packs_) {
      ++report_.packs;
      report_.pack_bytes += state.size;
      const auto it = listed_.find(name);
      if (it == listed_.end()) {
        state.task = PackTask::lost;
        state.faulty = true;
        add_damage(name.key(), DamageKind::missing, "");
      } else if (it->second != state.size) {
        state.task = PackTask::check;
        state.faulty = true;
        add_damage(name.key(), DamageKind::damaged,
                   "It has " + std::to_string(it->second) + " bytes instead of " +
                       std::to_string(state.size) + ".");
      } else if (marked_.contains(name) &&
                 (request_.tier == VerifyTier::present ||
                  (!is_deep() && damage_of_pack(repository_, name) == PackDamage::content))) {
        state.task = PackTask::check;
        state.faulty = true;
        add_damage(name.key(), DamageKind::damaged, "It was found damaged before.");
      }
    }
  }

  // -- Stored bytes -------------------------------------------------------------

  [[nodiscard]] bool is_sampled(const std::string& key) const {
    if (request_.sample >= 1) return true;
    const auto digest = sha256(as_bytes(to_hex(run_) + key));
    return static_cast<double>(DigestHash()(digest)) < request_.sample * 0x1p64;
  }

  void read_objects() {
    std::vector<StoredObject> chosen;
    for (auto& [name, state] : packs_) {
      if (state.faulty) continue;
      // What was found damaged is read whatever is asked for.
      const bool is_wanted =
          marked_.contains(name) ||
          (!(request_.max_age && journal_.is_pack_right(name, request_.tier, *request_.max_age)) &&
           is_sampled(name.key()));
      if (!is_wanted) continue;
      if (is_deep()) state.task = PackTask::check;
      ++report_.packs_read;
      chosen.push_back(
          {.key = name.key(), .size = state.size, .pack = name, .kind = ObjectKind::pack});
    }
    for (const auto& cluster : clusters_) choose_wal(cluster, chosen);
    choose_others(chosen);
    std::uint64_t bytes = 0;
    for (const auto& object : chosen) bytes += object.size;
    listener_.total(bytes);
    read(std::move(chosen));
  }

  void choose_wal(const ClusterIdentity& cluster, std::vector<StoredObject>& chosen) {
    for (const auto& identity : cluster_identities(repository_, cluster.name)) {
      const WalArchive archive(repository_, identity);
      const auto prefix = archive.prefix();
      std::string last_prefix;
      storage_.list(prefix, [&](const ObjectInfo& object) {
        const auto place = segment_place(archive, object.key);
        // They come in order: before the first of a branch there is nothing any more.
        if (place && place->branch_prefix != last_prefix) {
          last_prefix = place->branch_prefix;
          journal_.forget_segments_before(last_prefix, place->number);
        }
        if (request_.backup && !(place && is_needed(identity, *place))) return;
        ++report_.wal_files;
        report_.wal_bytes += object.size;
        StoredObject wanted{.key = object.key, .size = object.size};
        // Small files, which many things hang on, are always read.
        if (place && !place->partial) {
          const bool is_fresh =
              request_.max_age && journal_.is_segment_right(place->branch_prefix, place->number,
                                                            request_.tier, *request_.max_age);
          if (is_fresh || !is_sampled(object.key)) return;
          wanted.branch_prefix = place->branch_prefix;
          wanted.number = place->number;
        }
        ++report_.wal_files_read;
        chosen.push_back(std::move(wanted));
      });
    }
  }

  // By the one backup that is asked for.
  [[nodiscard]] bool is_needed(const ClusterIdentity& identity, const SegmentPlace& place) const {
    return std::ranges::any_of(subjects_, [&](const Subject& subject) {
      const auto& info = subject.info;
      return info.identity_number == identity.number && info.timeline == place.branch.timeline &&
             info.branch == place.branch.branch &&
             place.number >= info.start.value / identity.segment_bytes &&
             place.number <= (info.stop.value - 1) / identity.segment_bytes;
    });
  }

  void choose_others(std::vector<StoredObject>& chosen) {
    if (request_.backup) return;
    const auto choose = [&](const std::string& prefix, ObjectKind kind) {
      storage_.list(prefix, [&](const ObjectInfo& object) {
        chosen.push_back({.key = object.key, .size = object.size, .kind = kind});
        ++report_.objects_read;
      });
    };
    for (const auto& place : object_table()) {
      if (!place.is_sealed) continue;
      const bool is_clusters = request_.cluster && place.scope == Scope::cluster;
      choose(is_clusters ? prefix_of(place.place, *request_.cluster) : std::string(place.prefix),
             place.kind);
    }
  }

  void read(std::vector<StoredObject> chosen) {
    const auto jobs = request_.jobs;
    OrderedWorkers<StoredObject> workers(
        {.threads = jobs, .in_flight_max = std::size_t{jobs} * 4},
        [&](StoredObject& object, unsigned) {
          listener_.check_cancelled();
          const auto why = unreadable_twice([&] { object.fault = find_fault(object); });
          if (!why) return;
          object.fault = *why;
          object.damage = DamageKind::unreadable;
        },
        [&](StoredObject& object) { note(object); });
    for (auto& object : chosen) workers.submit(std::move(object));
    workers.finish();
  }

  std::optional<std::string> find_fault(const StoredObject& object) {
    const auto metered = [this](std::uint64_t bytes) { meter(bytes); };
    if (object.pack) return find_pack_fault(storage_, *object.pack, metered);
    if (object.kind == ObjectKind::wal) {
      return find_wal_fault(repository_, object.key, is_deep(), metered);
    }
    meter(object.size);
    try {
      return repository_.find_sealed(object.kind, object.key) ? std::optional<std::string>("")
                                                              : std::nullopt;
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
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
      add_damage(object.key, object.damage, *object.fault);
      if (object.number) damaged_segments_.emplace(object.key, object.damage);
    }
    if (object.number && right) {
      journal_.note_segment(object.branch_prefix, *object.number, request_.tier);
    } else if (object.number) {
      journal_.note_damaged_segment(object.branch_prefix, *object.number);
    }
    journal_.save_when_due();
  }

  void note_pack(const PackName& name, const StoredObject& object) {
    auto& state = packs_[name];
    if (object.fault && object.fault->empty()) {
      // What deep adds is known when all trees were read.
      journal_.note_pack(name, VerifyTier::stored);
      if (marked_.contains(name) && damage_of_pack(repository_, name) == PackDamage::stored) {
        unmark(name);
      }
      return;
    }
    state.faulty = true;
    journal_.note_damaged_pack(name);
    const bool is_there = object.fault.has_value();
    const bool can_be_read = is_there && object.damage != DamageKind::unreadable;
    state.task = can_be_read ? PackTask::check : PackTask::lost;
    add_damage(object.key, is_there ? object.damage : DamageKind::missing,
               object.fault.value_or(""));
    if (is_there) mark(name, PackDamage::stored);
  }

  // So that no backup borrows from it.
  void mark(const PackName& name, PackDamage damage) {
    try {
      mark_damaged(repository_, name, damage, journal_.started());
    } catch (const Error& error) {
      listener_.warn("cannot mark " + name.key() +
                     " as damaged, so the next backup may rely on "
                     "it: " +
                     one_line(error));
    }
  }

  void unmark(const PackName& name) {
    try {
      storage_.remove({damaged_pack_key(name)});
    } catch (const Error& error) {
      listener_.warn("cannot take back that " + name.key() +
                     " was found damaged before: " + one_line(error));
    }
  }

  // -- Content ------------------------------------------------------------------

  void read_trees() {
    TreeChecker checker(repository_, {.jobs = request_.jobs});
    // The newest first: it is what most would restore.
    for (auto it = subjects_.rbegin(); it != subjects_.rend(); ++it) {
      if (it->readable) read_tree(*it, checker);
    }
  }

  void read_tree(const Subject& subject, TreeChecker& checker) {
    std::vector<PackTask> tasks;
    bool any = false;
    for (const auto& entry : subject.packs.entries()) {
      tasks.push_back(packs_[entry.name].task);
      any |= tasks.back() != PackTask::skip;
    }
    const bool is_known =
        request_.max_age && journal_.is_tree_right(subject.root_key, *request_.max_age);
    const bool any_faulty = std::ranges::any_of(
        subject.packs.entries(), [&](const auto& entry) { return packs_[entry.name].faulty; });
    if (any && (any_faulty || !is_known)) {
      const auto object = storage_.find(subject.root_key);
      if (!object) return;  // deleted meanwhile
      if (is_deep()) listener_.info("reading the content of backup " + subject.info.id);
      bool whole = true;
      auto root = decode_root(*object, subject.root_key);
      if (std::ranges::find(root.streams, "files", &Stream::name) == root.streams.end()) {
        damage_of(subject).add_lost({.why = "It has no list of files."});
        return;
      }
      const auto why =
          unreadable([&] { checker.check(std::move(root), tasks, tree_listener(subject, whole)); });
      if (why) damage_of(subject).add_lost({.why = *why});
      if (!whole || why) {
        journal_.note_damaged_tree(subject.root_key);
        return;
      }
    }
    if (!is_deep()) return;
    if (request_.sample >= 1 && any && !is_known) journal_.note_tree(subject.root_key);
    for (const auto& entry : subject.packs.entries()) {
      auto& state = packs_[entry.name];
      if (--state.trees_left > 0 || state.faulty || state.task != PackTask::check || is_partial_) {
        continue;
      }
      journal_.note_pack(entry.name, VerifyTier::deep);
      if (marked_.contains(entry.name)) unmark(entry.name);
    }
    journal_.save_when_due();
  }

  TreeCheckListener tree_listener(const Subject& subject, bool& whole) {
    const auto& control = subject.info.control;
    const bool has_checksums =
        control.data_checksum_version != 0 && control.block_bytes == data_page_bytes;
    return {.lost =
                [this, &subject, &whole](LostContent content) {
                  whole = false;
                  const std::lock_guard lock(mutex_);
                  note_lost_pack(content);
                  damage_of(subject).add_lost(std::move(content));
                },
            .got =
                [this, &subject, &whole, has_checksums](const WantedChunk& wanted, ByteView chunk) {
                  plain_bytes_read_ += chunk.size();
                  return !is_deep() || !has_checksums || judge_pages(subject, wanted, chunk, whole);
                },
            .reading = [this](std::uint64_t bytes) { meter(bytes); },
            .check_cancelled = listener_.check_cancelled};
  }

  // A pack whose bytes are right as a whole, and whose content is not.
  void note_lost_pack(const LostContent& content) {
    const auto it = content.pack ? packs_.find(*content.pack) : packs_.end();
    if (it == packs_.end() || it->second.faulty) return;
    it->second.faulty = true;
    journal_.note_damaged_pack(it->first);
    add_damage(it->first.key(), DamageKind::damaged, content.why);
    mark(it->first, PackDamage::content);
  }

  // Whether all of them were judged, and are right. `whole` gets false where one is not.
  bool judge_pages(const Subject& subject, const WantedChunk& wanted, ByteView chunk, bool& whole) {
    const auto first = first_block_of(*wanted.path, subject.info.control.relation_segment_blocks);
    if (!first) return true;
    bool all_right = true;
    auto block = *first + static_cast<std::uint32_t>(wanted.offset / data_page_bytes);
    for (; chunk.size() >= data_page_bytes; chunk = chunk.subspan(data_page_bytes), ++block) {
      const auto verdict = judge_page(chunk.first(data_page_bytes), block, subject.info.start);
      all_right &= verdict != PageVerdict::written_since && verdict != PageVerdict::wrong;
      if (verdict != PageVerdict::wrong) continue;
      const std::lock_guard lock(mutex_);
      whole = false;
      auto& damage = damage_of(subject);
      ++damage.wrong_page_count;
      if (damage.wrong_pages.size() < damage_list_max) {
        damage.wrong_pages.push_back({.path = *wanted.path, .block = block});
      }
    }
    return all_right;
  }

  // -- What it costs ------------------------------------------------------------

  void judge_costs() {
    std::vector<BackupInfo> subjects;
    for (const auto& subject : subjects_) subjects.push_back(subject.info);
    for (const auto& cluster : clusters_) {
      const auto list = list_backups(repository_, cluster.name);
      for (const auto& identity : cluster_identities(repository_, cluster.name)) {
        try {
          report_.windows.push_back(judge_windows(repository_, identity, list.backups, subjects,
                                                  request_.backup.has_value(), damaged_segments_,
                                                  report_.damaged_backups));
        } catch (const Error& error) {
          const bool is_unreadable =
              error.kind() == ErrorKind::unavailable && holds_repository(storage_);
          if (!is_damage(error) && !is_unreadable) throw;
          report_.windows.push_back({.identity = identity, .untold = one_line(error)});
        }
        for (const auto& key : report_.windows.back().missing_files) {
          add_damage(key, DamageKind::missing, "");
        }
      }
    }
    for (auto& damage : report_.damaged_backups) damage.join_lost();
    forget_what_was_deleted();
  }

  // A backup that was deleted meanwhile, and what it alone needed, is no damage.
  void forget_what_was_deleted() {
    std::erase_if(report_.damaged_backups, [&](const BackupDamage& damage) {
      return !storage_.find_size(backup_root_key(damage.cluster, damage.id));
    });
    std::set<std::string> needed;
    bool any_gone = false;
    for (const auto& subject : subjects_) {
      if (!storage_.find_size(subject.root_key)) {
        any_gone = true;
        continue;
      }
      for (const auto& entry : subject.packs.entries()) needed.insert(entry.name.key());
    }
    if (!any_gone) return;
    report_.object_count -= std::erase_if(report_.objects, [&](const ObjectDamage& object) {
      return object.key.starts_with(prefix_of(ObjectPlace::packs)) && !needed.contains(object.key);
    });
  }

  void finish() {
    report_.stored_bytes_read = stored_bytes_read_;
    report_.plain_bytes_read = plain_bytes_read_;
    journal_.finish({.cluster = request_.cluster.value_or(""),
                     .tier = request_.tier,
                     .partial = request_.backup || request_.sample < 1 || request_.max_age,
                     .whole = report_.is_whole(),
                     .damaged = report_.object_count},
                    [&](const PackName& pack) { return listed_.contains(pack); });
  }

  const Repository& repository_;
  Storage& storage_;
  Clock& clock_;
  const RandomId run_;
  const VerifyRequest& request_;
  const VerifyListener& listener_;
  VerifyJournal journal_;
  RateLimit limit_;

  bool is_partial_ = false;  // not all trees that need a pack are in scope
  std::vector<ClusterIdentity> clusters_;
  std::vector<Subject> subjects_;
  std::map<PackName, PackState> packs_;
  std::map<PackName, std::uint64_t> listed_;  // needed or not, with their sizes
  std::set<PackName> marked_;
  std::map<std::string, DamageKind> damaged_segments_;
  std::vector<std::unique_ptr<ReaderPin>> pins_;

  std::atomic<std::uint64_t> stored_bytes_read_{0};
  std::atomic<std::uint64_t> plain_bytes_read_{0};
  std::mutex mutex_;  // guards what threads add to the report
  VerifyReport report_;
};

}  // namespace

bool VerifyReport::is_whole() const {
  return object_count == 0 && damaged_backups.empty() &&
         std::ranges::all_of(windows, [](const VerifiedWindows& each) {
           return each.gaps.empty() && each.untold.empty();
         });
}

VerifyReport verify(const Repository& repository, Clock& clock, const RandomId& run,
                    const VerifyRequest& request, const VerifyListener& listener) {
  return Verifier(repository, clock, run, request, listener).run();
}

}  // namespace walvault
