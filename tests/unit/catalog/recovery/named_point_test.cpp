// Restore points: where the one of a name is looked for, and from which backup it is reached.
#include "unit/catalog/recovery/resolution_fixture.h"

namespace walvault {
namespace {

using NamedPointTest = TargetResolutionTest;

// As expiry leaves it before a backup that is kept longer.
TEST_F(NamedPointTest, ANameIsLookedForBehindAHole) {
  fill_segments(3, 6);
  const auto point = wal_.add_restore_point("behind", at(401));
  archive();
  backups_.push_back(backup_of("later", 1, 6, 6));
  const auto whole = plan(to_name("behind"));
  EXPECT_EQ(whole.plan.backup.id, "later");
  archive_.repository().storage().remove({archive_.key_of("000000010000000000000005")});
  const auto proved = plan(to_name("behind"));
  EXPECT_EQ(proved.plan.backup.id, "later");
  expect_stop(proved.stop, point, true);
  EXPECT_EQ(refusal(to_name("nowhere")), "unreachable_target");
}

TEST_F(NamedPointTest, ARestorePointIsFoundUnlessItsNameIsUsedTwice) {
  wal_.add_filler(300);
  const auto point = wal_.add_restore_point("before the migration", at(185));
  wal_.add_restore_point("twice", at(186));
  wal_.fill(3);
  wal_.add_filler(5000);
  const auto second = wal_.add_restore_point("twice", at(200));
  wal_.fill(4);
  archive();
  expect_stop(stop(to_name("before the migration")), point, true);
  EXPECT_EQ(refusal(to_name("twice")), "usage");
  EXPECT_NE(words(to_name("twice")).find("--to-lsn " + second.text()), std::string::npos);
  EXPECT_EQ(refusal(to_name("never")), "unreachable_target");
  EXPECT_NE(words(to_name("never")).find("\"before the migration\""), std::string::npos);
}

// A summary lists so many and no more.
TEST_F(NamedPointTest, EveryRestorePointOfASegmentIsFound) {
  wal_.add_filler(300);
  wal_.add_restore_point("twice", at(185));
  std::vector<Lsn> points;
  for (std::size_t i = 0; i < 2 * wal_summary_list_max; ++i) {
    points.push_back(wal_.add_restore_point("point " + std::to_string(i), at(186)));
  }
  const auto second = wal_.add_restore_point("twice", at(187));
  ASSERT_EQ(second.value / test_segment_bytes, points.front().value / test_segment_bytes);
  wal_.fill(3);
  archive();
  expect_stop(stop(to_name("point 0")), points.front(), true);
  expect_stop(stop(to_name("point 400")), points.at(400), true);
  expect_stop(stop(to_name("point 511")), points.back(), true);
  EXPECT_EQ(refusal(to_name("twice")), "usage");
  EXPECT_NE(words(to_name("twice")).find("--to-lsn " + second.text()), std::string::npos);
}

TEST_F(NamedPointTest, ANameStartsFromTheNewestBackupBeforeIt) {
  wal_.add_filler(300);
  fill_segments(3, 5);
  const auto point = wal_.add_restore_point("here", at(350));
  wal_.fill(6);
  archive();
  backups_.push_back(backup_of("b", 1, 4, 5));
  const auto found = plan(to_name("here"));
  EXPECT_EQ(found.plan.backup.id, "b");
  EXPECT_EQ(found.plan.target.kind, TargetKind::name);
  expect_stop(found.stop, point, true);
}

// Behind WAL that no recovery goes past, whatever it is, later backups lead to the point.
TEST_F(NamedPointTest, ANameIsLookedForBehindDamage) {
  fill_segments(3, 6);
  const auto point = wal_.add_restore_point("behind", at(401));
  wal_.add_switch();
  for (std::size_t i = 0; i < segments(); ++i) {
    auto content = wal_.segment(i);
    if (i == 1) content[500'000] ^= 1;
    archive_segment(i, content);
  }
  EXPECT_EQ(refusal(to_name("behind")), "unreachable_target");
  backups_.push_back(backup_of("later", 1, 6, 6));
  const auto proved = plan(to_name("behind"));
  EXPECT_EQ(proved.plan.backup.id, "later");
  expect_stop(proved.stop, point, true);
  const auto nowhere = words(to_name("nowhere"));
  EXPECT_NE(nowhere.find("no restore point of that name"), std::string::npos) << nowhere;
  EXPECT_NE(nowhere.find("earlier backups on: the archived WAL is damaged"), std::string::npos)
      << nowhere;
}

TEST_F(NamedPointTest, ANameIsLookedForBehindMinimalWal) {
  wal_.fill(3);
  wal_.add_filler(5000);
  wal_.add_parameter_change(WalLevel::minimal);
  wal_.add_parameter_change(WalLevel::replica);
  fill_segments(4, 5);
  const auto point = wal_.add_restore_point("behind", at(301));
  archive();
  EXPECT_EQ(refusal(to_name("behind")), "unreachable_target");
  backups_.push_back(backup_of("in the same segment", 1, 4, 4));
  backups_.push_back(backup_of("later", 1, 5, 5));
  const auto proved = plan(to_name("behind"));
  EXPECT_EQ(proved.plan.backup.id, "later");
  expect_stop(proved.stop, point, true);
}

// As where the first backup's own WAL was lost.
TEST_F(NamedPointTest, ABackupThatIsNeverConsistentIsPassedOver) {
  fill_segments(3, 6);
  const auto point = wal_.add_restore_point("behind", at(401));
  archive();
  backups_ = {backup_of("a", 1, 3, 4), backup_of("later", 1, 6, 6)};
  archive_.repository().storage().remove({archive_.key_of("000000010000000000000004")});
  const auto proved = plan(to_name("behind"));
  EXPECT_EQ(proved.plan.backup.id, "later");
  expect_stop(proved.stop, point, true);
}

TEST_F(NamedPointTest, ANameOnBothSidesOfAHoleIsAskedFor) {
  wal_.add_filler(300);
  const auto first = wal_.add_restore_point("nightly", at(185));
  fill_segments(3, 6);
  const auto second = wal_.add_restore_point("nightly", at(401));
  archive();
  backups_.push_back(backup_of("later", 1, 6, 6));
  archive_.repository().storage().remove({archive_.key_of("000000010000000000000005")});
  EXPECT_EQ(refusal(to_name("nightly")), "usage");
  const auto both = words(to_name("nightly"));
  EXPECT_NE(both.find(first.text() + ", " + second.text()), std::string::npos) << both;
  expect_stop(stop(to_lsn(first)), first, true);
  expect_stop(stop(to_lsn(second)), second, true);
}

}  // namespace
}  // namespace walvault
