#include "catalog/copy/repository_copy.h"
#include "catalog/records/backup_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_keep.h"
#include "catalog/wal/wal_expiry.h"
#include "repository/gc.h"
#include "repository/gc_plan.h"
#include "repository/pin.h"
#include "support/catalog_examples.h"
#include "support/errors.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using State = BackupCopyState;

class RepositoryCopyTest : public testing::Test {
 protected:
  RepositoryCopyTest() { (void)add_cluster(from_.repository, test_cluster()); }

  PackName put_pack(std::uint64_t seed) {
    const auto bytes = random_bytes(1000 + seed, seed);
    const PackName name{.writer = id_of(static_cast<std::uint8_t>(seed)), .digest = sha256(bytes)};
    (void)from_.storage.put_if_absent(name.key(), bytes);
    return name;
  }
  // A backup within segments `first` to `last` that needs the packs of these seeds.
  void store(const std::string& id, std::uint64_t first, std::uint64_t last,
             const std::vector<std::uint64_t>& packs) {
    Root root;
    root.head = encode_backup_info(backup_of(id, 1, first, last));
    for (const auto seed : packs) root.packs.add(put_pack(seed), 1000 + seed);
    const auto key = backup_root_key("main", id);
    (void)from_.storage.put_if_absent(key, encode_root(ObjectCodec(), root, key));
  }
  // Backups a, b and c, each sharing a pack with the one before, on segments 1 to 20.
  void store_three() {
    archive_segments(archive_, 1, 1, 20);
    store("a", 2, 3, {1, 2});
    store("b", 7, 8, {2, 3});
    store("c", 12, 13, {3, 4});
  }
  CopyReport copy(CopyRequest request = {}) {
    request.run = id_of(++runs_);
    return copy_repository(from_.repository, to_, to_made_.clock, request, Reporter(),
                           {.done = [this](std::uint64_t bytes) { read_ += bytes; }});
  }
  CopyReport copy_as(std::uint8_t run) {
    runs_ = run;
    return copy();
  }
  // Who is at work on that root.
  [[nodiscard]] bool put_pin_of_another(const std::string& root_key) {
    return to_made_.repository.put_sealed(
        ObjectKind::pin, pin_key(id_of(99), 1),
        encode_pin({.root_key = root_key, .created = copied_for_ever, .may_borrow = {}}));
  }
  static std::vector<State> states(const CopyReport& report) {
    std::vector<State> states;
    for (const auto& backup : report.clusters.at(0).backups) states.push_back(backup.state);
    return states;
  }
  [[nodiscard]] std::vector<std::string> backups_there() const {
    std::vector<std::string> ids;
    for (const auto& backup : list_backups(to_made_.repository, "main").backups) {
      ids.push_back(backup.id);
    }
    return ids;
  }
  [[nodiscard]] std::vector<std::uint64_t> wal_there() const {
    std::vector<std::uint64_t> numbers;
    for (const auto& each : WalArchive(to_made_.repository, test_cluster()).segments({1})) {
      numbers.push_back(each.number);
    }
    return numbers;
  }
  static std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
    std::vector<std::uint64_t> numbers;
    for (auto number = first; number <= last; ++number) numbers.push_back(number);
    return numbers;
  }
  // Whatever is a backup there has its packs and its WAL.
  void expect_sound() {
    for (const auto& id : backups_there()) {
      const auto key = backup_root_key("main", id);
      const auto root =
          decode_root(ObjectCodec(), to_made_.storage.find(key, whole_object).value(), key);
      for (const auto& entry : root.packs.entries()) {
        EXPECT_TRUE(to_made_.storage.find_size(entry.name.key())) << id;
      }
      const auto info = decode_backup_info(root.head);
      const WalArchive archive(to_made_.repository, test_cluster());
      for (auto number = info.start.value / test_segment_bytes;
           number <= info.stop.value / test_segment_bytes; ++number) {
        EXPECT_TRUE(archive.has_segment({.timeline = {1}, .number = number})) << id;
      }
    }
  }
  GcReport collect(std::chrono::milliseconds give_up_after = std::chrono::milliseconds{-1}) {
    return collect_garbage(to_made_.repository, to_made_.clock, id_of(200),
                           {.grace = {}, .give_up_after = give_up_after});
  }

  MemoryRepository from_;
  MemoryRepository to_made_;
  HookedStorage hooked_{to_made_.storage};
  Repository to_ = Repository::open(hooked_);
  WalArchive archive_{from_.repository, test_cluster()};
  std::atomic<std::uint64_t> read_ = 0;
  std::uint8_t runs_ = 0;
};

