#include "catalog/recovery/left_timelines.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "catalog/recovery/proved_plan.h"
#include "catalog/recovery/recovery_window.h"
#include "catalog/recovery/rival_timeline.h"
#include "catalog/wal/stored_summary.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// Timeline 1, which 2 left in segment 6, and 3 in segment 5.
class LeftTimelinesTest : public testing::Test {
 protected:
  LeftTimelinesTest() {
    archive_segments(archive_, 1, 3, 9);
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(6)}});
    archive_beginning(2, 6);
    archive_segments(archive_, 2, 7, 8);
    archive_history(archive_, 3, {{.timeline = {1}, .end = lsn_in(5)}});
    archive_segments(archive_, 3, 5, 6);
  }

  void archive_beginning(std::uint32_t timeline, std::uint64_t number) {
    const auto content = chained_segment(timeline, number);
    const SegmentName name{.timeline = {timeline}, .number = number};
    WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry),
                             {timeline});
    summarizer.read(content);
    const StoredSummary stored{.summary = summarizer.finish(),
                               .origin = {.before = {}, .archiver = id_of(2)}};
    archive_file(archive_, name.text(test_geometry), content, minute_of(number), {},
                 encode_wal_summary(stored), 2);
  }

  void put(LeftTimeline left) {
    left.timeline.branch = 0;
    left.when = minute_of(1);
    put_left_timeline(made_.repository, archive_.identity(), left);
  }
  void abandon(std::uint32_t timeline, bool undo = false) {
    LeftTimeline left;
    left.timeline.timeline = {timeline};
    left.is_taken_back = undo;
    put(left);
  }
  void leave(std::uint32_t timeline, Lsn at, std::uint32_t for_timeline,
             std::optional<RandomId> archiver = {}) {
    LeftTimeline left;
    left.timeline.timeline = {timeline};
    left.at = at;
    left.for_timeline = {for_timeline};
    left.archiver = archiver;
    put(left);
  }

  [[nodiscard]] bool is_left(std::uint32_t timeline) const {
    return LeftTimelines(archive_).find({.timeline = {timeline}, .branch = 0}) != nullptr;
  }
  [[nodiscard]] std::uint32_t latest() const {
    return follow_history({archive_, backups_}, "latest").branch.timeline.value;
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  std::vector<BackupInfo> backups_{backup_of("a", 1, 3, 3)};
};

TEST_F(LeftTimelinesTest, LatestIsTheNewestThatNobodyLeft) {
  EXPECT_EQ(latest(), 3u);
  abandon(3);
  EXPECT_EQ(latest(), 2u);
  abandon(2);
  EXPECT_EQ(latest(), 1u);
  abandon(3, true);
  EXPECT_EQ(latest(), 3u);
  abandon(3);
  abandon(1);
  // Nothing remains: the newest, rather than none.
  EXPECT_EQ(latest(), 3u);
}

// To pass it over would drop what was committed on it.
TEST_F(LeftTimelinesTest, TheNewestIsNotPassedOverForWantOfItsHistory) {
  archive_segments(archive_, 4, 9, 9);
  EXPECT_EQ(error_of([&] { (void)latest(); }), "unreachable_target");
  abandon(4);
  EXPECT_EQ(latest(), 3u);
  abandon(4, true);
  archive_history(archive_, 4,
                  {{.timeline = {1}, .end = lsn_in(5)}, {.timeline = {3}, .end = lsn_in(9)}});
  EXPECT_EQ(latest(), 4u);
}

TEST_F(LeftTimelinesTest, WhatARestoreSaidCountsOnceItsServerGoesOn) {
  leave(1, lsn_in(6), 2, id_of(2));
  EXPECT_TRUE(is_left(1));
  EXPECT_FALSE(is_left(2));
  EXPECT_FALSE(is_left(3));
}

TEST_F(LeftTimelinesTest, ATimelineThatGoesOnElsewhereIsNotTheOne) {
  leave(1, lsn_in(8), 2, id_of(2));  // it was left for something behind that
  leave(1, lsn_in(6), 4, id_of(2));  // whose timeline would be a newer one
  leave(1, lsn_in(6), 2, id_of(3));  // by another data directory
  EXPECT_FALSE(is_left(1));
  leave(1, lsn_in(7, 0), 2);  // the next segment begins where the record ended
  EXPECT_TRUE(is_left(1));
}

TEST_F(LeftTimelinesTest, NothingIsLeftForATimelineThatWasAbandoned) {
  leave(1, lsn_in(6), 2, id_of(2));
  abandon(2);
  EXPECT_FALSE(is_left(1));
  abandon(3);
  EXPECT_EQ(latest(), 1u);
}

