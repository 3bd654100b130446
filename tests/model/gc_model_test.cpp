// The protocol of docs/repository-format.md, "Deleting while others write", in all
// interleavings: the real writer session, gc and deletion, each on a thread of its
// own that stops before every call of the storage until it is its turn. No state
// that can be reached, with a kill at any of them, may have a backup whose packs
// are not there. Each of eight simplifications is seen to break that.
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <memory>
#include <semaphore>
#include <thread>
#include <unordered_set>

#include "base/error.h"
#include "repository/gc.h"
#include "repository/pin.h"
#include "repository/tree.h"
#include "repository/tree_copier.h"
#include "repository/writer_session.h"
#include "support/memory_repository.h"

namespace walvault {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

enum class Simplification {
  none,
  no_tombstone,
  no_source_check,
  roots_before_pins,
  digest_only_names,
  plan_removed_early,
  copy_ignores_plans,
  plan_removed_by_others,
  closing_removes_pins
};

const std::string source_key = "backups/main/source/1";
const std::string copied_key = "backups/main/copied/1";
const std::string unfinished_key = "unfinished/" + to_hex(id_of(9)) + "/1";

struct Killed {};

std::uint64_t mixed(std::uint64_t state, std::string_view bytes) {
  return (state ^ std::hash<std::string_view>{}(bytes)) * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u;
}

// One process: it runs while the scheduler waits, and the reverse.
class Actor {
 public:
  Actor(Storage& storage, Simplification simplification)
      : storage_(*this, storage, simplification) {}
  ~Actor() { kill(); }