TEST_F(RepositoryCopyTest, BringsEverythingUnderItsNameAndNothingTwice) {
  store_three();
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(15)}});
  archive_file(archive_, WalSegmentSpec{.number = 21}.name() + ".partial", chained_segment(1, 21));
  put_backup_keep(from_.repository, "main", "b", {.when = minute_of(1), .until = {}});
  put_accepted_gap(from_.repository, test_cluster(),
                   {.timeline = {.timeline = {1}},
                    .from = lsn_in(30),
                    .to = lsn_in(31),
                    .reason = "a disk",
                    .when = minute_of(2)});
  const auto report = copy();
  EXPECT_TRUE(report.is_whole());
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::copied, State::copied));
  EXPECT_EQ(report.clusters[0].backups[1].packs.packs, 1u);
  EXPECT_EQ(report.clusters[0].backups[1].packs.packs_there, 1u);
  // All of the source but WAL that no backup needs is there, byte for byte.
  from_.storage.list("", [&](const ObjectInfo& object) {
    if (object.key.starts_with("format/") || object.key.ends_with("000000010000000000000001")) {
      return;
    }
    EXPECT_EQ(to_made_.storage.find(object.key, whole_object),
              from_.storage.find(object.key, whole_object))
        << object.key;
  });
  EXPECT_THAT(wal_there(), testing::ElementsAreArray(range(2, 20)));
  EXPECT_THAT(keys_under(to_made_.storage, "pins/"), IsEmpty());
  EXPECT_EQ(collect().dead_packs, 0u);

  std::vector<std::string> puts;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put") puts.emplace_back(key);
  };
  read_ = 0;
  const auto again = copy();
  EXPECT_THAT(states(again), ElementsAre(State::there, State::there, State::there));
  EXPECT_EQ(read_, 0u);
  EXPECT_EQ(again.clusters[0].wal.there, 21u);
  EXPECT_THAT(puts, IsEmpty());
}

TEST_F(RepositoryCopyTest, WritesNothingAtTheSourceAndWithDryRunNothingAtAll) {
  store_three();
  HookedStorage source(from_.storage);
  const auto repository = Repository::open(source);
  source.before = [](std::string_view operation, std::string_view) {
    if (operation == "put" || operation == "remove") throw std::runtime_error("written");
  };
  const Reporter quiet;
  const auto before = keys_under(to_made_.storage, "");
  const auto planned =
      copy_repository(repository, to_, to_made_.clock, {.dry_run = true}, quiet).clusters.at(0);
  EXPECT_EQ(keys_under(to_made_.storage, ""), before);
  const auto copied = copy_repository(repository, to_, to_made_.clock, {}, quiet).clusters.at(0);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(planned.backups[i].packs.packs, i == 0 ? 2u : 1u);
    EXPECT_EQ(copied.backups[i].packs.packs, i == 0 ? 2u : 1u);
  }
  EXPECT_EQ(planned.wal.files, 19u);
  EXPECT_EQ(copied.wal.files, 19u);
}

TEST_F(RepositoryCopyTest, BrokenOffAnywhereIsSoundAndGoesOn) {
  store_three();
  int calls = 0;
  int last = 1;
  for (int stop = 0; stop < last; ++stop) {
    MemoryStorage fresh;
    FakeClock clock;
    CountingRandomness randomness;
    Repository::create(fresh, clock, randomness);
    HookedStorage hooked(fresh);
    const auto to = Repository::open(hooked);
    calls = 0;
    hooked.before = [&](std::string_view operation, std::string_view) {
      if (operation == "put" || operation == "remove") {
        if (calls++ == stop) throw std::runtime_error("killed");
      }
    };
    const Reporter quiet;
    const CopyRequest one{.jobs = 1};
    bool was_killed = false;
    try {
      (void)copy_repository(from_.repository, to, clock, one, quiet);
    } catch (const std::runtime_error& error) {
      was_killed = std::string_view(error.what()) == "killed";
    }
    if (was_killed) last = stop + 2;
    hooked.before = [](std::string_view, std::string_view) {};
    // A gc that gives up whoever it may takes nothing that was brought.
    const auto packs = keys_under(fresh, "packs/");
    const auto plain = Repository::open(fresh);
    (void)collect_garbage(plain, clock, id_of(100),
                          {.grace = {}, .give_up_after = std::chrono::hours(-1)});
    EXPECT_EQ(keys_under(fresh, "packs/"), packs) << stop;
    const auto backups = find_cluster(plain, "main") ? list_backups(plain, "main").backups
                                                     : std::vector<BackupInfo>();
    for (const auto& backup : backups) {
      const auto key = backup_root_key("main", backup.id);
      const auto root = decode_root(ObjectCodec(), fresh.find(key, whole_object).value(), key);
      for (const auto& entry : root.packs.entries()) {
        EXPECT_TRUE(fresh.find_size(entry.name.key())) << stop;
      }
      for (auto number = backup.start.value / test_segment_bytes;
           number <= backup.stop.value / test_segment_bytes; ++number) {
        EXPECT_TRUE(
            WalArchive(plain, test_cluster()).has_segment({.timeline = {1}, .number = number}))
            << stop;
      }
    }
    const auto report = copy_repository(from_.repository, plain, clock, one, quiet);
    EXPECT_TRUE(report.is_whole()) << stop;
    EXPECT_EQ(list_backups(plain, "main").backups.size(), 3u) << stop;
    EXPECT_EQ(WalArchive(plain, test_cluster()).segments({1}).size(), 19u) << stop;
  }
  EXPECT_GT(last, 25) << "it was broken off everywhere";
}

