#include "catalog/recovery/recovery_window.h"

#include <gtest/gtest.h>

#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class RecoveryWindowTest : public testing::Test {
 protected:
  [[nodiscard]] RecoverableMoments moments(const std::vector<BackupInfo>& backups = {}) const {
    return recoverable_moments({archive_.at_this_moment(false), backups});
  }
  [[nodiscard]] std::vector<RecoveryWindow> windows(const std::vector<BackupInfo>& backups) const {
    return moments(backups).windows;
  }
  [[nodiscard]] std::vector<WalGap> gaps() const { return moments().gaps; }

  void branch_in_segment_5() {
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(5)}});
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
};

TEST_F(RecoveryWindowTest, GivesOneWindowForBackupsOnUnbrokenWal) {
  archive_segments(archive_, 1, 2, 9);
  const auto found = windows({backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].timeline, (TimelineBranch{.timeline = {1}}));
  EXPECT_EQ(found[0].earliest, backup_of("a", 1, 2, 3).stop);
  EXPECT_EQ(found[0].latest, lsn_in(10, 0));
  EXPECT_EQ(found[0].earliest_time, minute_of(3));
  EXPECT_EQ(found[0].latest_time, minute_of(9));
}

TEST_F(RecoveryWindowTest, GivesAWindowOnEachSideOfAGap) {
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 6, 9);
  const auto found = windows({backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].latest, lsn_in(5, 0));
  EXPECT_EQ(found[1].earliest, backup_of("b", 1, 6, 7).stop);
  EXPECT_EQ(found[1].latest, lsn_in(10, 0));
}

TEST_F(RecoveryWindowTest, GivesNoWindowForABackupWithoutItsWal) {
  archive_segments(archive_, 1, 2, 2);
  EXPECT_TRUE(windows({backup_of("a", 1, 2, 3)}).empty());
  EXPECT_TRUE(windows({}).empty());
}

TEST_F(RecoveryWindowTest, GivesNoWindowForBackupsOfAnotherIdentity) {
  archive_segments(archive_, 1, 2, 9);
  auto backup = backup_of("a", 1, 2, 3);
  backup.identity_number = 2;
  EXPECT_TRUE(windows({backup}).empty());
}

TEST_F(RecoveryWindowTest, JoinsAWindowToThatOfTheDescendantThatGoesOn) {
  archive_segments(archive_, 1, 2, 4);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 8);
  const auto found = windows({backup_of("a", 1, 2, 3)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].timeline, (TimelineBranch{.timeline = {2}}));
  EXPECT_EQ(found[0].earliest, backup_of("a", 1, 2, 3).stop);
  EXPECT_EQ(found[0].latest, lsn_in(9, 0));
}

TEST_F(RecoveryWindowTest, KeepsAWindowOfATimelineThatWentItsOwnWay) {
  archive_segments(archive_, 1, 2, 9);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 6);
  const auto found = windows({backup_of("a", 1, 2, 3)});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].timeline, (TimelineBranch{.timeline = {1}}));
  EXPECT_EQ(found[0].latest, lsn_in(10, 0));
  EXPECT_EQ(found[1].timeline, (TimelineBranch{.timeline = {2}}));
  EXPECT_EQ(found[1].latest, lsn_in(7, 0));
}

TEST_F(RecoveryWindowTest, ListsGapsOfEachTimeline) {
  EXPECT_TRUE(gaps().empty());
  archive_segments(archive_, 1, 2, 3);
  archive_segments(archive_, 1, 6, 6);
  archive_segments(archive_, 1, 8, 9);
  archive_segments(archive_, 2, 1, 1);
  archive_segments(archive_, 2, 4097, 4097);
  const auto found = gaps();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].timeline, (TimelineBranch{.timeline = {1}}));
  EXPECT_EQ(found[0].from, lsn_in(4, 0));
  EXPECT_EQ(found[0].to, lsn_in(6, 0));
  EXPECT_EQ(found[1].from, lsn_in(7, 0));
  EXPECT_EQ(found[1].to, lsn_in(8, 0));
  EXPECT_EQ(found[2].timeline, (TimelineBranch{.timeline = {2}}));
  EXPECT_EQ(found[2].from, lsn_in(2, 0));
  EXPECT_EQ(found[2].to, lsn_in(4097, 0));
}

