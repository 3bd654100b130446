#include "catalog/retention/expiry.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/left_timelines.h"

#include <gtest/gtest.h>

#include "repository/writer_session.h"
#include "support/catalog_examples.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/stored_backups.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using Ids = std::vector<std::string>;
using Numbers = std::vector<std::uint64_t>;

class ExpiryTest : public testing::Test {
 protected:
  ExpiryTest() {
    auto identity = test_cluster();
    (void)add_cluster(made_.repository, identity);
  }
  static RetentionPolicy last(unsigned count) {
    RetentionPolicy policy;
    policy.keep_last = count;
    return policy;
  }
  [[nodiscard]] ExpiryPlan plan(const RetentionPolicy& policy) const {
    return plan_expiry(repository_, "main", policy, now_, false);
  }
  ExpiryResult expire(const RetentionPolicy& policy) {
    return carry_out_expiry(repository_, "main", plan(policy), id_of(++runs_), now_, [] {});
  }
  [[nodiscard]] Ids backups() const {
    Ids ids;
    for (const auto& backup : list_backups(repository_, "main").backups) ids.push_back(backup.id);
    return ids;
  }
  [[nodiscard]] Numbers wal(std::uint32_t timeline = 1) const {
    Numbers numbers;
    for (const auto& segment : archive_.segments({timeline})) numbers.push_back(segment.number);
    return numbers;
  }
  static Numbers range(std::uint64_t first, std::uint64_t last) {
    Numbers numbers;
    for (auto number = first; number <= last; ++number) numbers.push_back(number);
    return numbers;
  }
  // Backups a, b and c on the WAL of segments 1 to 20.
  void store_three() {
    archive_segments(archive_, 1, 1, 20);
    store_backup(made_.repository, backup_of("a", 1, 2, 3));
    store_backup(made_.repository, backup_of("b", 1, 7, 8));
    store_backup(made_.repository, backup_of("c", 1, 12, 13));
  }
  void begin_backup(const std::string& id) {
    const WriterSession session(made_.repository, made_.clock, id_of(99),
                                backup_root_key("main", id), "");
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{made_.repository, test_cluster()};
  Timestamp now_ = minute_of(30);
  std::uint8_t runs_ = 0;
};

TEST_F(ExpiryTest, DeletesBackupsAndTheWalThatNothingNeeds) {
  store_three();
  const auto planned = plan(last(2));
  EXPECT_EQ(backups(), (Ids{"a", "b", "c"})) << "planning deletes nothing";
  EXPECT_EQ(planned.segments, 6u);
  ASSERT_EQ(planned.windows.size(), 1u);
  ASSERT_EQ(planned.windows[0].before.size(), 1u);
  EXPECT_EQ(planned.windows[0].before[0].earliest, backup_of("a", 1, 2, 3).stop);
  ASSERT_EQ(planned.windows[0].after.size(), 1u);
  EXPECT_EQ(planned.windows[0].after[0].earliest, backup_of("b", 1, 7, 8).stop);

  const auto result = expire(last(2));
  EXPECT_EQ(result.deleted, (Ids{"a"}));
  EXPECT_EQ(result.segments, 6u);
  EXPECT_EQ(result.wal_left, "");
  EXPECT_EQ(backups(), (Ids{"b", "c"}));
  EXPECT_EQ(wal(), range(7, 20));
  EXPECT_TRUE(keys_under(made_.storage, "wal-expiry/").empty());
  // What is recoverable now is what was announced.
  const auto now = recoverable_moments({archive_, list_backups(repository_, "main").backups});
  ASSERT_EQ(now.windows.size(), 1u);
  EXPECT_EQ(now.windows[0].earliest, planned.windows[0].after[0].earliest);
  EXPECT_EQ(now.windows[0].latest, planned.windows[0].after[0].latest);
  EXPECT_TRUE(plan(last(2)).is_empty());
}

TEST_F(ExpiryTest, WithoutABackupNoWalGoes) {
  archive_segments(archive_, 1, 1, 20);
  EXPECT_TRUE(plan(last(1)).is_empty());
  EXPECT_EQ(expire(last(1)).segments, 0u);
  EXPECT_EQ(wal(), range(1, 20));
}

TEST_F(ExpiryTest, WithoutAPolicyNothingGoes) {
  store_three();
  EXPECT_TRUE(plan({}).is_empty());
  EXPECT_EQ(expire({}).segments, 0u);
  EXPECT_EQ(wal(), range(1, 20));
}

TEST_F(ExpiryTest, ABackupKeptByDecisionKeepsItsOwnWal) {
  store_three();
  put_backup_keep(made_.repository, "main", "a", {.when = now_, .until = std::nullopt});
  const auto planned = plan(last(1));
  (void)expire(last(1));
  EXPECT_EQ(backups(), (Ids{"a", "c"}));
  auto expected = range(2, 3);
  for (const auto number : range(12, 20)) expected.push_back(number);
  EXPECT_EQ(wal(), expected);
  const auto now = recoverable_moments({archive_, list_backups(repository_, "main").backups});
  ASSERT_EQ(now.windows.size(), 2u);
  ASSERT_EQ(planned.windows[0].after.size(), 2u);
  EXPECT_EQ(now.windows[0].latest, planned.windows[0].after[0].latest);
  ASSERT_EQ(now.gaps.size(), 1u);
  EXPECT_EQ(now.gaps[0].state, GapState::expired);
}

TEST_F(ExpiryTest, WalOfATimelineWithoutItsHistoryFileStays) {
  store_three();
  archive_segments(archive_, 2, 5, 16);
  (void)expire(last(1));
  EXPECT_EQ(wal(2), range(5, 16));
}

TEST_F(ExpiryTest, APlanThatNoLongerHoldsIsNotCarriedOut) {
  store_three();
  const auto planned = plan(last(1));
  const auto carry_out = [&] {
    return error_of(
        [&] { (void)carry_out_expiry(repository_, "main", planned, id_of(1), now_, [] {}); });
  };
  put_backup_keep(made_.repository, "main", "a", {.when = now_, .until = std::nullopt});
  EXPECT_EQ(carry_out(), "unavailable");
  put_backup_keep(made_.repository, "main", "a",
                  {.when = now_, .until = now_ - std::chrono::hours(1)});
  const auto root = made_.storage.find(backup_root_key("main", "c"), whole_object).value();
  auto damaged = root;
  damaged.back() ^= 1;
  made_.storage.overwrite(backup_root_key("main", "c"), damaged);
  EXPECT_EQ(carry_out(), "corrupt");
  made_.storage.overwrite(backup_root_key("main", "c"), root);
  delete_backup(made_.repository, "main", "c", now_);
  EXPECT_EQ(carry_out(), "unavailable");
  EXPECT_EQ(backups(), (Ids{"a", "b"}));
  EXPECT_EQ(wal(), range(1, 20));
}

// Behind a gap a window needs a backup of its own.
TEST_F(ExpiryTest, AWindowWithAGapKeepsABackupOnEachSide) {
  archive_segments(archive_, 1, 1, 4);
  archive_segments(archive_, 1, 6, 20);
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  store_backup(made_.repository, backup_of("b", 1, 7, 8));
  store_backup(made_.repository, backup_of("c", 1, 12, 13));
  RetentionPolicy policy;
  policy.window = std::chrono::minutes(26);  // from minute 4 on
  const auto planned = plan(policy);
  EXPECT_EQ(planned.windows[0].after.size(), 2u);
  (void)expire(policy);
  EXPECT_EQ(backups(), (Ids{"a", "b", "c"}));
  policy.window = std::chrono::minutes(25);
  (void)expire(policy);
  EXPECT_EQ(backups(), (Ids{"b", "c"}));
  EXPECT_EQ(wal(), range(7, 20));
}

TEST_F(ExpiryTest, NothingBehindTheStartOfTheNewestGoes) {
  store_three();
  // A timeline that no backup leads to, both before and behind that.
  archive_segments(archive_, 9, 5, 16);
  archive_history(archive_, 9, {{.timeline = {1}, .end = lsn_in(1)}});
  (void)expire(last(1));
  EXPECT_EQ(wal(9), range(12, 16));
}

TEST_F(ExpiryTest, WalOfOldTimelinesStaysWhereABackupLeadsThere) {
  archive_segments(archive_, 1, 1, 9);
  archive_segments(archive_, 2, 6, 20);
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(6)}});
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  store_backup(made_.repository, backup_of("b", 1, 4, 5));
  store_backup(made_.repository, backup_of("c", 2, 12, 13));
  (void)expire(last(2));
  EXPECT_EQ(wal(1), range(4, 9));
  EXPECT_EQ(wal(2), range(6, 20));
  (void)expire(last(1));
  EXPECT_EQ(wal(1), Numbers{});
  EXPECT_EQ(wal(2), range(12, 20));
  EXPECT_TRUE(archive_.find_history({2}));
}