TEST_F(RepositoryCopyTest, WhatWasDeletedThereStaysDeleted) {
  store_three();
  (void)copy();
  delete_backup(to_made_.repository, "main", "a", minute_of(50));
  (void)collect();
  store("d", 15, 16, {1, 4});
  const auto report = copy();
  EXPECT_TRUE(report.is_whole());
  EXPECT_THAT(states(report),
              ElementsAre(State::deleted, State::there, State::there, State::copied));
  expect_sound();
  EXPECT_THAT(backups_there(), ElementsAre("b", "c", "d"));
}

TEST_F(RepositoryCopyTest, DamageAtTheSourceIsReportedAndTheRestIsCopied) {
  store_three();
  auto bytes = from_.storage.find(put_pack(3).key(), whole_object).value();
  bytes[5] ^= 1;
  from_.storage.overwrite(put_pack(3).key(), bytes);
  const auto wal_key = archive_.key_of(WalSegmentSpec{.number = 18}.name());
  auto wal = from_.storage.find(wal_key, whole_object).value();
  wal[wal.size() / 2] ^= 1;
  from_.storage.overwrite(wal_key, wal);
  const auto report = copy();
  EXPECT_FALSE(report.is_whole());
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::failed, State::failed));
  EXPECT_THAT(report.clusters[0].backups[1].why, HasSubstr(put_pack(3).key()));
  ASSERT_EQ(report.clusters[0].wal.faults.size(), 1u);
  EXPECT_EQ(report.clusters[0].wal.faults[0].key, wal_key);
  EXPECT_FALSE(to_made_.storage.find_size(wal_key));
  EXPECT_FALSE(to_made_.storage.find_size(put_pack(3).key()));
  expect_sound();
}

TEST_F(RepositoryCopyTest, ABackupWithoutItsWalIsNotCopied) {
  store_three();
  from_.storage.remove({archive_.key_of(WalSegmentSpec{.number = 8}.name())});
  const auto report = copy();
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::failed, State::copied));
  EXPECT_THAT(report.clusters[0].backups[1].why, HasSubstr("WAL that it needs"));
}

TEST_F(RepositoryCopyTest, OneDamagedRootHidesNoOther) {
  store_three();
  const auto key = backup_root_key("main", "b");
  auto root = from_.storage.find(key, whole_object).value();
  root[root.size() - 40] ^= 1;  // behind its head
  from_.storage.overwrite(key, root);
  EXPECT_THAT(states(copy()), ElementsAre(State::copied, State::failed, State::copied));
  root[50] ^= 1;
  from_.storage.overwrite(key, root);
  const auto report = copy();
  EXPECT_THAT(states(report), ElementsAre(State::failed, State::there, State::there));
  EXPECT_EQ(report.clusters[0].backups[0].id, key);
}

TEST_F(RepositoryCopyTest, CopiesChosenBackupsWithTheirOwnWal) {
  store_three();
  const auto report = copy({.cluster = "main", .backups = {"b", "a", "b"}});
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::copied));
  EXPECT_THAT(wal_there(), ElementsAre(2, 3, 7, 8));
  expect_error(ErrorKind::not_found, [&] { (void)copy({.cluster = "main", .backups = {"x"}}); });
  expect_error(ErrorKind::not_found, [&] { (void)copy({.cluster = "other"}); });
}

