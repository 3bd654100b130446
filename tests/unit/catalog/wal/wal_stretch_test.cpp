#include "catalog/wal/wal_stretch.h"

#include <gtest/gtest.h>

#include "catalog/recovery/recovery_window.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
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
  // What was written there behind the switch is of no moment of this history.
  EXPECT_EQ(stretch.until, archive_.last_written(archive_.key_of("00000002.history")));
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
  EXPECT_TRUE(lies_on(archive_, backup_of("a", 1, 2, 3), history));
  EXPECT_TRUE(lies_on(archive_, backup_of("b", 1, 4, 5), history));   // ends before the switch
  EXPECT_FALSE(lies_on(archive_, backup_of("c", 1, 4, 6), history));  // ends behind it
  EXPECT_FALSE(lies_on(archive_, backup_of("d", 1, 6, 7), history));
  EXPECT_TRUE(lies_on(archive_, backup_of("e", 2, 6, 7), history));
  EXPECT_FALSE(lies_on(archive_, backup_of("f", 3, 1, 2), history));
}

Bytes partial_segment(std::uint32_t timeline, std::uint64_t number) {
  auto bytes = wal_segment(
      {.timeline = timeline, .number = number, .content_bytes = 10'000, .has_pages = true});
  bytes[40 + 9999] = 1;
  return bytes;
}

TEST_F(WalStretchTest, EndsInASegmentThatWasArchivedInPart) {
  archive_segments(archive_, 1, 2, 4);
  const WalSegmentSpec next{.number = 5};
  archive_file(archive_, next.name() + ".partial", partial_segment(1, 5), minute_of(9));
  const auto stretch = from(1, lsn_in(2));
  EXPECT_EQ(stretch.segments, 3u);
  EXPECT_EQ(stretch.partial, (SegmentName{.timeline = {1}, .number = 5}));
  EXPECT_EQ(stretch.end, lsn_in(5, 10'040));
  EXPECT_EQ(stretch.until, minute_of(9));
  EXPECT_FALSE(from(1, lsn_in(5, 20'000)).partial);  // it does not reach so far
  // A newer one that reaches less far changes nothing.
  auto shorter = partial_segment(1, 5);
  std::fill(shorter.begin() + 5000, shorter.end(), std::uint8_t{0});
  archive_file(archive_, next.name() + ".partial", shorter, minute_of(20), minute_of(20));
  EXPECT_EQ(from(1, lsn_in(2)).end, lsn_in(5, 10'040));

  // Once the segment is there whole, that counts.
  archive_segments(archive_, 1, 5, 5);
  EXPECT_FALSE(from(1, lsn_in(2)).partial);
  EXPECT_EQ(from(1, lsn_in(2)).end, lsn_in(6, 0));
}

TEST_F(WalStretchTest, OfAPartTakesWhatLiesBeforeTheSwitch) {
  archive_segments(archive_, 1, 2, 4);
  const auto name = WalSegmentSpec{.number = 5}.name() + ".partial";
  archive_file(archive_, name, partial_segment(1, 5));
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(5, 10'040)}}, minute_of(5));
  archive_history(archive_, 3, {{.timeline = {1}, .end = lsn_in(5, 9'000)}}, minute_of(5));
  const auto all = from(2, lsn_in(2));
  EXPECT_EQ(all.partial, (SegmentName{.timeline = {1}, .number = 5}));
  EXPECT_EQ(all.end, lsn_in(5, 10'040));
  EXPECT_EQ(all.switches_from, TimelineId{});  // replay ends there by itself
  const auto cut = from(3, lsn_in(2));
  EXPECT_EQ(cut.partial, all.partial);
  EXPECT_EQ(cut.end, lsn_in(5, 9'000));
  EXPECT_EQ(cut.switches_from, TimelineId{1});
}

TEST_F(WalStretchTest, PrefersWhatTheNewTimelineHasInPart) {
  archive_segments(archive_, 1, 2, 5);
  archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(5, 5000)}});
  archive_history(
      archive_, 3,
      {{.timeline = {1}, .end = lsn_in(5, 5000)}, {.timeline = {2}, .end = lsn_in(5, 7000)}});
  const auto name = WalSegmentSpec{.timeline = 2, .number = 5}.name() + ".partial";
  archive_file(archive_, name, partial_segment(2, 5));
  const auto stretch = from(2, lsn_in(2));
  EXPECT_EQ(stretch.partial, (SegmentName{.timeline = {2}, .number = 5}));
  EXPECT_EQ(stretch.last, (SegmentName{.timeline = {1}, .number = 4}));
  EXPECT_EQ(stretch.end, lsn_in(5, 10'040));
  EXPECT_EQ(stretch.switches_from, TimelineId{});
  // Two switches in one segment.
  EXPECT_EQ(from(3, lsn_in(2)).end, lsn_in(5, 7000));
  EXPECT_EQ(from(3, lsn_in(2)).switches_from, TimelineId{2});
  archive_segments(archive_, 3, 5, 5);
  EXPECT_FALSE(from(3, lsn_in(2)).partial);
  EXPECT_EQ(from(3, lsn_in(2)).end, lsn_in(6, 0));
}

TEST_F(WalStretchTest, OfSeveralPartsTakesTheOneWithMoreWal) {
  archive_segments(archive_, 1, 2, 4);
  const auto name = WalSegmentSpec{.number = 5}.name() + ".partial";
  WalBuilder wal(5);
  wal.add_filler(300);
  auto used_before = wal.segment(0);
  // Behind its WAL the page holds what it held before.
  std::fill(used_before.begin() + 2000, used_before.begin() + 8192, std::uint8_t{0xAB});
  archive_file(archive_, name, used_before, minute_of(9));
  wal.add_filler(300);
  archive_file(archive_, name, wal.segment(0), minute_of(8));
  EXPECT_EQ(from(1, lsn_in(2)).end.value, wal.position());
  EXPECT_FALSE(from(1, lsn_in(2)).is_partial_contradicted);
  // Another server's, which does not reach as far.
  WalBuilder other(5);
  other.add_filler(200);
  archive_file(archive_, name, other.segment(0), minute_of(10));
  EXPECT_EQ(from(1, lsn_in(2)).end.value, wal.position());
  EXPECT_TRUE(from(1, lsn_in(2)).is_partial_contradicted);
}

TEST_F(WalStretchTest, TakesAPartBeforeAGap) {
  archive_segments(archive_, 1, 2, 4);
  archive_file(archive_, WalSegmentSpec{.number = 5}.name() + ".partial", partial_segment(1, 5));
  // A backup may end in it that nothing else brings back.
  archive_segments(archive_, 1, 7, 7);
  EXPECT_TRUE(from(1, lsn_in(2)).partial);
  EXPECT_TRUE(from(1, lsn_in(2)).gap_follows);
  const auto ends_in = [](std::uint64_t segment, std::uint64_t offset) {
    auto backup = backup_of("a", 1, 2, segment);
    backup.stop = lsn_in(segment, offset);
    return backup;
  };
  EXPECT_TRUE(has_own_wal(archive_, ends_in(4, 0x100)));
  EXPECT_TRUE(has_own_wal(archive_, ends_in(5, 10'040)));
  EXPECT_FALSE(has_own_wal(archive_, ends_in(5, 10'048)));
  EXPECT_FALSE(has_own_wal(archive_, ends_in(7, 0x100)));
}

TEST_F(WalStretchTest, PassesOverADamagedPart) {
  archive_segments(archive_, 1, 2, 4);
  const auto key = archive_file(archive_, WalSegmentSpec{.number = 5}.name() + ".partial",
                                partial_segment(1, 5));
  damage_object(made_.storage, key, made_.storage.find_size(key).value() / 2);
  EXPECT_FALSE(from(1, lsn_in(2)).partial);
  EXPECT_EQ(from(1, lsn_in(2)).end, lsn_in(5, 0));
}

// A timeline id that two promotions used.
class BranchTest : public WalStretchTest {
 protected:
  // Timeline 2 leaves 1 in segment 5, and 3 leaves 2 in segment 7.
  void SetUp() override {
    archive_segments(archive_, 1, 2, 5);
    branch_in_segment_5();
    archive_segments(archive_, 2, 5, 7);
    archive_history(archive_, 3,
                    {{.timeline = {1}, .end = lsn_in(5)}, {.timeline = {2}, .end = lsn_in(7)}});
    archive_segments(archive_, 3, 7, 8);
    opened_ = archive_.set_aside({2}, minute_of(10));
  }
  [[nodiscard]] WalArchive newest() const { return {made_.repository, test_cluster()}; }

  TimelineBranch opened_;
};

TEST_F(BranchTest, IsOpenedAndHidesWhatWasSetAside) {
  EXPECT_EQ(opened_, (TimelineBranch{.timeline = {2}, .branch = 1}));
  const auto now = newest();
  EXPECT_EQ(now.branch_of({2}), 1u);
  EXPECT_EQ(now.branch_of({1}), 0u);
  EXPECT_EQ(now.timelines(), (std::vector<TimelineId>{{1}, {3}}));
  EXPECT_FALSE(now.find_history({2}));
  archive_history(now, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  archive_segments(now, 2, 4, 6);
  EXPECT_EQ(now.history({2}).leaves({1}), lsn_in(4));
  EXPECT_EQ(now.branches(), (std::vector<TimelineBranch>{{{1}, 0}, {{2}, 0}, {{2}, 1}, {{3}, 0}}));
  EXPECT_EQ(error_of([&] { (void)now.set_aside({9}, {}); }), "not_found");
  EXPECT_EQ(now.set_aside({2}, {}), (TimelineBranch{.timeline = {2}, .branch = 2}));
}

TEST_F(BranchTest, ShowsEachHistoryTheBranchThatItCameFrom) {
  const auto now = newest();
  archive_history(now, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  archive_segments(now, 2, 4, 6);
  archive_history(now, 4,
                  {{.timeline = {1}, .end = lsn_in(4)}, {.timeline = {2}, .end = lsn_in(6)}});
  archive_segments(now, 4, 6, 6);
  EXPECT_EQ(now.view_of({{3}, 0}).branch_of({2}), 0u);
  EXPECT_EQ(now.view_of({{4}, 0}).branch_of({2}), 1u);
  EXPECT_EQ(now.view_of({{2}, 0}).branch_of({2}), 0u);

  const auto along = [&](TimelineBranch branch) {
    const auto view = now.view_of(branch);
    return wal_from(view, view.history(branch.timeline), lsn_in(2)).end;
  };
  EXPECT_EQ(along({{2}, 0}), lsn_in(8, 0));
  EXPECT_EQ(along({{2}, 1}), lsn_in(7, 0));
  EXPECT_EQ(along({{3}, 0}), lsn_in(9, 0));
  EXPECT_EQ(along({{4}, 0}), lsn_in(7, 0));

  // A later set-aside changes nothing for those.
  (void)now.set_aside({2}, {});
  const auto later = newest();
  EXPECT_EQ(later.view_of({{3}, 0}).branch_of({2}), 0u);
  EXPECT_EQ(later.view_of({{4}, 0}).branch_of({2}), 1u);
}

TEST_F(BranchTest, KeepsWhatCameFromABranchThatWasSetAsideFirst) {
  // 3 is set aside, then 2 again: 3-0 still came from 2-0, and the new 3 from 2-1.
  const auto now = newest();
  archive_history(now, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  archive_segments(now, 2, 4, 6);
  (void)now.set_aside({3}, {});
  const auto then = newest();
  archive_history(then, 3,
                  {{.timeline = {1}, .end = lsn_in(4)}, {.timeline = {2}, .end = lsn_in(6)}});
  archive_segments(then, 3, 6, 6);
  (void)then.set_aside({3}, {});
  (void)newest().set_aside({2}, {});
  const auto later = newest();
  EXPECT_EQ(later.view_of({{3}, 0}).branch_of({2}), 0u);
  EXPECT_EQ(later.view_of({{3}, 1}).branch_of({2}), 1u);
  EXPECT_EQ(later.with({{{2}, 0}}).view_of({{3}, 1}).branch_of({2}), 1u);
  // Whatever the archive shows, another history has its own.
  EXPECT_EQ(later.with({{{2}, 0}}).view_of({{1}, 0}).branch_of({2}), 2u);
}

TEST_F(BranchTest, TakesABackupForItsOwnBranchOnly) {
  const auto now = newest();
  archive_history(now, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  archive_segments(now, 2, 4, 6);
  auto before = backup_of("before", 2, 5, 6);
  auto after = backup_of("after", 2, 5, 6);
  after.branch = 1;
  const auto lies = [&](const BackupInfo& backup, TimelineBranch branch) {
    const auto view = now.view_of(branch);
    return lies_on(view, backup, view.history(branch.timeline));
  };
  EXPECT_TRUE(lies(before, {{2}, 0}));
  EXPECT_FALSE(lies(before, {{2}, 1}));
  EXPECT_TRUE(lies(before, {{3}, 0}));
  EXPECT_FALSE(lies(after, {{2}, 0}));
  EXPECT_TRUE(lies(after, {{2}, 1}));
  EXPECT_FALSE(lies(after, {{3}, 0}));

  const auto windows = recoverable_moments({now, {before, after}}).windows;
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].timeline, (TimelineBranch{{2}, 1}));
  EXPECT_EQ(windows[0].latest, lsn_in(7, 0));
  EXPECT_EQ(windows[1].timeline, (TimelineBranch{{3}, 0}));
}

TEST(TimelineBranchText, IsReadAsItIsWritten) {
  const TimelineBranch branch{.timeline = {2}, .branch = 13};
  EXPECT_EQ(branch.text(), "2-13");
  EXPECT_EQ(TimelineBranch::parse("2-13"), branch);
  for (const auto* text : {"", "2", "2-", "-1", "0-1", "2-1-1", "a-1", "2-b", "2 -1"}) {
    EXPECT_FALSE(TimelineBranch::parse(text)) << text;
  }
}

TEST(BranchOpening, RefusesEveryTruncation) {
  const BranchOpening opening{
      .opened = {{2}, 1}, .when = minute_of(1), .descendants = {{{3}, 0}, {{7}, 4}}};
  const auto bytes = encode_branch_opening(opening);
  const auto read = decode_branch_opening(opening.opened, bytes);
  EXPECT_EQ(read.when, opening.when);
  EXPECT_EQ(read.descendants, opening.descendants);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(error_of([&] {
                (void)decode_branch_opening({{2}, 1}, ByteView(bytes).first(length));
              }),
              "corrupt");
  }
}

}  // namespace
}  // namespace walvault
