#include "catalog/recovery/recovery_plan.h"

#include <gtest/gtest.h>

#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

RecoveryTarget to_time(Timestamp time, bool inclusive = true) {
  RecoveryTarget target;
  target.kind = TargetKind::time;
  target.time = time;
  target.asked = to_rfc3339(time);
  target.inclusive = inclusive;
  return target;
}
RecoveryTarget to_lsn(Lsn lsn) {
  RecoveryTarget target;
  target.kind = TargetKind::lsn;
  target.lsn = lsn;
  target.asked = lsn.text();
  return target;
}
RecoveryTarget to_xid(std::uint64_t xid) {
  RecoveryTarget target;
  target.kind = TargetKind::xid;
  target.xid = xid;
  return target;
}
RecoveryTarget to(TargetKind kind) {
  RecoveryTarget target;
  target.kind = kind;
  return target;
}

// Backups a (segments 2-3), b (6-7), c (10-11); WAL 2 to 14, segment n last
// written to at minute n.
class RecoveryPlanTest : public testing::Test {
 protected:
  void archive_wal() { archive_segments(archive_, 1, 2, 14); }

  [[nodiscard]] RecoveryPlan plan(const RecoveryTarget& target = {},
                                  const std::string& timeline = "latest",
                                  std::optional<std::string> backup_id = std::nullopt) const {
    return plan_recovery(
        {archive_, backups_},
        {.target = target, .backup_id = std::move(backup_id), .timeline = timeline});
  }
  // The backup that the plan starts from, or the kind of Error.
  [[nodiscard]] std::string start(const RecoveryTarget& target = {},
                                  const std::string& timeline = "latest",
                                  const std::optional<std::string>& backup_id = {}) const {
    std::string id;
    auto failure = error_of([&] { id = plan(target, timeline, backup_id).backup.id; });
    return failure == "nothing" ? id : failure;
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  std::vector<BackupInfo> backups_{backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7),
                                   backup_of("c", 1, 10, 11)};
};

TEST_F(RecoveryPlanTest, GoesFromTheNewestBackupToTheEndOfTheWal) {
  archive_wal();
  const auto result = plan();
  EXPECT_EQ(result.backup.id, "c");
  EXPECT_EQ(result.timeline, TimelineId{1});
  EXPECT_EQ(result.wal.first.number, 10u);
  EXPECT_EQ(result.wal.last.number, 14u);
  EXPECT_EQ(result.wal.end, lsn_in(15, 0));
}

TEST_F(RecoveryPlanTest, StartsATimeFromTheNewestBackupThatEndedBeforeIt) {
  archive_wal();
  EXPECT_EQ(start(to_time(minute_of(3))), "a");
  EXPECT_EQ(start(to_time(minute_of(7) - microseconds(1))), "a");
  EXPECT_EQ(start(to_time(minute_of(7))), "b");
  EXPECT_EQ(start(to_time(minute_of(10))), "b");  // c was under way
  EXPECT_EQ(start(to_time(minute_of(11))), "c");
  EXPECT_EQ(start(to_time(minute_of(14))), "c");
}

TEST_F(RecoveryPlanTest, WantsABackupThatEndedEarlierWhenTheTimeIsExclusive) {
  archive_wal();
  EXPECT_EQ(start(to_time(minute_of(7), false)), "a");
  EXPECT_EQ(start(to_time(minute_of(7) + microseconds(1), false)), "b");
  EXPECT_EQ(start(to_time(minute_of(3), false)), "unreachable_target");
}

TEST_F(RecoveryPlanTest, RefusesATimeBeforeTheEndOfTheFirstBackup) {
  // PostgreSQL would stop at the first consistent moment and call it success.
  archive_wal();
  EXPECT_EQ(start(to_time(minute_of(3) - microseconds(1))), "unreachable_target");
  EXPECT_EQ(start(to_time(minute_of(2))), "unreachable_target");
  const auto words = words_of_error([&] { (void)plan(to_time(minute_of(2))); });
  EXPECT_NE(words.find(to_rfc3339(minute_of(3))), std::string::npos) << words;
}

TEST_F(RecoveryPlanTest, StartsAPositionFromTheNewestBackupThatEndedBeforeIt) {
  archive_wal();
  EXPECT_EQ(start(to_lsn(lsn_in(3, 0xFF))), "unreachable_target");
  EXPECT_EQ(start(to_lsn(lsn_in(3, 0x100))), "a");
  EXPECT_EQ(start(to_lsn(lsn_in(7, 0xFF))), "a");
  EXPECT_EQ(start(to_lsn(lsn_in(7, 0x100))), "b");
  EXPECT_EQ(start(to_lsn(lsn_in(14, test_segment_bytes - 1))), "c");
}