  void start(const std::function<void(const Repository&)>& body) {
    repository_.emplace(Repository::open(storage_));
    waits_ = true;
    thread_ = std::thread([this, body] {
      turn_.acquire();
      try {
        body(*repository_);
      } catch (const Killed&) {
      } catch (const Error& error) {
        // A writer that was given up; the state tells whether that was right.
        history_ = mixed(history_, error.message());
      }
      done_ = true;
      back_.release();
    });
    step();  // up to its first call
  }
  void step() {
    turn_.release();
    back_.acquire();
  }
  void kill() {
    if (!done_) {
      killed_ = true;
      step();
    }
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool done() const { return done_; }
  // What it has seen decides all that it will do.
  [[nodiscard]] std::uint64_t history() const { return done_ ? 1 : history_; }

 private:
  class Scheduled final : public Storage {
   public:
    Scheduled(Actor& actor, Storage& inner, Simplification simplification)
        : actor_(actor), inner_(inner), simplification_(simplification) {
      inner.list("packs/", [&](const ObjectInfo& object) { packs_at_first_.push_back(object); });
    }

    bool put_if_absent(std::string_view key, const ObjectContent& content) override {
      actor_.wait();
      if (simplification_ == Simplification::no_tombstone && key.starts_with("backups/") &&
          is_of_kind(content.parts().front(), ObjectKind::tombstone)) {
        return true;
      }
      if (simplification_ == Simplification::closing_removes_pins && key == copied_key &&
          is_of_kind(content.parts().front(), ObjectKind::tombstone)) {
        std::vector<std::string> pins;
        inner_.list("pins/", [&](const ObjectInfo& object) { pins.push_back(object.key); });
        inner_.remove(pins);
        return true;
      }
      const bool result = inner_.put_if_absent(key, content);
      actor_.saw(result ? "put" : "taken");
      return result;
    }
    std::optional<Bytes> find(std::string_view key, ByteRange range) override {
      actor_.wait();
      const auto known = snapshot_ ? snapshot_->find(std::string(key)) : Snapshot::iterator();
      auto result =
          snapshot_ && known != snapshot_->end() ? known->second : inner_.find(key, range);
      actor_.saw(result ? as_text(*result) : "none");
      return result;
    }
    std::optional<std::uint64_t> find_size(std::string_view key) override {
      actor_.wait();
      auto result = inner_.find_size(key);
      if (simplification_ == Simplification::no_source_check &&
          (key == source_key || key == unfinished_key)) {
        result = 1;
      }
      actor_.saw(result ? "there" : "absent");
      return result;
    }
    void list(std::string_view prefix,
              const std::function<void(const ObjectInfo&)>& each) override {
      look_at_roots_before_pins(prefix);
      actor_.wait();
      std::vector<ObjectInfo> objects;
      if (simplification_ == Simplification::no_source_check && prefix.starts_with("packs/") &&
          prefix != "packs/") {
        // Nor whether its packs are there.
        objects = packs_at_first_;
      } else if (prefix == "backups/" && snapshot_) {
        for (const auto& [key, content] : *snapshot_) objects.push_back({key, content->size()});
      } else {
        inner_.list(prefix, [&](const ObjectInfo& object) { objects.push_back(object); });
      }
      for (const auto& object : objects) {
        actor_.saw(object.key);
        each(object);
      }
    }
    // gc looks at the pins for writers to give up, then before it condemns, then
    // before it deletes: that last time.
    void look_at_roots_before_pins(std::string_view prefix) {
      if (prefix == "pins/" && simplification_ == Simplification::roots_before_pins &&
          ++looks_ == 3) {
        actor_.wait();
        snapshot_.emplace();
        inner_.list("backups/", [&](const ObjectInfo& object) {
          (*snapshot_)[object.key] = inner_.find(object.key);
          actor_.saw(object.key);
        });
      }
    }
    std::vector<std::string> list_names(std::string_view prefix) override {
      actor_.wait();
      auto names = inner_.list_names(prefix);
      if (simplification_ == Simplification::copy_ignores_plans && prefix == "plans/") {
        names.clear();
      }
      for (const auto& name : names) actor_.saw(name);
      return names;
    }
    void remove(const std::vector<std::string>& keys) override {
      // One after another: a process may die between two.
      for (const auto& key : keys) {
        actor_.wait();
        inner_.remove({key});
        actor_.saw("removed");
      }
    }
    void settle(const std::vector<std::string>&) override {}
    Replaced replace_damaged(std::string_view, const ObjectContent&, const IsWhole&) override {
      return Replaced::absent;
    }
    std::uint64_t remove_leftovers(Timestamp) override { return 0; }
    bool has_conditional_writes() override { return true; }
    std::string url() const override { return "model:"; }

   private:
    Actor& actor_;
    Storage& inner_;
    const Simplification simplification_;
    using Snapshot = std::map<std::string, std::optional<Bytes>>;
    std::optional<Snapshot> snapshot_;  // of the roots
    std::vector<ObjectInfo> packs_at_first_;
    int looks_ = 0;
  };

  void wait() {
    if (!waits_) return;
    if (killed_) throw Killed();
    back_.release();
    turn_.acquire();
    if (killed_) throw Killed();
    saw("call");
  }
  void saw(std::string_view what) { history_ = mixed(history_, what); }

  Scheduled storage_;
  std::optional<Repository> repository_;
  bool waits_ = false;
  std::binary_semaphore turn_{0};
  std::binary_semaphore back_{0};
  bool done_ = false;
  bool killed_ = false;
  std::uint64_t history_ = 2;
  std::thread thread_;
};

struct Scene {
  int writers = 1;
  int gcs = 1;
  int expires = 1;
  // Of a backup that needs the source's pack, from another repository that has both.
  int copies = 0;
  // A copy from the same one, which has it no more.
  int closes = 0;
  int kills = 1;
  // A writer stores something of its own as a difference from what it borrows.
  bool differences = false;
  // The source is what a killed writer left, instead of a backup.
  bool source_is_unfinished = false;
  Simplification simplification = Simplification::none;
  std::size_t states_max = 2'000'000;
};

// The repository and its actors, from the beginning.
class World {
 public:
  explicit World(const Scene& scene) : scene_(scene) {
    commit_source();
    for (int i = 0; i < scene.writers; ++i) {
      add([this, i](const Repository& repository) {
        const auto writer = static_cast<std::uint8_t>(10 + i);
        write(repository, writer, i == 0 ? source_key : root_key_of(10));
      });
    }
    for (int i = 0; i < scene.copies; ++i) {
      add([this, i](const Repository& repository) {
        copy(repository, static_cast<std::uint8_t>(30 + i));
      });
    }
    for (int i = 0; i < scene.closes; ++i) {
      add([this](const Repository& repository) { close_lost(repository); });
    }
    for (int i = 0; i < scene.gcs; ++i) {
      add([this, i](const Repository& repository) {
        collect(repository, static_cast<std::uint8_t>(20 + i));
      });
    }
    for (int i = 0; i < scene.expires; ++i) {
      // Of the source, and of what the first writer may have committed by then, from
      // which the second borrows.
      add([i, &scene](const Repository& repository) {
        const bool is_source = i == 0 && !scene.source_is_unfinished;
        expire(repository, is_source ? source_key : root_key_of(10));
      });
    }
  }
  ~World() {
    for (auto& actor : actors_) actor->kill();
  }

