#include "catalog/wal_stretch.h"

#include <gtest/gtest.h>

#include "support/catalog_examples.h"
#include "support/memory_repository.h"

namespace walvault {
namespace {

class WalStretchTest : public testing::Test {
 protected:
  [[nodiscard]] WalStretch from(std::uint32_t timeline, Lsn start) const {
    return wal_from(archive_, archive_.history({timeline}), start);
  }
  // Timeline 2 leaves 1 in the middle of segment 5.
  void branch_in_segment_5() {
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(5)}});
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
};

TEST_F(WalStretchTest, RunsToTheFirstSegmentThatIsMissing) {
  archive_segments(archive_, 1, 2, 6);
  const auto stretch = from(1, lsn_in(3));
  EXPECT_EQ(stretch.segments, 4u);
  EXPECT_EQ(stretch.first, (SegmentName{.timeline = {1}, .number = 3}));
  EXPECT_EQ(stretch.last, (SegmentName{.timeline = {1}, .number = 6}));
  EXPECT_EQ(stretch.end, lsn_in(7, 0));
  EXPECT_EQ(stretch.until, minute_of(6));
  EXPECT_FALSE(stretch.gap_follows);
  std::uint64_t stored = 0;
  for (const auto& segment : archive_.segments({1}, 3)) stored += segment.stored_bytes;
  EXPECT_EQ(stretch.stored_bytes, stored);
}

TEST_F(WalStretchTest, IsEmptyWhereNothingIsArchived) {
  const auto stretch = from(1, lsn_in(3));
  EXPECT_EQ(stretch.segments, 0u);
  EXPECT_EQ(stretch.end, lsn_in(3));
  EXPECT_FALSE(stretch.gap_follows);
}

TEST_F(WalStretchTest, SeesThatAGapFollows) {
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 6, 7);
  const auto stretch = from(1, lsn_in(2));
  EXPECT_EQ(stretch.end, lsn_in(5, 0));
  EXPECT_TRUE(stretch.gap_follows);
  EXPECT_TRUE(from(1, lsn_in(5)).gap_follows);
  EXPECT_FALSE(from(1, lsn_in(6)).gap_follows);
}

TEST_F(WalStretchTest, CrossesTheBorderOfALog) {
  archive_segments(archive_, 1, 4094, 4098);
  EXPECT_EQ(from(1, lsn_in(4095)).end, lsn_in(4099, 0));
}

TEST_F(WalStretchTest, FollowsAHistoryThroughASwitch) {
  archive_segments(archive_, 1, 2, 5);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 8);
  const auto stretch = from(2, lsn_in(3));
  EXPECT_EQ(stretch.segments, 6u);
  EXPECT_EQ(stretch.first, (SegmentName{.timeline = {1}, .number = 3}));
  EXPECT_EQ(stretch.last, (SegmentName{.timeline = {2}, .number = 8}));
  EXPECT_FALSE(stretch.gap_follows);
  // The old timeline goes its own way.
  EXPECT_EQ(from(1, lsn_in(3)).last, (SegmentName{.timeline = {1}, .number = 5}));
}

TEST_F(WalStretchTest, NeedsNoOldSegmentWhereTheNewTimelineHasIt) {
  archive_segments(archive_, 1, 2, 4);  // 5 was never finished there
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 6);
  EXPECT_EQ(from(2, lsn_in(3)).end, lsn_in(7, 0));
}

TEST_F(WalStretchTest, EndsAtTheSwitchWhereTheNewTimelineHasNothing) {
  archive_segments(archive_, 1, 2, 7);
  branch_in_segment_5();
  const auto stretch = from(2, lsn_in(3));
  EXPECT_EQ(stretch.end, lsn_in(5));
  EXPECT_EQ(stretch.switches_from, TimelineId{1});
}

TEST_F(WalStretchTest, DoesNotContinueOnTheOldTimelineBehindTheSwitch) {
  archive_segments(archive_, 1, 2, 9);
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(6, 0)}});  // at a border
  const auto stretch = from(2, lsn_in(3));
  EXPECT_EQ(stretch.end, lsn_in(6, 0));
  EXPECT_EQ(stretch.last, (SegmentName{.timeline = {1}, .number = 5}));
  EXPECT_FALSE(stretch.gap_follows);
}

TEST_F(WalStretchTest, SeesAGapOnAnAncestor) {
  archive_segments(archive_, 1, 2, 2);
  archive_segments(archive_, 1, 4, 5);
  branch_in_segment_5();
  EXPECT_TRUE(from(2, lsn_in(2)).gap_follows);
  archive_segments(archive_, 2, 5, 6);
  EXPECT_TRUE(from(2, lsn_in(2)).gap_follows);
}

