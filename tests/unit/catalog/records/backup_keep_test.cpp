#include "catalog/records/backup_keep.h"

#include <gtest/gtest.h>

#include "catalog/records/backup_info.h"
#include "catalog/records/backup_list.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/stored_backups.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class BackupKeepTest : public testing::Test {
 protected:
  MemoryRepository made_;
  const Timestamp now_ = made_.clock.now();
};

TEST_F(BackupKeepTest, TheLastDecisionCounts) {
  EXPECT_TRUE(list_backup_keeps(made_.repository, "main").empty());
  put_backup_keep(made_.repository, "main", "a", parse_backup_keep("30d", "--for", now_));
  put_backup_keep(made_.repository, "main", "b", parse_backup_keep("forever", "--for", now_));
  put_backup_keep(made_.repository, "other", "c", parse_backup_keep("1h", "--for", now_));
  auto keeps = list_backup_keeps(made_.repository, "main");
  ASSERT_EQ(keeps.size(), 2u);
  EXPECT_EQ(keeps["a"].until, now_ + std::chrono::days(30));
  EXPECT_EQ(keeps["b"].until, std::nullopt);
  put_backup_keep(made_.repository, "main", "b", parse_backup_keep("0d", "--for", now_));
  EXPECT_EQ(list_backup_keeps(made_.repository, "main")["b"].until, now_);
  EXPECT_EQ(error_of([&] { (void)parse_backup_keep("ever", "--for", now_); }), "usage");
}

TEST_F(BackupKeepTest, ADamagedDecisionIsNotGuessed) {
  ASSERT_TRUE(made_.storage.put_if_absent("keeps/main/a/1", Bytes(100)));
  EXPECT_EQ(error_of([&] { (void)list_backup_keeps(made_.repository, "main"); }), "corrupt");
}

TEST_F(BackupKeepTest, ADeletedBackupIsGoneEvenIfItsRootComesBack) {
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  store_backup(made_.repository, backup_of("b", 1, 4, 5));
  delete_backup(made_.repository, "main", "a", now_);
  const auto ids = [&] {
    std::vector<std::string> found;
    for (const auto& backup : list_backups(made_.repository, "main").backups) {
      found.push_back(backup.id);
    }
    return found;
  };
  EXPECT_EQ(ids(), (std::vector<std::string>{"b"}));
  EXPECT_FALSE(made_.storage.find_size(backup_root_key("main", "a")));
  // A repetition of its commit that was under way.
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  EXPECT_EQ(ids(), (std::vector<std::string>{"b"}));
  EXPECT_EQ(deleted_backups(made_.repository, "main"), (std::set<std::string>{"a"}));
  delete_backup(made_.repository, "main", "a", now_);
  EXPECT_FALSE(made_.storage.find_size(backup_root_key("main", "a")));
}

}  // namespace
}  // namespace walvault