  [[nodiscard]] std::size_t actors() const { return actors_.size(); }
  [[nodiscard]] bool is_done(std::size_t actor) const { return actors_[actor]->done(); }
  void step(std::size_t actor) { actors_[actor]->step(); }
  void kill(std::size_t actor) { actors_[actor]->kill(); }

  [[nodiscard]] std::uint64_t state() {
    std::uint64_t state = 3;
    made_.storage.list("", [&](const ObjectInfo& object) {
      state = mixed(state, object.key);
      // Of the rest the key tells the content.
      if (object.key.starts_with("backups/") || object.key.starts_with("p")) {
        state = mixed(state, as_text(*made_.storage.find(object.key, whole_object)));
      }
    });
    for (const auto& actor : actors_) {
      state = (state ^ actor->history()) * 0x9E3779B97F4A7C15u + 7;
    }
    return state;
  }

  // A backup whose packs are not all there, or "".
  [[nodiscard]] std::string damage() {
    std::string found;
    made_.storage.list("backups/", [&](const ObjectInfo& object) {
      const auto content = made_.storage.find(object.key, whole_object).value();
      if (is_of_kind(content, ObjectKind::tombstone)) return;
      const auto packs = decode_root(ObjectCodec(), content, object.key).packs;
      for (const auto& entry : packs.entries()) {
        if (!made_.storage.find_size(entry.name.key())) found = object.key;
      }
    });
    return found;
  }

 private:
  static std::string root_key_of(std::uint8_t writer) {
    return "backups/main/" + std::to_string(writer) + "/1";
  }

  void add(const std::function<void(const Repository&)>& body) {
    actors_.push_back(std::make_unique<Actor>(made_.storage, scene_.simplification));
    actors_.back()->start(body);
  }

  [[nodiscard]] PackName pack_of(std::uint8_t writer) const {
    // Without the writer in it, two that store the same content mean one object.
    if (scene_.simplification == Simplification::digest_only_names) {
      return {.writer = id_of(1), .digest = sha256(as_bytes("content"))};
    }
    return {.writer = id_of(writer), .digest = sha256(as_bytes("content"))};
  }

  void commit_source() {
    Root root;
    root.packs.add(pack_of(9), 7);
    (void)copied_from_.storage.put_if_absent(pack_of(9).key(), as_bytes("content"));
    (void)copied_from_.storage.put_if_absent(copied_key,
                                             encode_root(ObjectCodec(), root, copied_key));
    (void)made_.storage.put_if_absent(pack_of(9).key(), as_bytes("content"));
    if (!scene_.source_is_unfinished) {
      (void)made_.storage.put_if_absent(source_key, encode_root(ObjectCodec(), root, source_key));
      return;
    }
    const WriterSession killed(made_.repository, made_.clock, id_of(9), root_key_of(9), "");
    const auto object = killed.unfinished_object(root, 1);
    (void)made_.storage.put_if_absent(object.key, object.bytes);
  }

  void write(const Repository& repository, std::uint8_t writer, const std::string& source) {
    const bool is_unfinished = scene_.source_is_unfinished && source == source_key;
    const WriterSession session(
        repository, made_.clock, id_of(writer), root_key_of(writer), is_unfinished ? "" : source,
        is_unfinished ? std::vector{unfinished_key} : std::vector<std::string>());
    Root root;
    const auto own = pack_of(writer);
    const auto borrow = [&](const Root& lender) {
      for (const auto& entry : lender.packs.entries()) {
        if (session.may_borrow(entry.name)) root.packs.add(entry.name, entry.size);
      }
    };
    if (session.parent() != nullptr) borrow(*session.parent());
    for (const auto& lender : session.unfinished()) borrow(lender);
    if (root.packs.entries().empty() || scene_.differences) {
      (void)repository.storage().put_if_absent(own.key(), as_bytes("content"));
      root.packs.add(own, 7);
    }
    session.commit(encode_root(ObjectCodec(), root, root_key_of(writer)));
  }

