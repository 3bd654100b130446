// Golden bytes of heads that only few backups have.
#include <gtest/gtest.h>

#include "golden/golden_backup_info.h"

namespace walvault {
namespace {

TEST(GoldenV1, SecondVersionOfAHead) {
  auto info = golden_backup_info();
  info.branch = 3;
  info.damaged_pages = {"checksum verification failed in file \"./base/5/1259\", block 3", "more"};
  expect_golden("head-2.bin", encode_backup_info(info));
  const auto read = decode_backup_info(read_golden("head-2.bin"));
  EXPECT_EQ(read.branch, info.branch);
  EXPECT_EQ(read.damaged_pages, info.damaged_pages);
  EXPECT_EQ(read.id, info.id);
  EXPECT_EQ(read.duration, info.duration);
}

TEST(GoldenV1, ThirdVersionOfAHead) {
  auto info = golden_backup_info();
  info.skipped_files = {"base/16384"};
  expect_golden("head-3.bin", encode_backup_info(info));
  const auto read = decode_backup_info(read_golden("head-3.bin"));
  EXPECT_EQ(read.skipped_files, info.skipped_files);
  EXPECT_TRUE(read.damaged_pages.empty());
  EXPECT_EQ(read.branch, 0u);
  EXPECT_EQ(read.id, info.id);
}

}  // namespace
}  // namespace walvault