TEST_F(LeftTimelinesTest, ADeadEndHasNothingLivingBehindIt) {
  const auto is_dead_end = [&](std::uint32_t timeline) {
    return LeftTimelines(archive_).is_dead_end({timeline});
  };
  abandon(2);
  EXPECT_FALSE(is_dead_end(2));
  EXPECT_FALSE(is_dead_end(3));
  abandon(3);
  EXPECT_TRUE(is_dead_end(2));
  EXPECT_TRUE(is_dead_end(3));
  EXPECT_FALSE(is_dead_end(1));
}

TEST_F(LeftTimelinesTest, OnlyNewerOnesThatNobodyLeftAreFollowedInsteadOfTheServers) {
  EXPECT_EQ(newer_timelines(archive_, {3}), std::vector<TimelineId>{});
  EXPECT_EQ(newer_timelines(archive_, {1}), (std::vector<TimelineId>{{2}, {3}}));
  abandon(3);
  EXPECT_EQ(newer_timelines(archive_, {1}), std::vector<TimelineId>{{2}});
}

TEST_F(LeftTimelinesTest, ARestoreLeavesWhatItDoesNotGoOnWith) {
  RecoveryTarget target;
  target.kind = TargetKind::latest;
  const auto proved = plan_recovery({archive_, backups_}, {.target = target, .timeline = "2"});
  const ProvedPlan plan{.plan = proved, .stop = {}, .chain = {}};
  auto stopped = plan;
  stopped.stop.lsn = lsn_in(7);
  const auto left = timelines_left_by(archive_, stopped, id_of(9), minute_of(20));
  // Two's at the stop, and three's where both are one for the last time.
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].timeline.timeline, TimelineId{2});
  EXPECT_EQ(left[0].at, lsn_in(7));
  EXPECT_EQ(left[1].timeline.timeline, TimelineId{3});
  EXPECT_EQ(left[1].at, lsn_in(5));
  for (const auto& each : left) {
    EXPECT_EQ(each.for_timeline, TimelineId{4});
    EXPECT_EQ(each.archiver, id_of(9));
    EXPECT_EQ(each.when, minute_of(20));
  }
}

// What is only looked at refuses nothing: each costs its own timeline.
TEST_F(LeftTimelinesTest, ADamagedHistoryFileCostsItsOwnTimeline) {
  leave(1, lsn_in(8), 2, id_of(2));  // fulfilled by none of the two
  damage_object(made_.storage, archive_.key_of("00000003.history"), last_frame_byte);
  const auto words = words_of_error([&] { (void)latest(); });
  EXPECT_NE(words.find("the history file of timeline 3 is damaged"), std::string::npos) << words;
  EXPECT_NE(words.find("timeline abandon 3"), std::string::npos) << words;
  EXPECT_FALSE(is_left(1));

  const auto windows_of = [&](std::uint32_t timeline) {
    return std::ranges::count(recoverable_moments({archive_, backups_}).windows,
                              TimelineId{timeline},
                              [](const auto& window) { return window.timeline.timeline; });
  };
  EXPECT_EQ(windows_of(2), 1);
  EXPECT_EQ(windows_of(3), 0);
  const auto gaps = recoverable_moments({archive_, backups_}).gaps;
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].timeline.timeline, TimelineId{3});
  EXPECT_EQ(gaps[0].from, lsn_in(5, 0));
  EXPECT_EQ(gaps[0].to, lsn_in(7, 0));
  EXPECT_FALSE(gaps[0].damage.empty());

  PlanRequest request;
  request.timeline = "2";
  const auto proved = plan_proved_recovery({archive_, backups_}, request);
  EXPECT_EQ(find_rivals(archive_, proved).size(), 0u);
  EXPECT_EQ(timelines_left_by(archive_, proved, id_of(9), minute_of(20)).size(), 2u);
  abandon(3);
  EXPECT_EQ(latest(), 2u);
  abandon(2);
  EXPECT_EQ(latest(), 1u);
  // What cannot be read stays with the branch that it was archived beside.
  EXPECT_EQ(archive_.set_aside({1}, minute_of(20)).branch, 1u);
  const WalArchive now(made_.repository, test_cluster());
  EXPECT_EQ(now.view_of({.timeline = {3}, .branch = 0}).branch_of({1}), 0u);
}

TEST_F(LeftTimelinesTest, ARecordWithUnknownFactsIsDamage) {
  LeftTimeline left;
  left.archiver = id_of(3);
  left.backup = "20261121T104100Z-0001";
  left.reason = "restored";
  EXPECT_EQ(decode_left_timeline(encode_left_timeline(left)), left);
  left = {};
  auto encoded = encode_left_timeline(left);
  encoded[20] = 8;
  EXPECT_EQ(error_of([&] { (void)decode_left_timeline(encoded); }), "corrupt");
  const auto cut = ByteView(encoded).first(encoded.size() - 1);
  EXPECT_EQ(error_of([&] { (void)decode_left_timeline(cut); }), "corrupt");
}

}  // namespace
}  // namespace walvault