TEST_F(RecoveryPlanTest, RefusesAPositionBehindTheArchivedWal) {
  archive_wal();
  EXPECT_EQ(start(to_lsn(lsn_in(15, 0))), "unreachable_target");
  EXPECT_EQ(start(to_lsn(lsn_in(99))), "unreachable_target");
}

TEST_F(RecoveryPlanTest, StartsATransactionFromABackupBegunBeforeIt) {
  archive_wal();  // a: 2000, b: 6000, c: 10000
  EXPECT_EQ(start(to_xid(1999)), "unreachable_target");
  EXPECT_EQ(start(to_xid(2000)), "a");
  EXPECT_EQ(start(to_xid(7500)), "b");
  EXPECT_EQ(start(to_xid(123'456)), "c");
}

TEST_F(RecoveryPlanTest, ComparesTransactionsOfLaterEpochsByTheirLowerHalf) {
  archive_wal();
  for (auto& backup : backups_) backup.control.next_full_xid += std::uint64_t{5} << 32;
  EXPECT_EQ(start(to_xid(7500)), "b");
  EXPECT_EQ(start(to_xid((std::uint64_t{5} << 32) + 7500)), "b");
}

TEST_F(RecoveryPlanTest, StartsANamedPointFromTheOldestBackup) {
  archive_wal();
  EXPECT_EQ(start(to(TargetKind::name)), "a");
}

TEST_F(RecoveryPlanTest, NeedsForTheFirstConsistentMomentTheBackupsOwnWalAlone) {
  archive_segments(archive_, 1, 10, 11);
  archive_segments(archive_, 1, 14, 15);  // a gap follows
  EXPECT_EQ(start(to(TargetKind::immediate)), "c");
  EXPECT_EQ(start(), "unreachable_target");
}

TEST_F(RecoveryPlanTest, RefusesABackupWithoutItsOwnWal) {
  archive_segments(archive_, 1, 2, 10);  // c needs 11
  EXPECT_EQ(start(), "unreachable_target");
  EXPECT_EQ(start(to(TargetKind::immediate)), "unreachable_target");
  const auto words = words_of_error([&] { (void)plan(); });
  EXPECT_NE(words.find("00000001000000000000000B"), std::string::npos) << words;
  EXPECT_EQ(start({}, "latest", "b"), "b");
}

TEST_F(RecoveryPlanTest, RefusesATargetBehindAGapButNotOneBefore) {
  archive_segments(archive_, 1, 2, 8);
  archive_segments(archive_, 1, 10, 14);
  backups_.pop_back();  // b is the newest: it runs into the gap at 9
  EXPECT_EQ(start(), "unreachable_target");
  EXPECT_EQ(start(to_lsn(lsn_in(8))), "b");
  EXPECT_EQ(start(to_lsn(lsn_in(9))), "unreachable_target");
  EXPECT_EQ(start(to_lsn(lsn_in(12))), "unreachable_target");
  EXPECT_EQ(start(to_time(minute_of(8))), "b");
  const auto words = words_of_error([&] { (void)plan(); });
  EXPECT_NE(words.find("000000010000000000000009"), std::string::npos) << words;
  EXPECT_EQ(words.find("The next moment"), std::string::npos) << words;
}

TEST_F(RecoveryPlanTest, NamesTheFirstMomentBehindAGap) {
  archive_segments(archive_, 1, 2, 8);
  archive_segments(archive_, 1, 10, 14);
  PlanRequest from_b;
  from_b.backup_id = "b";
  const auto words = words_of_error([&] { (void)plan_recovery({archive_, backups_}, from_b); });
  EXPECT_NE(words.find("the end of backup c"), std::string::npos) << words;
  EXPECT_NE(words.find("--to-lsn " + backups_[2].stop.text()), std::string::npos) << words;
}

TEST_F(RecoveryPlanTest, StartsFromTheBackupThatIsAskedFor) {
  archive_wal();
  EXPECT_EQ(start({}, "latest", "a"), "a");
  EXPECT_EQ(start(to_time(minute_of(12)), "latest", "b"), "b");
  // And does not silently take another where that one does not lead there.
  EXPECT_EQ(start(to_time(minute_of(5)), "latest", "c"), "unreachable_target");
  EXPECT_EQ(start(to_lsn(lsn_in(5)), "current", "c"), "unreachable_target");
  EXPECT_EQ(start({}, "latest", "none"), "not_found");
}

TEST_F(RecoveryPlanTest, DoesNotFindABackupWhereThereIsNone) {
  archive_wal();
  backups_.clear();
  EXPECT_EQ(start(), "not_found");
}

TEST_F(RecoveryPlanTest, LeavesOutBackupsOfAnotherIdentity) {
  archive_wal();
  backups_[2].identity_number = 2;
  EXPECT_EQ(start(), "b");
  EXPECT_EQ(start({}, "latest", "c"), "not_found");
  backups_[0].identity_number = backups_[1].identity_number = 2;
  EXPECT_EQ(start(), "not_found");
}

TEST_F(RecoveryPlanTest, RefusesWhatIsNoTimeline) {
  archive_wal();
  for (const auto* const timeline : {"", "0", "-1", "2x", "x", "0x2", "99999999999", " 1"}) {
    EXPECT_EQ(start({}, timeline), "usage") << timeline;
  }
  EXPECT_EQ(start({}, "7"), "not_found");
  EXPECT_EQ(start({}, "1"), "c");
}

class BranchedRecoveryPlanTest : public RecoveryPlanTest {
 protected:
  // Timeline 2 leaves 1 in segment 9, before c was taken on 1; backup d is on 2.
  BranchedRecoveryPlanTest() {
    archive_segments(archive_, 1, 2, 14);
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(9)}});
    archive_segments(archive_, 2, 9, 20);
    backups_.push_back(backup_of("d", 2, 15, 16));
  }
};