TEST_F(RecoveryWindowTest, EndsAtASegmentThatDoesNotContinueTheOneBefore) {
  archive_segments(archive_, 1, 2, 4);
  // Whole in itself, but of another history: it names another record before it.
  WalBuilder other(5);
  other.follow(lsn_in(4, 0x400));
  other.add_filler(200);
  other.add_switch();
  const SegmentName swapped{.timeline = {1}, .number = 5};
  archive_file(archive_, swapped.text(test_geometry), other.segment(0), minute_of(5));
  archive_segments(archive_, 1, 6, 9);
  const auto found = moments({backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  ASSERT_EQ(found.windows.size(), 2u);
  EXPECT_EQ(found.windows[0].latest, lsn_in(5, 0));
  // Nothing that was proved has a time, and the file's own does not count.
  EXPECT_EQ(found.windows[0].latest_time, minute_of(3));
  EXPECT_EQ(found.windows[1].earliest, backup_of("b", 1, 6, 7).stop);
  EXPECT_EQ(found.windows[1].latest_time, minute_of(9));
  ASSERT_EQ(found.gaps.size(), 1u);
  EXPECT_EQ(found.gaps[0].from, lsn_in(5, 0));
  EXPECT_EQ(found.gaps[0].to, lsn_in(6, 0));
  EXPECT_NE(found.gaps[0].damage.find("its first record follows"), std::string::npos)
      << found.gaps[0].damage;
  // It is there, so it has not expired.
  put_accepted_gap(made_.repository, archive_.identity(),
                   {.timeline = {.timeline = {1}},
                    .from = lsn_in(4, 0),
                    .to = lsn_in(6, 0),
                    .reason = expired_reason,
                    .when = minute_of(10)});
  const auto later = moments({backup_of("a", 1, 2, 3), backup_of("b", 1, 6, 7)});
  EXPECT_EQ(later.gaps.at(0).state, GapState::accepted);
}

TEST_F(RecoveryWindowTest, EndsBeforeADamagedLastSegment) {
  archive_segments(archive_, 1, 2, 5);
  const auto key = archive_.key_of(SegmentName{.timeline = {1}, .number = 5}.text(test_geometry));
  made_.storage.remove({key});
  ASSERT_TRUE(made_.storage.put_if_absent(key, Bytes(200)));
  const auto found = moments({backup_of("a", 1, 2, 3)});
  ASSERT_EQ(found.windows.size(), 1u);
  EXPECT_EQ(found.windows[0].latest, lsn_in(5, 0));
  ASSERT_EQ(found.gaps.size(), 1u);
  EXPECT_EQ(found.gaps[0].from, lsn_in(5, 0));
  ASSERT_EQ(found.ends.size(), 1u);
  EXPECT_EQ(found.ends[0].segment.number, 5u);
  EXPECT_FALSE(found.ends[0].modified);
}

TEST_F(RecoveryWindowTest, TellsWhenTheLastTransactionEnded) {
  WalBuilder wal(2);
  wal.add_commit(700, minute_of(2));
  wal.add_commit(701, minute_of(1));
  wal.add_restore_point("quiet", minute_of(8));
  wal.add_switch();
  const SegmentName name{.timeline = {1}, .number = 2};
  archive_file(archive_, name.text(test_geometry), wal.segment(0), minute_of(3));
  const auto found = windows({backup_of("a", 1, 2, 2)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].last_transaction, minute_of(2));
  // What has a time moves the end of the window, whatever the file's is.
  EXPECT_EQ(found[0].latest_time, minute_of(8));
}

TEST_F(RecoveryWindowTest, CallsWhatNobodyArchivedOfAnOldTimelineAGap) {
  archive_segments(archive_, 1, 2, 3);
  branch_in_segment_5();
  archive_segments(archive_, 2, 5, 6);
  const auto found = gaps();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].timeline, (TimelineBranch{.timeline = {1}}));
  EXPECT_EQ(found[0].from, lsn_in(4, 0));
  EXPECT_EQ(found[0].to, lsn_in(5, 0));
}

// Deleted piece by piece, as backups between them went one after another.
TEST_F(RecoveryWindowTest, WhatExpireHasDeletedIsNoLoss) {
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 8, 9);
  AcceptedGap piece{.timeline = {.timeline = {1}, .branch = 0},
                    .from = lsn_in(6, 0),
                    .to = lsn_in(8, 0),
                    .reason = expired_reason,
                    .when = minute_of(10)};
  put_accepted_gap(made_.repository, archive_.identity(), piece);
  piece.timeline.branch = 1;
  piece.from = lsn_in(2, 0);
  put_accepted_gap(made_.repository, archive_.identity(), piece);
  EXPECT_EQ(gaps().at(0).state, GapState::open);
  piece.timeline.branch = 0;
  piece.from = lsn_in(4, 0);
  piece.to = lsn_in(6, 0);
  put_accepted_gap(made_.repository, archive_.identity(), piece);
  EXPECT_EQ(gaps().at(0).state, GapState::expired);
}

TEST_F(RecoveryWindowTest, KnowsWhatIsAcceptedAsLost) {
  archive_segments(archive_, 1, 2, 4);
  archive_segments(archive_, 1, 7, 9);
  const AcceptedGap part{.timeline = {.timeline = {1}, .branch = 0},
                         .from = lsn_in(5, 0),
                         .to = lsn_in(6, 0),
                         .reason = "a part of it",
                         .when = minute_of(10)};
  put_accepted_gap(made_.repository, archive_.identity(), part);
  EXPECT_EQ(gaps().at(0).state, GapState::open);
  auto rest = part;
  rest.from = lsn_in(6, 0);
  rest.to = lsn_in(7, 0);
  rest.reason = "the disk is gone";
  put_accepted_gap(made_.repository, archive_.identity(), rest);
  EXPECT_EQ(gaps().at(0).state, GapState::accepted);
  const auto listed = list_accepted_gaps(made_.repository, archive_.identity());
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[1].reason, "the disk is gone");
  EXPECT_EQ(listed[1].when, minute_of(10));
  auto other = archive_.identity();
  other.number = 2;
  EXPECT_TRUE(list_accepted_gaps(made_.repository, other).empty());
}

TEST(AcceptedGap, RefusesEveryTruncation) {
  const auto bytes = encode_accepted_gap({.timeline = {.timeline = {3}, .branch = 1},
                                          .from = {1},
                                          .to = {2},
                                          .reason = "lost",
                                          .when = minute_of(1)});
  EXPECT_EQ(decode_accepted_gap(bytes).reason, "lost");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_accepted_gap(ByteView(bytes).first(length)); }),
              "corrupt");
  }
}

TEST_F(RecoveryWindowTest, TellsTheLastSegmentOfEachTimeline) {
  archive_segments(archive_, 1, 2, 4);
  branch_in_segment_5();
  const auto found = moments().ends;
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].segment.number, 4u);
  EXPECT_EQ(found[0].modified, minute_of(4));
}

}  // namespace
}  // namespace walvault