  void copy(const Repository& repository, std::uint8_t run) {
    TreeCopier copier(copied_from_.repository, repository, made_.clock, id_of(run),
                      {.jobs = 1, .wait_max = milliseconds{0}}, {}, {});
    if (!copier.add(copied_key)) return;
    copier.look();
    if (copier.bring_packs(copied_key)) (void)copier.commit();
  }

  // A run that finds the backup gone at the source.
  void close_lost(const Repository& repository) {
    TreeCopier copier(lost_from_.repository, repository, made_.clock, id_of(40), {.jobs = 1}, {},
                      {});
    copier.close_lost();
  }

  // What a gc did with plans of others, until a copy could bring a pack a second time.
  void remove_finished_plans(const Repository& repository) {
    for (const auto& name : repository.storage().list_names("plans/")) {
      if (repository.storage().find_size(pack_of(9).key())) continue;
      repository.storage().remove({"plans/" + name});
    }
  }

  void collect(const Repository& repository, std::uint8_t run) {
    // The first one takes every running writer for dead.
    const GcOptions options{.grace = milliseconds{0},
                            .give_up_after = run == 20 ? milliseconds{-1} : hours(1)};
    const auto plan = "plans/" + to_hex(id_of(run));
    (void)collect_garbage(repository, made_.clock, id_of(run), options,
                          {.info = [&](const std::string&) {
                            if (scene_.simplification == Simplification::plan_removed_early) {
                              repository.storage().remove({plan});
                            }
                          }});
    if (scene_.simplification == Simplification::plan_removed_by_others) {
      remove_finished_plans(repository);
    }
  }

  static void expire(const Repository& repository, const std::string& key) {
    const auto root = repository.storage().find(key);
    if (!root || !is_of_kind(*root, ObjectKind::root)) return;
    (void)repository.put_sealed(ObjectKind::deleted, deletion_key(key), {});
    repository.storage().remove({key});
  }