TEST_F(RepositoryCopyTest, CopiesABackupAndAllBehindIt) {
  store_three();
  const auto report = copy({.cluster = "main", .from = "b"});
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::copied));
  EXPECT_THAT(wal_there(), testing::ElementsAreArray(range(7, 20)));
}

TEST_F(RepositoryCopyTest, TheNameMeansTheSameClusterThere) {
  store_three();
  auto other = test_cluster();
  other.system_identifier += 1;
  (void)add_cluster(to_made_.repository, other);
  const auto error = expect_error(ErrorKind::conflict, [&] { (void)copy(); });
  EXPECT_THAT(error.message(), HasSubstr("another cluster"));
  EXPECT_THAT(keys_under(to_made_.storage, "packs/"), IsEmpty());
}

TEST_F(RepositoryCopyTest, BringsEarlierIdentitiesAndBranches) {
  auto upgraded = test_cluster();
  upgraded.system_identifier += 1;
  upgraded.postgres_major = 16;
  archive_segments(archive_, 1, 1, 5);
  (void)archive_.set_aside({1}, minute_of(6));
  const WalArchive second(from_.repository, test_cluster());
  archive_segments(second, 1, 3, 6);
  (void)upgrade_cluster(from_.repository, upgraded);
  // Registered there on its own, at another time.
  auto registered = test_cluster();
  registered.registered = minute_of(1);
  (void)add_cluster(to_made_.repository, registered);
  EXPECT_TRUE(copy().is_whole());
  EXPECT_EQ(cluster_identities(to_made_.repository, "main").size(), 2u);
  EXPECT_EQ(keys_under(to_made_.storage, "wal/").size(), 9u);
  EXPECT_EQ(WalArchive(to_made_.repository, test_cluster()).branch_of({1}), 1u);
}

TEST_F(RepositoryCopyTest, OtherContentUnderANameOfWalIsAFault) {
  store_three();
  (void)add_cluster(to_made_.repository, test_cluster());
  const WalArchive there(to_made_.repository, test_cluster());
  const auto name = WalSegmentSpec{.number = 14}.name();
  archive_file(there, name, random_bytes(test_segment_bytes, 5));
  // The same file, archived by itself: another object with the same content.
  const auto same = WalSegmentSpec{.number = 15}.name();
  archive_file(there, same, chained_segment(1, 15), minute_of(15), minute_of(16));
  const auto report = copy();
  EXPECT_FALSE(report.is_whole());
  ASSERT_EQ(report.clusters[0].wal.faults.size(), 1u);
  EXPECT_THAT(report.clusters[0].wal.faults[0].key, HasSubstr(name));
  EXPECT_FALSE(there.has_segment({.timeline = {1}, .number = 20})) << "it is mixed into another's";
}

TEST_F(RepositoryCopyTest, AnotherHistoryOfATimelineIsAFaultThoughAsLong) {
  store_three();
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(15)}});
  archive_segments(archive_, 2, 15, 16);
  (void)add_cluster(to_made_.repository, test_cluster());
  const WalArchive there(to_made_.repository, test_cluster());
  archive_history(there, 2, {{.timeline = {1}, .end = lsn_in(16)}});
  const auto report = copy();
  ASSERT_EQ(report.clusters[0].wal.faults.size(), 1u);
  EXPECT_FALSE(there.has_segment({.timeline = {2}, .number = 15}));
  EXPECT_TRUE(there.has_segment({.timeline = {1}, .number = 20}));
}

TEST_F(RepositoryCopyTest, ARemovalHereHidesNothingThere) {
  store_three();
  (void)copy();
  remove_cluster(from_.repository, "main", minute_of(60));
  (void)add_cluster(from_.repository, test_cluster());
  const auto error = expect_error(ErrorKind::conflict, [&] { (void)copy(); });
  EXPECT_THAT(error.hint(), HasSubstr("cluster remove main --yes --repo"));
  EXPECT_EQ(backups_there().size(), 3u);
  // Confirmed there.
  remove_cluster(to_made_.repository, "main", minute_of(61));
  EXPECT_TRUE(copy().is_whole());
  EXPECT_EQ(find_cluster(to_made_.repository, "main")->number, 3u);
}

TEST_F(RepositoryCopyTest, WhatWasRemovedThereIsNoPlaceForIt) {
  store_three();
  (void)copy();
  remove_cluster(to_made_.repository, "main", minute_of(60));
  (void)expect_error(ErrorKind::conflict, [&] { (void)copy(); });
  (void)add_cluster(to_made_.repository, test_cluster());
  (void)expect_error(ErrorKind::conflict, [&] { (void)copy(); });
}