TEST_F(WalStretchTest, DoesNotCallTheOldTimelinesOwnWalAGap) {
  // Behind the switch the old timeline went on, but not in this history.
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 7, 9);
  branch_in_segment_5();
  EXPECT_FALSE(from(2, lsn_in(2)).gap_follows);
  EXPECT_TRUE(from(1, lsn_in(2)).gap_follows);
}

TEST_F(WalStretchTest, KnowsWhetherABackupLiesOnAHistory) {
  branch_in_segment_5();
  const auto history = archive_.history({2});
  EXPECT_TRUE(lies_on(backup_of("a", 1, 2, 3), history));
  EXPECT_TRUE(lies_on(backup_of("b", 1, 4, 5), history));   // ends before the switch
  EXPECT_FALSE(lies_on(backup_of("c", 1, 4, 6), history));  // ends behind it
  EXPECT_FALSE(lies_on(backup_of("d", 1, 6, 7), history));
  EXPECT_TRUE(lies_on(backup_of("e", 2, 6, 7), history));
  EXPECT_FALSE(lies_on(backup_of("f", 3, 1, 2), history));
}

TEST_F(WalStretchTest, GivesOneWindowForBackupsOnUnbrokenWal) {
  archive_segments(archive_, 1, 2, 9);
  const auto windows =
      recovery_windows(archive_, {backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].timeline, TimelineId{1});
  EXPECT_EQ(windows[0].earliest, backup_of("a", 1, 2, 3).stop);
  EXPECT_EQ(windows[0].latest, lsn_in(10, 0));
  EXPECT_EQ(windows[0].earliest_time, minute_of(3));
  EXPECT_EQ(windows[0].latest_time, minute_of(9));
}

TEST_F(WalStretchTest, GivesAWindowOnEachSideOfAGap) {
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 6, 9);
  const auto windows =
      recovery_windows(archive_, {backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].latest, lsn_in(5, 0));
  EXPECT_EQ(windows[1].earliest, backup_of("b", 1, 6, 7).stop);
  EXPECT_EQ(windows[1].latest, lsn_in(10, 0));
}

TEST_F(WalStretchTest, GivesNoWindowForABackupWithoutItsWal) {
  archive_segments(archive_, 1, 2, 2);
  EXPECT_TRUE(recovery_windows(archive_, {backup_of("a", 1, 2, 3)}).empty());
  EXPECT_TRUE(recovery_windows(archive_, {}).empty());
}

TEST_F(WalStretchTest, GivesNoWindowForBackupsOfAnotherIdentity) {
  archive_segments(archive_, 1, 2, 9);
  auto backup = backup_of("a", 1, 2, 3);
  backup.identity_number = 2;
  EXPECT_TRUE(recovery_windows(archive_, {backup}).empty());
}

TEST_F(WalStretchTest, JoinsAWindowToThatOfTheDescendantThatGoesOn) {
  archive_segments(archive_, 1, 2, 4);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 8);
  const auto windows = recovery_windows(archive_, {backup_of("a", 1, 2, 3)});
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].timeline, TimelineId{2});
  EXPECT_EQ(windows[0].earliest, backup_of("a", 1, 2, 3).stop);
  EXPECT_EQ(windows[0].latest, lsn_in(9, 0));
}

TEST_F(WalStretchTest, KeepsAWindowOfATimelineThatWentItsOwnWay) {
  archive_segments(archive_, 1, 2, 9);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 6);
  const auto windows = recovery_windows(archive_, {backup_of("a", 1, 2, 3)});
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].timeline, TimelineId{1});
  EXPECT_EQ(windows[0].latest, lsn_in(10, 0));
  EXPECT_EQ(windows[1].timeline, TimelineId{2});
  EXPECT_EQ(windows[1].latest, lsn_in(7, 0));
}

TEST_F(WalStretchTest, ListsGapsOfEachTimeline) {
  EXPECT_TRUE(wal_gaps(archive_).empty());
  archive_segments(archive_, 1, 2, 3);
  archive_segments(archive_, 1, 6, 6);
  archive_segments(archive_, 1, 8, 9);
  archive_segments(archive_, 2, 1, 1);
  archive_segments(archive_, 2, 4097, 4097);
  const auto gaps = wal_gaps(archive_);
  ASSERT_EQ(gaps.size(), 3u);
  EXPECT_EQ(gaps[0].timeline, TimelineId{1});
  EXPECT_EQ(gaps[0].from, lsn_in(4, 0));
  EXPECT_EQ(gaps[0].to, lsn_in(6, 0));
  EXPECT_EQ(gaps[1].from, lsn_in(7, 0));
  EXPECT_EQ(gaps[1].to, lsn_in(8, 0));
  EXPECT_EQ(gaps[2].timeline, TimelineId{2});
  EXPECT_EQ(gaps[2].from, lsn_in(2, 0));
  EXPECT_EQ(gaps[2].to, lsn_in(4097, 0));
}

}  // namespace
}  // namespace walvault