  const Scene& scene_;
  MemoryRepository made_;
  MemoryRepository copied_from_;
  MemoryRepository lost_from_;  // the same, later
  std::vector<std::unique_ptr<Actor>> actors_;
};

// A number below `actors` is a step of that one, above it a kill.
using Path = std::vector<std::size_t>;

struct Outcome {
  std::size_t states = 0;
  std::string damage;
  Path path;  // to it
  bool is_complete = true;
};

// Threads that hand over to each other are many times faster on one processor.
class OneProcessor {
 public:
  OneProcessor() {
    (void)::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    (void)::sched_setaffinity(0, sizeof one, &one);
  }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;
  ~OneProcessor() { (void)::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

Outcome explore(const Scene& scene) {
  const OneProcessor one;
  Outcome outcome;
  std::unordered_set<std::uint64_t> seen;
  std::vector<Path> open = {{}};
  while (!open.empty()) {
    auto path = std::move(open.back());
    open.pop_back();
    World world(scene);
    int kills = 0;
    const auto take = [&](std::size_t choice) {
      if (choice < world.actors()) {
        world.step(choice);
      } else {
        world.kill(choice - world.actors());
        ++kills;
      }
    };
    for (const auto choice : path) take(choice);
    // On from here by the first choice, and the others are left for later.
    while (seen.insert(world.state() + static_cast<std::uint64_t>(kills)).second) {
      if (seen.size() > scene.states_max) {
        outcome.is_complete = false;
        outcome.states = seen.size();
        return outcome;
      }
      outcome.damage = world.damage();
      if (!outcome.damage.empty()) {
        outcome.path = path;
        outcome.states = seen.size();
        return outcome;
      }
      std::vector<std::size_t> choices;
      for (std::size_t actor = 0; actor < world.actors(); ++actor) {
        if (world.is_done(actor)) continue;
        choices.push_back(actor);
        if (kills < scene.kills) choices.push_back(world.actors() + actor);
      }
      if (choices.empty()) break;
      for (std::size_t i = 1; i < choices.size(); ++i) {
        open.push_back(path);
        open.back().push_back(choices[i]);
      }
      path.push_back(choices.front());
      take(choices.front());
    }
  }
  outcome.states = seen.size();
  return outcome;
}

void expect_safe(const Scene& scene) {
  const auto outcome = explore(scene);
  std::string path;
  for (const auto choice : outcome.path) path += " " + std::to_string(choice);
  EXPECT_EQ(outcome.damage, "") << "behind" << path;
  testing::Test::RecordProperty("states", static_cast<int>(outcome.states));
  std::printf("%zu states%s\n", outcome.states, outcome.is_complete ? "" : ", not all");
}

// All states with --long; else as many as fit into some seconds.
std::size_t states_max() {
  const char* const is_long = std::getenv("WALVAULT_TEST_LONG");
  return is_long != nullptr && *is_long == '1' ? 2'000'000 : 8'000;
}

TEST(GcModel, OneOfEach) { expect_safe({.kills = 3}); }
TEST(GcModel, TwoWriters) { expect_safe({.writers = 2, .expires = 2, .states_max = states_max()}); }
TEST(GcModel, TwoWritersOfDifferences) {
  expect_safe({.writers = 2, .expires = 2, .differences = true, .states_max = states_max()});
}
TEST(GcModel, WhatAKilledWriterLeft) {
  expect_safe({.kills = 2, .source_is_unfinished = true});
  expect_safe(
      {.writers = 2, .gcs = 2, .source_is_unfinished = true, .states_max = states_max() / 2});
  const auto broken = explore({.kills = 0,
                               .source_is_unfinished = true,
                               .simplification = Simplification::no_source_check});
  EXPECT_NE(broken.damage, "") << "without a look whether the source and its packs are there";
}
TEST(GcModel, TwoGcs) { expect_safe({.gcs = 2, .states_max = states_max()}); }
TEST(GcModel, TwoOfEach) {
  expect_safe({.writers = 2, .gcs = 2, .expires = 2, .states_max = states_max()});
}

TEST(GcModel, Copies) {
  expect_safe({.writers = 0, .copies = 1, .states_max = states_max()});
  expect_safe({.writers = 0, .copies = 2, .states_max = states_max() / 2});
  expect_safe({.writers = 0, .gcs = 2, .copies = 1, .states_max = states_max() / 2});
  expect_safe({.writers = 0, .copies = 1, .closes = 1, .states_max = states_max() / 2});
  expect_safe({.writers = 1, .gcs = 1, .copies = 1, .states_max = states_max() / 2});
  const auto find_damage = [](Simplification simplification, int gcs, int closes) {
    const auto outcome = explore({.writers = 0,
                                  .gcs = gcs,
                                  .copies = 1,
                                  .closes = closes,
                                  .kills = 0,
                                  .simplification = simplification,
                                  .states_max = 300'000});
    EXPECT_NE(outcome.damage, "") << static_cast<int>(simplification);
    std::printf("%d: %zu states\n", static_cast<int>(simplification), outcome.states);
  };
  find_damage(Simplification::copy_ignores_plans, 1, 0);
  find_damage(Simplification::closing_removes_pins, 1, 1);
  // That one is found behind 30,000 states, half a minute: with --long.
  if (states_max() > 1'000'000) find_damage(Simplification::plan_removed_by_others, 2, 0);
}

TEST(GcModel, FindsWhatEachSimplificationBreaks) {
  for (const auto simplification :
       {Simplification::no_tombstone, Simplification::no_source_check,
        Simplification::roots_before_pins, Simplification::digest_only_names,
        Simplification::plan_removed_early}) {
    // What is condemned but needed takes a second writer.
    const bool takes_two = simplification == Simplification::plan_removed_early;
    const auto outcome = explore({.writers = takes_two ? 2 : 1,
                                  .expires = takes_two ? 2 : 1,
                                  .kills = 0,
                                  .simplification = simplification,
                                  .states_max = 300'000});
    EXPECT_NE(outcome.damage, "") << static_cast<int>(simplification);
    std::printf("%d: %zu states\n", static_cast<int>(simplification), outcome.states);
  }
}

}  // namespace
}  // namespace walvault