TEST_F(RepositoryCopyTest, OneClusterThatCannotBeCopiedStopsNoOther) {
  store_three();
  auto other = test_cluster();
  other.name = "billing";
  (void)add_cluster(from_.repository, other);
  other.system_identifier += 1;
  (void)add_cluster(to_made_.repository, other);
  const auto report = copy();
  EXPECT_FALSE(report.is_whole());
  ASSERT_EQ(report.clusters.size(), 2u);
  EXPECT_THAT(report.clusters[0].failure, HasSubstr("another cluster"));
  EXPECT_EQ(report.clusters[1].backups.size(), 3u);
  EXPECT_EQ(backups_there().size(), 3u);
}

TEST_F(RepositoryCopyTest, APinMeansOneRootForEver) {
  store_three();
  std::vector<std::string> pins;
  hooked_.after = [&](std::string_view operation, std::string_view key) {
    if (operation == "put" && key.starts_with("pins/")) pins.emplace_back(key);
  };
  (void)copy();
  store("d", 15, 16, {1, 4});
  (void)copy();
  ASSERT_EQ(pins.size(), 4u);
  EXPECT_EQ(std::set<std::string>(pins.begin(), pins.end()).size(), 4u);
}

// By another run from the same source, which finds the backup gone there.
TEST_F(RepositoryCopyTest, WhatAnotherRunClosesIsNotCommitted) {
  store_three();
  bool once = true;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || key != backup_root_key("main", "a") || !std::exchange(once, false)) {
      return;
    }
    delete_backup(from_.repository, "main", "a", minute_of(60));
    EXPECT_TRUE(copy_as(7).is_whole());
    (void)collect();
  };
  EXPECT_THAT(states(copy()), ElementsAre(State::gone, State::copied, State::copied));
  EXPECT_THAT(backups_there(), ElementsAre("b", "c"));
  expect_sound();
}

// Each has pins of its own: that one leaves a backup takes nothing from the other.
TEST_F(RepositoryCopyTest, TwoRunsAtOnceDisturbNeither) {
  store_three();
  bool once = true;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || key != backup_root_key("main", "b") || !std::exchange(once, false)) {
      return;
    }
    const auto wal = archive_.key_of(WalSegmentSpec{.number = 8}.name());
    const auto content = from_.storage.find(wal, whole_object).value();
    from_.storage.remove({wal});
    to_made_.storage.remove({wal});
    EXPECT_THAT(states(copy_as(7)), ElementsAre(State::there, State::failed, State::copied));
    (void)collect();
    (void)from_.storage.put_if_absent(wal, content);
    (void)to_made_.storage.put_if_absent(wal, content);
  };
  EXPECT_TRUE(copy().is_whole());
  expect_sound();
  EXPECT_EQ(backups_there().size(), 3u);
}

TEST_F(RepositoryCopyTest, WhatAnotherRepositoryIsBeingCopiedFromIsNotClosed) {
  store_three();
  hooked_.before = [](std::string_view operation, std::string_view key) {
    if (operation == "put" && key.starts_with("wal/")) throw std::runtime_error("killed");
  };
  EXPECT_THROW((void)copy(), std::runtime_error);
  hooked_.before = [](std::string_view, std::string_view) {};
  EXPECT_TRUE(put_pin_of_another(backup_root_key("main", "a")));
  delete_backup(from_.repository, "main", "a", minute_of(50));
  (void)copy();
  EXPECT_FALSE(to_made_.storage.find_size(backup_root_key("main", "a")));
}

TEST_F(RepositoryCopyTest, ABackupThatIsDeletedThereMeanwhileStaysDeleted) {
  store_three();
  bool is_before = true;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || key != backup_root_key("main", is_before ? "a" : "b")) return;
    delete_backup(to_made_.repository, "main", is_before ? "a" : "b", minute_of(60));
    is_before = false;
  };
  EXPECT_THAT(states(copy()), ElementsAre(State::deleted, State::deleted, State::copied));
  EXPECT_THAT(backups_there(), ElementsAre("c"));
  EXPECT_THAT(keys_under(to_made_.storage, "pins/"), IsEmpty());
}

