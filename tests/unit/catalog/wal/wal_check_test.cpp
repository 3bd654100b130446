#include "catalog/wal/wal_check.h"

#include <gtest/gtest.h>

#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class WalCheckTest : public testing::Test {
 protected:
  WalCheckTest() { archive_segments(archive_, 1, 2, 9); }

  [[nodiscard]] std::string key(std::uint64_t number) const {
    return archive_.key_of(SegmentName{.timeline = {1}, .number = number}.text(test_geometry));
  }
  void replace(std::uint64_t number, ByteView bytes) {
    made_.storage.remove({key(number)});
    ASSERT_TRUE(made_.storage.put_if_absent(key(number), bytes));
  }
  // The number of the first segment up to `last` that cannot be read; 0: none.
  [[nodiscard]] std::uint64_t unreadable(std::uint64_t last) const {
    const auto stretch = wal_from(archive_, archive_.history({1}), lsn_in(2, 0x28));
    const auto found = find_unreadable(archive_, stretch, 0, last, 3, [] {});
    return found ? found->name.number : 0;
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
};

TEST_F(WalCheckTest, NoticesEveryFlippedBit) {
  const auto whole = made_.storage.find(key(5), whole_object).value();
  ASSERT_TRUE(check_stored_wal(archive_, key(5)));
  for_each_bit_flip(whole, [&](ByteView damaged, std::size_t bit) {
    replace(5, damaged);
    EXPECT_NE(error_of([&] { (void)check_stored_wal(archive_, key(5)); }), "nothing") << bit;
  });
  for_each_truncation(whole, [&](ByteView cut) {
    replace(5, cut);
    EXPECT_EQ(error_of([&] { (void)check_stored_wal(archive_, key(5)); }), "corrupt") << cut.size();
  });
}

TEST_F(WalCheckTest, FindsTheFirstSegmentThatIsNeededAndDamaged) {
  EXPECT_EQ(unreadable(9), 0u);
  auto damaged = made_.storage.find(key(6), whole_object).value();
  damaged.at(damaged.size() / 2) ^= 1;
  replace(6, damaged);
  replace(8, damaged);
  EXPECT_EQ(unreadable(9), 6u);
  EXPECT_EQ(unreadable(6), 6u);
  EXPECT_EQ(unreadable(5), 0u);
  const auto stretch = wal_from(archive_, archive_.history({1}), lsn_in(2, 0x28));
  EXPECT_EQ(find_unreadable(archive_, stretch, 7, 9, 2, [] {})->name.number, 8u);
}

TEST_F(WalCheckTest, FindsASegmentThatIsGone) {
  const auto stretch = wal_from(archive_, archive_.history({1}), lsn_in(2, 0x28));
  made_.storage.remove({key(7)});
  const auto found = find_unreadable(archive_, stretch, 0, 9, 2, [] {});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name.number, 7u);
}

TEST_F(WalCheckTest, StopsWhenItIsCancelled) {
  const auto stretch = wal_from(archive_, archive_.history({1}), lsn_in(2, 0x28));
  EXPECT_EQ(error_of([&] {
              (void)find_unreadable(archive_, stretch, 0, 9, 2,
                                    [] { throw Error(ErrorKind::unavailable, "cancelled"); });
            }),
            "unavailable");
}

}  // namespace
}  // namespace walvault