// A restore as the original is over once its server has archived the timeline on which it goes on.
TEST_F(ExpiryTest, WhatARestoreStillRecoversFromStays) {
  store_three();
  LeftTimeline left;
  left.timeline = {.timeline = {1}, .branch = 0};
  left.at = lsn_in(10);
  left.for_timeline = {2};
  left.backup = "a";  // though b ends before that position, too
  left.when = now_ + std::chrono::days(365);
  put_left_timeline(made_.repository, archive_.identity(), left);
  EXPECT_TRUE(plan(last(1)).verdicts.at(0).reasons.empty()) << "its clock was wrong";
  left.when = now_;
  put_left_timeline(made_.repository, archive_.identity(), left);
  EXPECT_TRUE(expire(last(1)).deleted == (Ids{"b"}));
  EXPECT_EQ(backups(), (Ids{"a", "c"}));
  EXPECT_EQ(wal(), range(2, 20));
  const auto kept = plan(last(1)).verdicts.at(0).reasons;
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_NE(kept[0].find("recovers from it"), std::string::npos) << kept[0];

  const auto begun = now_;
  now_ = begun + recovery_time_max + std::chrono::seconds(1);
  EXPECT_FALSE(plan(last(1)).is_empty()) << "it came to nothing";
  now_ = begun;
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(10)}});
  archive_segments(archive_, 2, 10, 12);
  store_backup(made_.repository, backup_of("d", 2, 12, 12));
  EXPECT_EQ(expire(last(1)).deleted, (Ids{"a"}));
}

