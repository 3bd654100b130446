#include "basebackup/lender.h"

#include <gtest/gtest.h>

#include "basebackup/base_backup.h"
#include "catalog/records/backup_list.h"
#include "support/fake_backup.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// One that was taken into another repository and copied here has a number of that one.
TEST(Lender, ABackupIsNumberedAboveAllThatAreThere) {
  MemoryRepository made;
  const WalArchive archive(made.repository, test_cluster());
  FakeServer server;
  archive_needed_wal(archive);
  auto copied = back_up(archive, server, 1, made.clock, {});
  const auto newest = copied.id;
  copied.id = "copied";
  copied.start.value -= 8;
  copied.sequence = 9;
  const auto key = backup_root_key("main", copied.id);
  Root root;
  root.head = encode_backup_info(copied);
  ASSERT_TRUE(made.storage.put_if_absent(key, encode_root(ObjectCodec(), root, key)));
  const auto lender = find_lender(archive);
  ASSERT_TRUE(lender.parent);
  EXPECT_EQ(lender.parent->id, newest);
  EXPECT_EQ(back_up(archive, server, 2, made.clock, {}).sequence, 10u);
}

}  // namespace
}  // namespace walvault