TEST_F(BranchedRecoveryPlanTest, FollowsTheNewestTimelineThatABackupReaches) {
  EXPECT_EQ(plan().timeline, TimelineId{2});
  EXPECT_EQ(plan().backup.id, "d");
  EXPECT_EQ(plan(to_time(minute_of(12))).backup.id, "b");  // c is not on this history
  EXPECT_EQ(plan(to_time(minute_of(12))).timeline, TimelineId{2});
  EXPECT_EQ(plan(to_lsn(lsn_in(8))).backup.id, "b");
}

TEST_F(BranchedRecoveryPlanTest, FollowsTheTimelineThatIsAskedFor) {
  EXPECT_EQ(plan({}, "1").backup.id, "c");
  EXPECT_EQ(plan({}, "1").wal.end, lsn_in(15, 0));
  EXPECT_EQ(plan({}, "2").backup.id, "d");
  EXPECT_EQ(start({}, "3"), "not_found");
}

TEST_F(BranchedRecoveryPlanTest, StaysOnTheBackupsOwnTimelineWhenAskedTo) {
  EXPECT_EQ(plan({}, "current", "c").timeline, TimelineId{1});
  EXPECT_EQ(plan({}, "current", "b").timeline, TimelineId{1});
  EXPECT_EQ(plan({}, "current").timeline, TimelineId{2});
}

TEST_F(BranchedRecoveryPlanTest, DoesNotLeadABackupOntoAHistoryThatItIsNotOn) {
  EXPECT_EQ(start({}, "2", "c"), "unreachable_target");
  EXPECT_EQ(start({}, "1", "d"), "unreachable_target");
  // "latest" is the latest that this backup reaches.
  EXPECT_EQ(plan({}, "latest", "c").timeline, TimelineId{1});
  EXPECT_EQ(plan({}, "latest", "b").timeline, TimelineId{2});
}

TEST_F(BranchedRecoveryPlanTest, TakesTheWalOfBothTimelines) {
  const auto result = plan({}, "latest", "b");
  EXPECT_EQ(result.wal.first, (SegmentName{.timeline = {1}, .number = 6}));
  EXPECT_EQ(result.wal.last, (SegmentName{.timeline = {2}, .number = 20}));
  EXPECT_EQ(result.wal.segments, 15u);
}

TEST(ChooseIdentity, GoesByTheBackupOrTheTime) {
  const auto identity = [](std::uint32_t number) {
    ClusterIdentity made;
    made.name = "main";
    made.number = number;
    return made;
  };
  const std::vector<ClusterIdentity> identities{identity(1), identity(2), identity(4)};
  auto before = backup_of("before", 1, 2, 3);
  auto after = backup_of("after", 1, 6, 7);
  after.identity_number = 2;
  const std::vector<BackupInfo> backups{before, after};
  const auto number = [&](const PlanRequest& request) {
    return choose_identity(identities, backups, request).number;
  };
  EXPECT_EQ(number({.backup_id = "before"}), 1u);
  EXPECT_EQ(number({.backup_id = "after"}), 2u);
  EXPECT_EQ(number({.backup_id = "none"}), 4u);
  EXPECT_EQ(number({.target = to_time(minute_of(3))}), 1u);
  EXPECT_EQ(number({.target = to_time(minute_of(3), false)}), 4u);
  EXPECT_EQ(number({.target = to_time(minute_of(6))}), 1u);
  EXPECT_EQ(number({.target = to_time(minute_of(7))}), 2u);
  EXPECT_EQ(number({.target = to_time(minute_of(1))}), 4u);
  // Positions and transaction ids start again with pg_upgrade: the newest is
  // meant unless a backup says otherwise.
  EXPECT_EQ(number({.target = to_lsn(lsn_in(3))}), 4u);
  EXPECT_EQ(number({.target = to_lsn(lsn_in(3)), .backup_id = "before"}), 1u);
  EXPECT_EQ(number({}), 4u);
}

}  // namespace
}  // namespace walvault