TEST_F(ExpiryTest, PartialAndBackupFilesGoWithTheirSegments) {
  store_three();
  archive_file(archive_, "000000010000000000000003.00000028.backup", bytes_of("label"), now_);
  archive_file(archive_, "00000001000000000000000D.00000028.backup", bytes_of("label"), now_);
  const auto count = [&] { return keys_under(made_.storage, archive_.prefix()).size(); };
  EXPECT_EQ(count(), 22u);
  (void)expire(last(1));
  EXPECT_EQ(count(), 10u);  // 12 to 20 and one .backup
}

TEST_F(ExpiryTest, ARunningBackupHoldsTheWal) {
  store_three();
  begin_backup("d");
  auto result = expire(last(1));
  EXPECT_EQ(result.deleted, (Ids{"a", "b"}));
  EXPECT_EQ(result.segments, 0u);
  EXPECT_NE(result.wal_left.find("backups/main/d/1"), std::string::npos) << result.wal_left;
  EXPECT_EQ(wal(), range(1, 20));
  EXPECT_TRUE(keys_under(made_.storage, "wal-expiry/").empty());
  // It ends: its pin no longer counts, also when it is deleted later.
  store_backup(made_.repository, backup_of("d", 1, 14, 15));
  delete_backup(made_.repository, "main", "d", now_);
  EXPECT_EQ(expire(last(1)).segments, 11u);
}

// It began after the plan was made, and was committed before pins were looked at.
TEST_F(ExpiryTest, ABackupThatWasCompletedMeanwhileHoldsTheWal) {
  store_three();
  const auto planned = plan(last(1));
  auto late = backup_of("d", 1, 10, 11);
  late.start_time = minute_of(14);
  store_backup(made_.repository, late);
  const auto result = carry_out_expiry(repository_, "main", planned, id_of(1), now_, [] {});
  EXPECT_EQ(result.segments, 0u);
  EXPECT_NE(result.wal_left, "");
  EXPECT_EQ(wal(), range(1, 20));
}

TEST_F(ExpiryTest, AnnouncesBeforeItLooksForBackups) {
  store_three();
  const auto planned = plan(last(1));
  std::vector<std::string> calls;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (key.starts_with("wal-expiry/") || key.starts_with("pins/") || key == "backups/main/" ||
        operation == "remove") {
      calls.push_back(std::string(operation) + " " + std::string(key.substr(0, key.find('/') + 1)));
    }
  };
  (void)carry_out_expiry(repository_, "main", planned, id_of(1), now_, [] {});
  // Roots, announcement, pins, roots again, WAL, the announcement's end.
  EXPECT_EQ(calls,
            (std::vector<std::string>{"remove backups/", "remove root-copies/", "remove backups/",
                                      "remove root-copies/", "put wal-expiry/", "list pins/",
                                      "list_names backups/", "remove wal/", "remove wal-expiry/",
                                      "list_names wal-expiry/"}));
}

