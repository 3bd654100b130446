#include "catalog/recovery/target_resolution.h"

#include <gtest/gtest.h>

#include "unit/catalog/recovery/resolution_fixture.h"

namespace walvault {
namespace {

using std::chrono::seconds;

TEST_F(TargetResolutionTest, ATimeIsTheFirstEndOfATransactionPastIt) {
  wal_.add_filler(300);
  std::vector<Lsn> commits;
  for (std::uint64_t segment = 3; segment < 7; ++segment) {
    commits.push_back(wal_.add_commit(700 + static_cast<std::uint32_t>(segment),
                                      minute_of(segment) + seconds(10)));
    commits.push_back(wal_.add_end(800 + static_cast<std::uint32_t>(segment),
                                   minute_of(segment) + seconds(20),
                                   {.end = TransactionEnd::abort}));
    wal_.fill(segment);
    wal_.add_filler(5000);
  }
  archive();
  for (std::uint64_t segment = 3; segment < 6; ++segment) {
    const auto index = (segment - 3) * 2;
    const auto first = stop(to_time(minute_of(segment) + seconds(10)));
    expect_stop(first, commits[index + 1], false);
    EXPECT_TRUE(first.time_proved);
    EXPECT_EQ(first.transaction->end, TransactionEnd::abort);
    EXPECT_EQ(first.transaction->xid, 800 + segment);
    expect_stop(stop(to_time(minute_of(segment) + seconds(10), false)), commits[index], false);
    expect_stop(stop(to_time(minute_of(segment) + seconds(30))), commits[index + 2], false);
  }
}

TEST_F(TargetResolutionTest, TimesThatRunBackwardsAreTakenInTheOrderOfTheWal) {
  wal_.add_filler(300);
  wal_.add_commit(700, at(200));
  const auto late = wal_.add_commit(701, at(260));
  wal_.add_commit(702, at(210));
  const auto later = wal_.add_commit(703, at(270));
  fill_segments(3, 5);
  archive();
  expect_stop(stop(to_time(at(215))), late, false);
  expect_stop(stop(to_time(at(265))), later, false);
}

TEST_F(TargetResolutionTest, AMomentAfterTheLastTransactionIsNotProved) {
  wal_.add_filler(300);
  wal_.add_commit(700, at(181));
  wal_.fill(3);
  wal_.add_filler(5000);
  wal_.add_restore_point("end", at(230));
  const Lsn last{wal_.position()};
  archive();
  const auto found = stop(to_time(at(235)));
  expect_stop(found, last, true);
  EXPECT_FALSE(found.time_proved);
  EXPECT_FALSE(found.transaction);
  // Behind what the file's time tells there is nothing.
  EXPECT_EQ(refusal(to_time(at(400))), "unreachable_target");
}

TEST_F(TargetResolutionTest, WhatLiesBeforeAGapIsReachedAndWhatLiesBehindIsNot) {
  wal_.add_filler(300);
  const auto before = wal_.add_commit(3700, at(181));
  const auto second = wal_.add_commit(3701, at(190));
  const auto point = wal_.add_restore_point("before", at(191));
  fill_segments(3, 5);
  wal_.add_commit(3900, at(400));
  wal_.add_restore_point("behind", at(401));
  archive();
  archive_.repository().storage().remove({archive_.key_of("000000010000000000000005")});
  expect_stop(stop(to_time(at(185))), second, false);
  expect_stop(stop(to_xid(3700)), before, true);
  expect_stop(stop(to_name("before")), point, true);
  EXPECT_EQ(refusal(to_time(at(195))), "unreachable_target");
  EXPECT_EQ(refusal(to_time(at(500))), "unreachable_target");
  EXPECT_EQ(refusal(to_xid(3900)), "unreachable_target");
  EXPECT_EQ(refusal(to_name("behind")), "unreachable_target");
  EXPECT_NE(words(to_xid(3900)).find("000000010000000000000005 is missing"), std::string::npos)
      << words(to_xid(3900));
}

TEST_F(TargetResolutionTest, TheMomentJustBeforeOneBehindTheFrontierIsReached) {
  wal_.add_filler(300);
  const auto last = wal_.add_commit(700, at(90'000));  // later than its file says
  archive();
  const auto behind = at(90'000) + std::chrono::microseconds(1);
  EXPECT_EQ(refusal(to_time(behind)), "unreachable_target");
  EXPECT_EQ(refusal(to_time(behind, false)), "nothing");
  EXPECT_GE(stop(to_time(behind, false)).lsn, last);
  EXPECT_EQ(refusal(to_time(behind + std::chrono::microseconds(1), false)), "unreachable_target");
}

TEST_F(TargetResolutionTest, ATransactionIsFoundByAnyOfItsIds) {
  wal_.add_filler(300);
  wal_.add_commit(2'000, at(181));
  const auto with_subs = wal_.add_end(4'000, at(190), {.subtransactions = {3'990, 4'005}});
  wal_.fill(3);
  wal_.add_filler(5000);
  const auto prepared = wal_.add_end(0, at(200), {.prepared_xid = 3'995});
  wal_.fill(4);
  archive();
  expect_stop(stop(to_xid(4'000)), with_subs, true);
  expect_stop(stop(to_xid(4'005)), with_subs, true);
  expect_stop(stop(to_xid((1ULL << 32) + 3'990, false)), with_subs, false);
  expect_stop(stop(to_xid(3'995)), prepared, true);
  EXPECT_EQ(refusal(to_xid(3'996)), "unreachable_target");
  EXPECT_EQ(refusal(to_xid(9'999)), "unreachable_target");
}

TEST_F(TargetResolutionTest, ABackupWithAFaultIsPassedOverWhereAnotherWillDo) {
  fill_segments(3, 6);
  archive();
  backups_.push_back(backup_of("later", 1, 5, 5));
  std::map<std::string, BackupFault> known{{"later", {.why = "marked", .is_lost = false}}};
  std::vector<std::string> said;
  const FaultCheck faults{
      .of = [&](const BackupInfo& backup) { return known[backup.id]; },
      .passed_over = [&](const BackupInfo& backup,
                         const BackupFault&) { said.push_back("not " + backup.id); },
      .tried_all_the_same = [&](const BackupInfo& backup,
                                const BackupFault&) { said.push_back("yet " + backup.id); }};
  const auto chosen = [&] {
    said.clear();
    return plan_proved_recovery({archive_, backups_}, {}, faults).plan.backup.id;
  };
  EXPECT_EQ(chosen(), "a");
  EXPECT_EQ(said, (std::vector<std::string>{"not later"}));
  // Of two that are doubtful the newest, of one that is lost and one that is not the latter.
  known["a"] = {.why = "marked", .is_lost = false};
  EXPECT_EQ(chosen(), "later");
  EXPECT_EQ(said, (std::vector<std::string>{"not later", "not a", "yet later"}));
  known["later"].is_lost = true;
  EXPECT_EQ(chosen(), "a");
  known["a"].is_lost = true;
  EXPECT_EQ(error_of([&] { (void)chosen(); }), "corrupt");
  // One that is asked for by name is the asker's affair.
  EXPECT_EQ(
      plan_proved_recovery({archive_, backups_}, {.backup_id = "later"}, faults).plan.backup.id,
      "later");
}

TEST_F(TargetResolutionTest, APositionNeedsARecordAtOrBehindIt) {
  wal_.add_filler(300);
  const auto commit = wal_.add_commit(700, at(185));
  wal_.fill(3);
  wal_.add_filler(5000);
  const Lsn last{wal_.position()};
  archive();
  expect_stop(stop(to_lsn(commit)), commit, true);
  expect_stop(stop(to_lsn(last)), last, true);
  EXPECT_EQ(refusal(to_lsn({last.value + 1})), "unreachable_target");
  EXPECT_NE(words(to_lsn({last.value + 1})).find("--to-lsn " + last.text()), std::string::npos);
}

// Wherever in the record the border lies.
TEST_F(TargetResolutionTest, ARecordThatCrossesIntoTheNextSegmentIsFound) {
  for (const std::size_t before : {8u, 16u, 24u, 32u, 40u}) {
    MemoryRepository made;
    const WalArchive archive(made.repository, test_cluster());
    wal_ = WalBuilder(first_segment);
    wal_.add_filler(300);
    wal_.add_commit(700, at(181));
    wal_.fill_exactly(3, before);
    const auto commit = wal_.add_end(701, at(190), {.subtransactions = {702, 703}});
    wal_.fill_exactly(4, before);
    const auto point = wal_.add_restore_point("crossing", at(195));
    wal_.add_commit(704, at(200));
    wal_.add_switch();
    for (std::size_t i = 0; i < segments(); ++i) {
      const SegmentName name{.timeline = {1}, .number = first_segment + i};
      const auto content = wal_.segment(i);
      WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry), {1});
      summarizer.read(content);
      archive_file(archive, name.text(test_geometry), content, minute_of(name.number), {},
                   encode_wal_summary({summarizer.finish()}));
    }
    const auto stop_of = [&](const RecoveryTarget& target) {
      return plan_proved_recovery({archive, backups_}, {.target = target}).stop;
    };
    expect_stop(stop_of(to_time(at(185))), commit, false);
    expect_stop(stop_of(to_xid(4'294'967'296u + 703)), commit, true);
    expect_stop(stop_of(to_name("crossing")), point, true);
  }
}

TEST_F(TargetResolutionTest, ARecordOfThreeSegmentsIsFound) {
  wal_.add_filler(300);
  wal_.add_commit(3'700, at(181));
  wal_.fill_exactly(3, 8);
  WalBuilder::TransactionSpec spec;
  spec.subtransactions = std::vector<std::uint32_t>(400'000, 3'702);
  const auto commit = wal_.add_end(3'701, at(190), spec);
  wal_.add_commit(3'703, at(200));
  archive();
  expect_stop(stop(to_time(at(185))), commit, false);
  expect_stop(stop(to_xid(3'701)), commit, true);
  expect_stop(stop(to_xid(3'702)), commit, true);
}

TEST_F(TargetResolutionTest, ASwitchThatUsesUpTheNextSegmentIsPartOfTheChain) {
  wal_.add_filler(300);
  wal_.fill_exactly(3, 8);
  wal_.add_switch();
  const auto commit = wal_.add_commit(3'700, at(190));
  archive();
  expect_stop(stop(to_xid(3'700)), commit, true);
  EXPECT_TRUE(plan(to(TargetKind::latest)).chain.broken.empty());
}

TEST_F(TargetResolutionTest, ABackupWhoseWalEndsTooEarlyIsRefused) {
  wal_.add_filler(300);
  wal_.add_commit(700, at(181));
  archive_segment(0, wal_.segment(0));
  backups_[0].stop = lsn_in(3, 0x80000);
  for (const auto kind : {TargetKind::latest, TargetKind::immediate}) {
    EXPECT_EQ(refusal(to(kind)), "unreachable_target");
  }
}

TEST_F(TargetResolutionTest, DamageOnTheWayIsRefusedAndWhatComesBeforeIsNot) {
  wal_.add_filler(300);
  const auto commit = wal_.add_commit(700, at(185));
  wal_.add_commit(701, at(190));
  fill_segments(3, 5);
  wal_.add_commit(3'702, at(300));
  wal_.add_commit(3'703, at(310));
  wal_.add_switch();
  for (std::size_t i = 0; i < segments(); ++i) {
    auto content = wal_.segment(i);
    if (i == 1) content[500'000] ^= 1;
    archive_segment(i, content);
  }
  expect_stop(stop(to_time(at(184))), commit, false);
  expect_stop(stop(to_lsn(commit)), commit, true);
  for (const auto& target : {to(TargetKind::latest), to_time(at(305)), to_xid(3'702),
                             to_lsn({6 * test_segment_bytes + 1000})}) {
    EXPECT_EQ(refusal(target), "unreachable_target");
    EXPECT_NE(words(target).find("000000010000000000000004"), std::string::npos) << words(target);
  }
  EXPECT_FALSE(stop(to(TargetKind::immediate)).lsn);
}

// Whole in itself, but not of this history.
TEST_F(TargetResolutionTest, ASegmentOfAnotherServerBreaksTheChain) {
  wal_.add_filler(300);
  wal_.add_commit(700, at(185));
  fill_segments(3, 5);
  wal_.add_switch();
  WalBuilder other(4);
  other.add_filler(100);
  other.add_switch();
  for (std::size_t i = 0; i < segments(); ++i) {
    archive_segment(i, i == 1 ? other.segment(0) : wal_.segment(i));
  }
  EXPECT_EQ(refusal(to(TargetKind::latest)), "unreachable_target");
  EXPECT_NE(words(to(TargetKind::latest)).find("000000010000000000000004"), std::string::npos);
}

// What ends in a segment only the one before can prove.
TEST_F(TargetResolutionTest, ARecordWhosePartsDoNotFitBreaksTheChain) {
  wal_.add_filler(300);
  wal_.fill_exactly(3, 200);
  wal_.add_filler(1500);
  wal_.add_switch();
  archive_segment(0, wal_.segment(0));
  auto second = wal_.segment(1);
  second[100] ^= 1;
  archive_segment(1, second);
  EXPECT_NE(words(to(TargetKind::latest)).find("its checksum does not fit"), std::string::npos);
}

// Where so little of a record is in its first segment, only the next tells what it follows.
TEST_F(TargetResolutionTest, ARecordThatFollowsAnotherOneBreaksTheChain) {
  auto other = wal_;
  for (auto* const wal : {&wal_, &other}) wal->add_filler(300);
  wal_.fill_exactly(3, 200);
  std::swap(wal_, other);
  wal_.fill_exactly(3, 200);
  std::swap(wal_, other);
  // As long, but one record here and two there.
  wal_.add_filler(200 - 8 - 24 - 2);
  other.add_filler(100 - 24 - 6);
  other.add_filler(100 - 8 - 24 - 4);
  ASSERT_EQ(wal_.left_in_segment(), 8u);
  ASSERT_EQ(other.left_in_segment(), 8u);
  for (auto* const wal : {&wal_, &other}) {
    wal->add_filler(1000);
    wal->add_switch();
  }
  ASSERT_EQ(wal_.segment(0).size(), other.segment(0).size());
  archive_segment(0, wal_.segment(0));
  archive_segment(1, other.segment(1));
  EXPECT_NE(words(to(TargetKind::latest)).find("follows the one at"), std::string::npos)
      << words(to(TargetKind::latest));
}

TEST_F(TargetResolutionTest, ASegmentThatGivesUpAnotherRecordBreaksTheChain) {
  for (const bool is_right : {true, false}) {
    MemoryRepository made;
    const WalArchive archive(made.repository, test_cluster());
    wal_ = WalBuilder(first_segment);
    wal_.add_filler(300);
    wal_.fill_exactly(3, 200);
    const auto unfinished = wal_.add_unfinished(1500);
    wal_.add_overwrite(is_right ? unfinished : Lsn{unfinished.value - 8}, at(185));
    const auto commit = wal_.add_commit(3'700, at(190));
    wal_.add_switch();
    for (std::size_t i = 0; i < segments(); ++i) {
      const SegmentName name{.timeline = {1}, .number = first_segment + i};
      archive_file(archive, name.text(test_geometry), wal_.segment(i), minute_of(name.number), {},
                   {});
    }
    const auto planned = [&] {
      return plan_proved_recovery({archive, backups_}, {.target = to_xid(3'700)}).stop;
    };
    if (is_right) {
      expect_stop(planned(), commit, true);
    } else {
      const auto refused = words_of_error([&] { (void)planned(); });
      EXPECT_NE(refused.find("gives up another record"), std::string::npos) << refused;
    }
  }
}

TEST_F(TargetResolutionTest, SegmentsWithoutASummaryAreRead) {
  wal_.add_filler(300);
  wal_.add_commit(700, at(185));
  wal_.fill(3);
  wal_.add_filler(5000);
  const auto commit = wal_.add_commit(701, at(190));
  wal_.fill(4);
  archive(false);
  expect_stop(stop(to_time(at(187))), commit, false);
}

// By the clock it is past the backup's end, in the WAL it is not.
TEST_F(TargetResolutionTest, ACommitBeforeTheBackupsEndMeansAnEarlierBackup) {
  wal_.add_filler(300);
  wal_.fill(3);
  wal_.add_filler(5000);
  auto second = backup_of("b", 1, 4, 5);
  second.stop_time = at(250);
  const auto commit = wal_.add_commit(700, at(280));
  wal_.fill(4);
  wal_.add_filler(5000);
  wal_.fill(5);
  wal_.add_commit(701, at(270));
  archive();
  backups_.push_back(second);
  const auto found = plan(to_time(at(260)));
  EXPECT_EQ(found.plan.backup.id, "a");
  expect_stop(found.stop, commit, false);
  backups_.erase(backups_.begin());
  EXPECT_EQ(refusal(to_time(at(260))), "unreachable_target");
}

}  // namespace
}  // namespace walvault
