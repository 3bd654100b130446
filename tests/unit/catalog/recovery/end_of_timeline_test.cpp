// Plans whose stop lies on another timeline than was asked for: of the newer one nothing is
// archived, or it had not begun yet.
#include <gtest/gtest.h>

#include <algorithm>

#include "catalog/recovery/rival_timeline.h"
#include "catalog/recovery/whole_restore.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/errors.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using std::chrono::seconds;

// Timeline 1 from segment 3 on; timeline 2 left it in segment 3, between two commits.
class EndOfTimelineTest : public testing::Test {
 protected:
  EndOfTimelineTest() {
    wal_.add_filler(300);
    before_ = wal_.add_commit(3800, minute_of(10));
    switch_ = {wal_.position()};
    behind_ = wal_.add_commit(3801, minute_of(12));
    wal_.add_switch();
    archive(1, 3, wal_.segment(0), minute_of(13));
  }

  void archive(std::uint32_t timeline, std::uint64_t number, ByteView content, Timestamp modified) {
    const SegmentName name{.timeline = {timeline}, .number = number};
    WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry),
                             {timeline});
    summarizer.read(content);
    archive_file(archive_, name.text(test_geometry), content, modified, {},
                 encode_wal_summary({.summary = summarizer.finish(), .origin = {}}));
  }
  // Behind the change nothing but what is no transaction.
  void be_quiet_behind_the_change() {
    made_.storage.remove({archive_.key_of("000000010000000000000003")});
    WalBuilder quiet(3);
    quiet.add_filler(300);
    (void)quiet.add_commit(3800, minute_of(10));
    ASSERT_EQ(quiet.position(), switch_.value);
    quiet.add_filler(200);
    quiet.add_switch();
    archive(1, 3, quiet.segment(0), minute_of(13));
  }
  void archive_history_of(Timestamp modified) {
    archive_history(archive_, 2, {{.timeline = {1}, .end = switch_}}, modified);
  }

  [[nodiscard]] ProvedPlan plan(const PlanRequest& request = {}) const {
    return plan_proved_recovery({archive_, backups_}, request);
  }
  [[nodiscard]] static PlanRequest to_time(Timestamp time) {
    PlanRequest request;
    request.target.kind = TargetKind::time;
    request.target.time = time;
    request.target.asked = to_rfc3339(time);
    return request;
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  WalBuilder wal_{3};
  Lsn before_;
  Lsn switch_;
  Lsn behind_;
  std::vector<BackupInfo> backups_{backup_of("a", 1, 3, 3)};
};

TEST_F(EndOfTimelineTest, WithoutAnythingOfItsOwnIsWhereItBegan) {
  archive_history_of(minute_of(14));
  const auto proved = plan();
  EXPECT_EQ(proved.plan.timeline, TimelineId{1});
  EXPECT_EQ(proved.asked_for, TimelineId{2});
  EXPECT_EQ(proved.stop.lsn, before_);
  EXPECT_TRUE(proved.stop.inclusive);
  EXPECT_EQ(why_no_whole_restore({archive_, backups_}), std::nullopt);
  // The former timeline has more.
  PlanRequest former;
  former.timeline = "1";
  EXPECT_EQ(plan(former).stop.lsn, std::nullopt);
  // And nothing of that is on the newer one.
  PlanRequest transaction;
  transaction.timeline = "2";
  transaction.target.kind = TargetKind::xid;
  transaction.target.xid = 3801;
  EXPECT_EQ(error_of([&] { (void)plan(transaction); }), "unreachable_target");
  transaction.target.xid = 3800;
  EXPECT_EQ(plan(transaction).stop.lsn, before_);
}

TEST_F(EndOfTimelineTest, MayBeTheEndOfTheBackup) {
  archive_history_of(minute_of(14));
  backups_.front().stop = switch_;
  EXPECT_EQ(plan().stop.lsn, before_);
  EXPECT_EQ(plan().asked_for, TimelineId{2});
}

TEST_F(EndOfTimelineTest, AtTheEndOfTheBackupOrTwiceIsAskedAsWell) {
  archive_history_of(minute_of(11));
  backups_.front().stop = switch_;
  EXPECT_TRUE(why_no_whole_restore({archive_, backups_}));
  backups_.front().stop = before_;
  archive_history(archive_, 3,
                  {{.timeline = {1}, .end = switch_}, {.timeline = {2}, .end = lsn_in(9)}},
                  minute_of(11));
  EXPECT_EQ(plan().asked_for, TimelineId{3});
  EXPECT_TRUE(why_no_whole_restore({archive_, backups_}));
}