TEST_F(ExpiryTest, ABackupSeesThatItsWalIsAboutToGo) {
  store_three();
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "remove" && key.starts_with("wal/")) throw std::runtime_error("killed");
  };
  EXPECT_THROW((void)expire(last(1)), std::runtime_error);
  hooked_.before = [](std::string_view, std::string_view) {};
  EXPECT_TRUE(is_expiring(archive_, {.timeline = {1}}, lsn_in(11), lsn_in(12)));
  EXPECT_FALSE(is_expiring(archive_, {.timeline = {1}}, lsn_in(12), lsn_in(14)));
  EXPECT_FALSE(is_expiring(archive_, {.timeline = {2}}, lsn_in(11), lsn_in(12)));
  // The next run does what it did not come to, and ends its announcement.
  EXPECT_EQ(expire(last(1)).segments, 11u);
  EXPECT_FALSE(is_expiring(archive_, {.timeline = {1}}, lsn_in(11), lsn_in(12)));
  EXPECT_TRUE(keys_under(made_.storage, "wal-expiry/").empty());
}

TEST_F(ExpiryTest, FinishesWhatACrashLeft) {
  store_three();
  hooked_.before = [&](std::string_view operation, std::string_view) {
    if (operation == "remove") throw std::runtime_error("killed");
  };
  EXPECT_THROW((void)expire(last(2)), std::runtime_error);
  hooked_.before = [](std::string_view, std::string_view) {};
  EXPECT_TRUE(made_.storage.find_size(backup_root_key("main", "a")));
  EXPECT_EQ(backups(), (Ids{"b", "c"}));
  (void)expire(last(2));
  EXPECT_FALSE(made_.storage.find_size(backup_root_key("main", "a")));
  EXPECT_EQ(wal(), range(7, 20));
}

TEST_F(ExpiryTest, ADamagedBackupKeepsAllWal) {
  store_three();
  made_.storage.overwrite(backup_root_key("main", "b"), Bytes(500));
  const auto planned = plan(last(1));
  EXPECT_EQ(planned.damaged, (Ids{backup_root_key("main", "b")}));
  (void)expire(last(1));
  EXPECT_EQ(wal(), range(1, 20));
  EXPECT_TRUE(made_.storage.find_size(backup_root_key("main", "b")));
}

TEST_F(ExpiryTest, LedgersOfWhatGoesGoToo) {
  store_three();
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::ledger,
                                          "wal-ledger/main/1/00000001-0/00000000/x", Bytes(4)));
  (void)expire(last(1));
  EXPECT_TRUE(keys_under(made_.storage, "wal-ledger/").empty());
}

TEST_F(ExpiryTest, WalFromBeforeAnUpgradeGoesOnceNothingKeptNeedsIt) {
  store_three();
  auto upgraded = test_cluster();
  upgraded.number = 2;
  upgraded.system_identifier += 1;
  upgraded.postgres_major += 1;
  (void)upgrade_cluster(made_.repository, upgraded);
  const WalArchive newer(made_.repository, upgraded);
  archive_segments(newer, 1, 21, 25);
  (void)expire(last(1));
  EXPECT_EQ(wal(), range(12, 20)) << "with no backup behind the upgrade";
  auto after = backup_of("n", 1, 22, 23);
  after.identity_number = 2;
  store_backup(made_.repository, after);
  (void)expire(last(2));
  EXPECT_EQ(backups(), (Ids{"c", "n"}));
  EXPECT_EQ(wal(), range(12, 20));
  (void)expire(last(1));
  EXPECT_EQ(backups(), (Ids{"n"}));
  EXPECT_EQ(wal(), Numbers{});
  EXPECT_EQ(newer.segments({1}).size(), 4u);
}

// A kept backup before a failover keeps its own WAL only: the rest of its timeline
// goes, and so may the first segments of the next.
TEST_F(ExpiryTest, WhatGoesAroundAFailoverIsNoGap) {
  archive_segments(archive_, 1, 1, 10);
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(10, 0x200)}});
  archive_segments(archive_, 2, 10, 20);
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  store_backup(made_.repository, backup_of("b", 2, 12, 13));
  store_backup(made_.repository, backup_of("c", 2, 16, 17));
  put_backup_keep(made_.repository, "main", "a", {.when = now_, .until = std::nullopt});
  EXPECT_TRUE(recoverable_moments({archive_, {}}).gaps.empty());
  auto policy = last(1);
  policy.window = std::chrono::milliseconds(1);
  expire(policy);
  EXPECT_EQ(wal(1), range(2, 3));
  EXPECT_EQ(wal(2), range(16, 20));
  const auto backups = list_backups(made_.repository, "main").backups;
  for (const auto& gap : recoverable_moments({archive_, backups}).gaps) {
    EXPECT_EQ(gap.state, GapState::expired)
        << gap.timeline.text() << " " << gap.from.text() << " " << gap.to.text();
  }
}

}  // namespace
}  // namespace walvault
