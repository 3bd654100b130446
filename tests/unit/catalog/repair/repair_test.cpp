// Mending a repository from what it holds, and from another one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_list.h"
#include "repository/gc.h"
#include "repository/root_copy.h"
#include "support/errors.h"
#include "support/repair_fixture.h"

namespace walvault {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST_F(RepairTest, HasNothingToDoWhereNothingIsWrong) {
  copy_to_other();
  const auto before = objects_of(made_.storage);
  const auto report = repair(true);
  EXPECT_THAT(report.mended, IsEmpty());
  EXPECT_TRUE(report.is_whole());
  EXPECT_TRUE(repair_from(nullptr).is_whole());
}

TEST_F(RepairTest, MakesARegistrationAgainOfWhatItsBackupsSay) {
  const auto before = get_cluster(made_.repository, "main");
  made_.storage.remove({"clusters/main/1"});
  EXPECT_THAT(mended_in(repair_from(nullptr, true)), Contains("clusters/main/1"));
  EXPECT_FALSE(made_.storage.find_size("clusters/main/1")) << "a dry run writes nothing";
  EXPECT_TRUE(repair_from(nullptr).is_whole());
  const auto after = get_cluster(made_.repository, "main");
  EXPECT_TRUE(is_same_cluster(after, before));
  EXPECT_EQ(list_backups(made_.repository, "main").backups.size(), 2u);
}

TEST_F(RepairTest, MakesARegistrationAgainOfWhatItsWalSays) {
  const auto before = get_cluster(made_.repository, "main");
  delete_backup(made_.repository, "main", "a", {});
  delete_backup(made_.repository, "main", "b", {});
  flip("clusters/main/1", 45);
  EXPECT_TRUE(repair_from(nullptr).is_whole());
  EXPECT_TRUE(is_same_cluster(get_cluster(made_.repository, "main"), before));
}

TEST_F(RepairTest, TakesNoRegistrationThatContradictsWhatIsHere) {
  auto foreign = test_cluster();
  foreign.system_identifier = 99;
  (void)add_cluster(other_.repository, foreign);
  made_.storage.remove({"clusters/main/1"});
  (void)repair();
  EXPECT_EQ(get_cluster(made_.repository, "main").system_identifier,
            test_cluster().system_identifier);
}

TEST_F(RepairTest, BringsALostRootBackFromItsCopyButNotOneThatWasDeleted) {
  const auto key = backup_root_key("main", "b");
  made_.storage.remove({key});
  delete_backup(made_.repository, "main", "a", {});
  EXPECT_FALSE(look().is_whole());
  const auto report = repair_from(nullptr);
  EXPECT_TRUE(report.is_whole());
  EXPECT_THAT(mended_in(report), UnorderedElementsAre(key));
  EXPECT_TRUE(content_of("b") == random_bytes(3000, 2));
  EXPECT_FALSE(made_.storage.find_size(backup_root_key("main", "a")));
  EXPECT_FALSE(made_.storage.find_size(root_copy_key(backup_root_key("main", "a"))));
  EXPECT_THAT(mended_in(repair_from(nullptr)), IsEmpty());
}

TEST_F(RepairTest, TakesARootFromAnotherRepositoryWhereItsCopyIsDamagedToo) {
  copy_to_other();
  const auto key = backup_root_key("main", "b");
  flip(key, 100);
  flip(root_copy_key(key), 100);
  const auto alone = repair_from(nullptr);
  EXPECT_THAT(unmended_in(alone), UnorderedElementsAre(key, root_copy_key(key)));
  EXPECT_TRUE(made_.storage.find_size(root_copy_key(key))) << "it tells that there was a backup";
  EXPECT_TRUE(repair().is_whole());
  EXPECT_TRUE(content_of("b") == random_bytes(3000, 2));
  EXPECT_TRUE(find_root_copy(made_.repository, key));
}

TEST_F(RepairTest, NeverForgetsALostRootWhoseCopyIsDamaged) {
  const auto key = backup_root_key("main", "b");
  made_.storage.remove({key});
  flip(root_copy_key(key), 100);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(unmended_in(repair_from(nullptr)), Contains(key));
    EXPECT_FALSE(look().is_whole());
  }
}

TEST_F(RepairTest, GcKeepsWhatALostRootNeeds) {
  const auto key = backup_root_key("main", "b");
  made_.storage.remove({key});
  const auto collect = [&] {
    (void)collect_garbage(made_.repository, made_.clock, next_run(), {.grace = {}});
  };
  collect();
  EXPECT_TRUE(repair_from(nullptr).is_whole());
  EXPECT_TRUE(content_of("b") == random_bytes(3000, 2));
  // Nor does it guess what a damaged copy says.
  made_.storage.remove({key});
  flip(root_copy_key(key), 100);
  EXPECT_EQ(error_of(collect), "corrupt");
  delete_backup(made_.repository, "main", "b", {});
  collect();
}

// Nothing is stored under it that would tell.
TEST_F(RepairTest, TakesNoRegistrationOfAnotherServerWithoutContent) {
  remove_cluster(made_.repository, "main", {});
  flip("clusters/main/2", 50);
  auto foreign = test_cluster();
  (void)add_cluster(other_.repository, foreign);
  foreign.system_identifier = 99;
  (void)upgrade_cluster(other_.repository, foreign);
  EXPECT_TRUE(repair().is_whole()) << "both have the first one";
  flip("clusters/main/2", 50);
  foreign.system_identifier = 98;
  other_.storage.remove({"clusters/main/1", "clusters/main/2"});
  (void)add_cluster(other_.repository, foreign);
  foreign.system_identifier = 99;
  (void)upgrade_cluster(other_.repository, foreign);
  EXPECT_THAT(unmended_in(repair()), Contains("clusters/main/2"));
}