TEST_F(EndOfTimelineTest, WhatTheFormerOneWroteWithoutAnyTransactionIsNoRival) {
  archive_history_of(minute_of(11));
  be_quiet_behind_the_change();
  EXPECT_EQ(why_no_whole_restore({archive_, backups_}), std::nullopt);
}

// By a clock that was ahead: what lies before the change is of both.
TEST_F(EndOfTimelineTest, WhatBothHaveIsNoRival) {
  archive_history_of(minute_of(9));
  be_quiet_behind_the_change();
  EXPECT_EQ(why_no_whole_restore({archive_, backups_}), std::nullopt);
}

// The change is the border of two segments, and the former timeline goes on behind it.
TEST_F(EndOfTimelineTest, AtABorderIsNotPassed) {
  switch_ = lsn_in(4, 0);
  archive_history_of(minute_of(14));
  archive(1, 4, chained_segment(1, 4), minute_of(13));
  const auto proved = plan();
  ASSERT_TRUE(proved.stop.lsn);
  EXPECT_GT(*proved.stop.lsn, behind_);
  EXPECT_LT(*proved.stop.lsn, switch_);
  EXPECT_EQ(proved.plan.timeline, TimelineId{1});
}

TEST_F(EndOfTimelineTest, WhereTheFormerOneGrowsAllTheSameIsAsked) {
  archive_history_of(minute_of(11));
  const auto refusal = why_no_whole_restore({archive_, backups_});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->kind(), ErrorKind::unreachable_target);
  EXPECT_NE(refusal->detail().find("Of timeline 2 itself nothing is archived"), std::string::npos)
      << refusal->detail();
}

TEST_F(EndOfTimelineTest, OfAMomentBeforeTheNewerOneBeganTheFormerMayHaveMore) {
  archive_history_of(minute_of(14));
  const auto proved = plan(to_time(minute_of(13)));
  EXPECT_EQ(proved.stop.lsn, before_);
  EXPECT_EQ(proved.then_on, TimelineId{1});
  EXPECT_EQ(plan(to_time(minute_of(11))).then_on, TimelineId{});
  auto named = to_time(minute_of(13));
  named.timeline = "1";
  EXPECT_GE(*plan(named).stop.lsn, behind_);
  EXPECT_EQ(plan(named).then_on, TimelineId{});
}

// Whatever of the former one is damaged.
TEST_F(EndOfTimelineTest, ADamagedRivalIsPassedOver) {
  archive_history_of(minute_of(11));
  ASSERT_TRUE(why_no_whole_restore({archive_, backups_}));
  archive(1, 4, chained_segment(1, 4), minute_of(13));
  const auto key = archive_.key_of("000000010000000000000004");
  damage_object(made_.storage, key, made_.storage.find_size(key).value() - 20);
  const auto refusal = why_no_whole_restore({archive_, backups_});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->kind(), ErrorKind::unreachable_target) << refusal->message();
}

TEST_F(EndOfTimelineTest, ARivalIsOneWithoutItsHistoryFile) {
  // Two timelines left the first one at the same place, and the older of them goes on.
  archive_history_of(minute_of(11));
  archive(2, 3, wal_.segment(0), minute_of(13));
  archive_history(archive_, 3, {{.timeline = {1}, .end = switch_}}, minute_of(11));
  const auto is_seen = [&] {
    return std::ranges::count(find_rivals(archive_, plan()), TimelineId{2},
                              &RivalTimeline::timeline) == 1;
  };
  EXPECT_TRUE(is_seen());
  damage_object(made_.storage, archive_.key_of("00000002.history"), last_frame_byte);
  EXPECT_TRUE(is_seen());
  made_.storage.remove({archive_.key_of("00000002.history")});
  EXPECT_TRUE(is_seen());
  // The newest one's own history names it.
  archive_history(archive_, 4,
                  {{.timeline = {1}, .end = switch_}, {.timeline = {2}, .end = behind_}},
                  minute_of(11));
  EXPECT_TRUE(is_seen());
}

TEST_F(EndOfTimelineTest, AMomentAfterItBeganIsNotLookedForOnTheFormer) {
  archive_history_of(minute_of(11) + seconds(30));
  EXPECT_EQ(error_of([&] { (void)plan(to_time(minute_of(12))); }), "unreachable_target");
}

}  // namespace
}  // namespace walvault
