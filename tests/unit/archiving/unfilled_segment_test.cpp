// Segments that are not full, or whose files hold more than their WAL.
#include <gtest/gtest.h>

#include <fstream>

#include "archiving/push.h"
#include "support/catalog_examples.h"
#include "support/errors.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_builder.h"

namespace walvault {
namespace {

constexpr std::size_t page = 8192;

class UnfilledSegmentTest : public testing::Test {
 protected:
  PushResult push(const std::string& name, ByteView content) {
    return push_wal_file(archive_, write_test_file(pg_wal_.path(), name, content), made_.clock,
                         {.compression = {}, .threads = 2});
  }
  // As a server that follows a primary which left timeline 1 in segment 1.
  void leave_timeline() const {
    std::ofstream(pg_wal_.path() + "/00000002.history") << "1\t0/150000\tno recovery target\n";
  }
  static WalBuilder begun(std::uint64_t number) {
    WalBuilder wal(number);
    for (int i = 0; i < 20; ++i) wal.add_filler(4000);
    return wal;
  }
  static Bytes filled(WalBuilder wal) {
    while (wal.left_in_segment() > 5000) wal.add_filler(4000);
    wal.add_switch();
    return wal.segment(0);
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  TemporaryDirectory pg_wal_;
  const std::string name_ = WalSegmentSpec{}.name();
};

// A standby with archive_mode = always has such a one of the timeline that its primary left.
TEST_F(UnfilledSegmentTest, IsArchivedAsWhatItIs) {
  leave_timeline();
  const auto content = begun(1).segment(0);
  (void)push(name_ + ".partial", content);
  const auto whole = push(name_, content);
  EXPECT_EQ(whole.name, name_ + ".partial");
  EXPECT_EQ(whole.damage, "");
  EXPECT_TRUE(whole.already_there);
  // A file that was used before goes on with its old bytes, also in the page of the end.
  auto recycled = content;
  const auto old = filled(WalBuilder(9));
  const auto end = static_cast<std::ptrdiff_t>(begun(1).position() - test_segment_bytes);
  ASSERT_NE(end % static_cast<std::ptrdiff_t>(page), 0);
  std::copy(old.begin() + end, old.end(), recycled.begin() + end);
  EXPECT_EQ(push(name_, recycled).name, name_ + ".partial");
  // The name is free for who goes on.
  EXPECT_EQ(push(name_, filled(begun(1))).name, name_);
}

TEST_F(UnfilledSegmentTest, IsDamagedWhereItsServerGoesOnWithTheTimeline) {
  const auto result = push(name_, begun(1).segment(0));
  EXPECT_EQ(result.name, name_);
  EXPECT_NE(result.damage, "");
}

// Whole pages follow: what lies between was lost.
TEST_F(UnfilledSegmentTest, AHoleIsDamage) {
  leave_timeline();
  auto content = filled(WalBuilder(1));
  std::fill_n(content.begin() + 5 * page, page, std::uint8_t{0});
  const auto result = push(name_, content);
  EXPECT_EQ(result.name, name_);
  EXPECT_NE(result.damage, "");
}

// A standby that is promoted before it got the zeros behind a switch has what its file held.
TEST_F(UnfilledSegmentTest, WhatLiesBehindASwitchIsNotCompared) {
  auto wal = begun(1);
  wal.add_switch();
  const auto content = wal.segment(0);
  EXPECT_FALSE(push(name_, content).already_there);
  auto stale = content;
  const auto old = filled(WalBuilder(9));
  std::copy(old.begin() + 50 * page, old.end(), stale.begin() + 50 * page);
  EXPECT_TRUE(push(name_, stale).already_there);
  // What lies before it is.
  WalBuilder other(1);
  other.add_filler(4001);
  for (int i = 0; i < 19; ++i) other.add_filler(4000);
  other.add_switch();
  auto other_stale = other.segment(0);
  std::copy(old.begin() + 50 * page, old.end(), other_stale.begin() + 50 * page);
  EXPECT_EQ(error_of([&] { (void)push(name_, other_stale); }), "conflict");
  EXPECT_EQ(error_of([&] { (void)push(name_, other.segment(0)); }), "conflict");
}

}  // namespace
}  // namespace walvault