TEST_F(RepairTest, MakesTheCopiesOfRootsThatAnOlderVersionPut) {
  const auto key = root_copy_key(backup_root_key("main", "a"));
  made_.storage.remove({key});
  EXPECT_TRUE(look().is_whole());
  EXPECT_THAT(mended_in(repair_from(nullptr)), UnorderedElementsAre(key));
}

TEST_F(RepairTest, TakesWalOfAnIdentityThatHasAnotherNumberThere) {
  // There it was registered, removed, and registered again.
  auto identity = test_cluster();
  (void)add_cluster(other_.repository, identity);
  remove_cluster(other_.repository, "main", {});
  (void)add_cluster(other_.repository, identity);
  const auto there = get_cluster(other_.repository, "main");
  ASSERT_NE(there.number, 1u);
  archive_segments(WalArchive(other_.repository, there), 1, 1, 6);
  const auto damaged =
      archive_.key_of(SegmentName{.timeline = {1}, .number = 3}.text(test_geometry));
  const auto missing =
      archive_.key_of(SegmentName{.timeline = {1}, .number = 5}.text(test_geometry));
  flip(damaged, made_.storage.find_size(damaged).value() - 5);
  made_.storage.remove({missing});
  EXPECT_TRUE(repair().is_whole());
  EXPECT_TRUE(look().is_whole());
}

TEST_F(RepairTest, TakesNoWalOfOtherContent) {
  auto identity = test_cluster();
  (void)add_cluster(other_.repository, identity);
  const WalArchive there(other_.repository, identity);
  const auto name = SegmentName{.timeline = {1}, .number = 3}.text(test_geometry);
  archive_file(there, name, wal_segment({.number = 3, .content_bytes = 5000}));
  flip(archive_.key_of(name), made_.storage.find_size(archive_.key_of(name)).value() - 5);
  const auto report = repair();
  ASSERT_THAT(unmended_in(report), Contains(archive_.key_of(name)));
  EXPECT_FALSE(look().is_whole());
}

TEST_F(RepairTest, FillsNoGapThatWasAccepted) {
  copy_to_other();
  const auto key = archive_.key_of(SegmentName{.timeline = {1}, .number = 6}.text(test_geometry));
  archive_segments(archive_, 1, 8, 8);
  put_accepted_gap(made_.repository, test_cluster(),
                   {.timeline = {.timeline = {1}},
                    .from = lsn_in(7, 0),
                    .to = lsn_in(8, 0),
                    .reason = expired_reason,
                    .when = minute_of(2)});
  archive_segments(WalArchive(other_.repository, test_cluster()), 1, 7, 8);
  (void)repair();
  EXPECT_TRUE(made_.storage.find_size(key));
  EXPECT_FALSE(made_.storage.find_size(
      archive_.key_of(SegmentName{.timeline = {1}, .number = 7}.text(test_geometry))));
}

TEST_F(RepairTest, BringsTheNewestWalOfABranch) {
  copy_to_other();
  const auto key = archive_.key_of(SegmentName{.timeline = {1}, .number = 6}.text(test_geometry));
  made_.storage.remove({key});
  EXPECT_THAT(mended_in(repair()), UnorderedElementsAre(key));
}

// The format object is needed before anything else can be looked at.
TEST_F(RepairTest, MakesTheFormatObjectAgain) {
  CountingRandomness randomness;
  (void)randomness.id();  // the one that it has
  const auto mend = [&](const std::optional<std::string>& id, bool dry_run = false) {
    return repair_format(made_.storage, id, made_.clock, randomness, dry_run);
  };
  EXPECT_THAT(mend({}), IsEmpty());
  const auto id = made_.repository.id();
  made_.storage.remove(keys_under(made_.storage, "format/"));
  (void)expect_error(ErrorKind::corrupt, [&] { (void)Repository::open(made_.storage); });
  EXPECT_EQ(mend(id, true).size(), 1u);
  EXPECT_FALSE(made_.storage.find_size("format/1"));
  const auto known = mend(id);
  ASSERT_EQ(known.size(), 1u);
  EXPECT_FALSE(known.front().is_new);
  EXPECT_EQ(Repository::open(made_.storage).id(), id);
  flip("format/1", 50);
  EXPECT_TRUE(mend({}).at(0).is_new);
  EXPECT_NE(Repository::open(made_.storage).id(), id) << "nobody knew it";
  made_.storage.remove({"format/1"});
  (void)expect_error(ErrorKind::usage, [&] { (void)mend("no id"); });
  // An older one tells it.
  ASSERT_EQ(mend(id).size(), 1u);
  auto newer = made_.storage.find("format/1", whole_object).value();
  newer.back() ^= 1;
  (void)made_.storage.put_if_absent("format/2", newer);
  EXPECT_EQ(mend(std::string(32, 'a')).at(0).id, id);
  flip("format/1", 50);
  EXPECT_EQ(mend({}).at(0).key, "format/1");
  EXPECT_EQ(Repository::open(made_.storage).id(), id);
  MemoryStorage nothing;
  (void)expect_error(ErrorKind::not_found,
                     [&] { (void)repair_format(nothing, id, made_.clock, randomness, false); });
}

}  // namespace
}  // namespace walvault
