// Whoever deletes or commits on the strength of what others put sees to it first that their names
// are durable: they may have died before that was so (docs/guarantees.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/copy/repository_copy.h"
#include "catalog/retention/expiry.h"
#include "repository/gc.h"
#include "repository/pin.h"
#include "repository/writer_session.h"
#include "support/catalog_examples.h"
#include "support/errors.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/stored_backups.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

class SettledNames : public testing::Test {
 protected:
  SettledNames() {
    auto identity = test_cluster();
    (void)add_cluster(made_.repository, identity);
    // The disk does not do what it is told from here on.
    hooked_.before = [this](std::string_view operation, std::string_view) {
      if (operation == "settle") {
        throw Error(ErrorKind::unavailable, "cannot sync");
      }
      if (operation == "put" || operation == "remove") ++changes_;
    };
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  int changes_ = 0;
};

TEST_F(SettledNames, BeforeABackupIsDeletedBecauseOfAnother) {
  archive_segments(WalArchive(made_.repository, test_cluster()), 1, 1, 20);
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  store_backup(made_.repository, backup_of("b", 1, 7, 8));
  RetentionPolicy policy;
  policy.keep_last = 1;
  const auto plan = plan_expiry(repository_, "main", policy, minute_of(30), false);
  ASSERT_FALSE(plan.is_empty());
  (void)expect_error(ErrorKind::unavailable, [&] {
    (void)carry_out_expiry(repository_, "main", plan, id_of(1), minute_of(30), [] {});
  });
  EXPECT_EQ(changes_, 0);
}

TEST_F(SettledNames, BeforeThePinOfABackupGoesBecauseOfItsRoot) {
  const WriterSession session(made_.repository, made_.clock, id_of(1), backup_root_key("main", "a"),
                              "");
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  ASSERT_FALSE(keys_under(made_.storage, "pins/").empty());
  (void)expect_error(ErrorKind::unavailable, [&] {
    (void)collect_garbage(repository_, made_.clock, id_of(2), {.grace = {}});
  });
  EXPECT_FALSE(keys_under(made_.storage, "pins/").empty());
}

TEST_F(SettledNames, BeforeACopyIsCommittedOnTopOfPacksThatWereThere) {
  MemoryRepository from;
  auto identity = test_cluster();
  (void)add_cluster(from.repository, identity);
  archive_segments(WalArchive(from.repository, test_cluster()), 1, 1, 5);
  const auto root_key = backup_root_key("main", "a");
  const WriterSession session(from.repository, from.clock, id_of(1), root_key, "");
  TreeWriter tree(session, {});
  write_tree_file(tree, "base/1", random_bytes(200'000, 1));
  auto root = tree.finish();
  root.head = encode_backup_info(backup_of("a", 1, 2, 3));
  session.commit(encode_root(ObjectCodec(), root, root_key));
  for (const auto& key : keys_under(from.storage, "packs/")) {
    (void)made_.storage.put_if_absent(key, from.storage.find(key, whole_object).value());
  }
  (void)expect_error(ErrorKind::unavailable, [&] {
    (void)copy_repository(from.repository, repository_, made_.clock, {}, {});
  });
  EXPECT_TRUE(keys_under(made_.storage, "backups/").empty());
}

TEST_F(SettledNames, BeforeACopySaysThatABackupIsThere) {
  archive_segments(WalArchive(made_.repository, test_cluster()), 1, 1, 5);
  store_backup(made_.repository, backup_of("a", 1, 2, 3));
  MemoryRepository from;
  auto identity = test_cluster();
  (void)add_cluster(from.repository, identity);
  archive_segments(WalArchive(from.repository, test_cluster()), 1, 1, 5);
  store_backup(from.repository, backup_of("a", 1, 2, 3));
  (void)expect_error(ErrorKind::unavailable, [&] {
    (void)copy_repository(from.repository, repository_, made_.clock, {}, {});
  });
  // Looking alone relies on nothing.
  (void)copy_repository(from.repository, repository_, made_.clock, {.dry_run = true}, {});
}

}  // namespace
}  // namespace walvault