TEST_F(RepositoryCopyTest, BringsADecisionThatCameLater) {
  store_three();
  (void)copy();
  put_backup_keep(from_.repository, "main", "b", {.when = minute_of(70), .until = {}});
  (void)copy();
  EXPECT_TRUE(list_backup_keeps(to_made_.repository, "main").contains("b"));
  put_backup_keep(to_made_.repository, "main", "b",
                  {.when = minute_of(80), .until = minute_of(90)});
  (void)copy();
  EXPECT_TRUE(list_backup_keeps(to_made_.repository, "main").at("b").until);
}

TEST_F(RepositoryCopyTest, APackThatIsDamagedThereIsNotReliedOn) {
  store_three();
  (void)to_made_.storage.put_if_absent(put_pack(3).key(), Bytes(10));
  const auto report = copy();
  EXPECT_THAT(states(report), ElementsAre(State::copied, State::failed, State::failed));
  to_made_.storage.remove({put_pack(3).key()});
  EXPECT_TRUE(copy().is_whole());
}

TEST_F(RepositoryCopyTest, WaitsForAGcThatHasCondemnedWhatItNeeds) {
  store_three();
  GcPlan plan;
  plan.condemned.add(put_pack(3), 1003);
  (void)to_made_.repository.put_sealed(ObjectKind::plan, "plans/x", encode_gc_plan(plan));
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)copy(); });
  EXPECT_THAT(error.hint(), HasSubstr("gc --exclusive"));
  EXPECT_THAT(keys_under(to_made_.storage, "pins/"), IsEmpty());
  EXPECT_THAT(keys_under(to_made_.storage, "packs/"), IsEmpty());

  int looks = 0;
  hooked_.before = [&](std::string_view operation, std::string_view prefix) {
    if (operation == "list_names" && prefix == "plans/" && ++looks == 3) {
      to_made_.storage.remove({"plans/x"});
    }
  };
  EXPECT_TRUE(copy().is_whole());
  EXPECT_EQ(looks, 3);
}

TEST_F(RepositoryCopyTest, LeavesABackupWhoseWalIsExpiredThere) {
  store_three();
  (void)announce_wal_expiry(
      to_made_.repository, "main", id_of(77),
      {.created = {}, .ranges = {{.timeline = {.timeline = {1}}, .first = 8, .behind = 9}}});
  EXPECT_THAT(states(copy()), ElementsAre(State::copied, State::failed, State::copied));
  EXPECT_THAT(keys_under(to_made_.storage, "pins/"), IsEmpty()) << "that expire may go on";
}

TEST_F(RepositoryCopyTest, ClosesWhatAnEarlierRunBeganAndTheSourceHasNoMore) {
  store_three();
  hooked_.before = [](std::string_view operation, std::string_view key) {
    if (operation == "put" && key.starts_with("wal/")) throw std::runtime_error("killed");
  };
  EXPECT_THROW((void)copy(), std::runtime_error);
  hooked_.before = [](std::string_view, std::string_view) {};
  EXPECT_EQ(collect().given_up.size(), 0u);
  EXPECT_EQ(keys_under(to_made_.storage, "packs/").size(), 2u);
  delete_backup(from_.repository, "main", "a", minute_of(50));
  EXPECT_THAT(states(copy()), ElementsAre(State::copied, State::copied));
  EXPECT_EQ(collect().deleted_packs, 1u) << "that of a alone";
  expect_sound();
}

TEST_F(RepositoryCopyTest, LeavesItsPinsToGcWhereItMayRemoveNothing) {
  store_three();
  hooked_.before = [](std::string_view operation, std::string_view) {
    if (operation == "remove") throw Error(ErrorKind::unavailable, "403");
  };
  EXPECT_TRUE(copy().is_whole());
  EXPECT_EQ(keys_under(to_made_.storage, "pins/").size(), 3u);
  EXPECT_EQ(collect().running.size(), 0u);
  EXPECT_THAT(keys_under(to_made_.storage, "pins/"), IsEmpty());
}

TEST_F(RepositoryCopyTest, ABackupThatGoesMeanwhileIsNoFailure) {
  store_three();
  hooked_.after = [&](std::string_view operation, std::string_view key) {
    if (operation != "put" || key != put_pack(1).key()) return;
    delete_backup(from_.repository, "main", "b", minute_of(50));
    from_.storage.remove({put_pack(3).key()});
  };
  const auto report = copy();
  EXPECT_EQ(report.clusters[0].backups[1].state, State::gone);
  EXPECT_EQ(report.clusters[0].backups[2].state, State::failed) << "its pack is missing";
}

}  // namespace
}  // namespace walvault
