#include "catalog/copy/copied_gaps.h"

#include <gtest/gtest.h>

#include "catalog/recovery/recovery_window.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// The source has expired segments 4 to 6.
class CopiedGapsTest : public testing::Test {
 protected:
  CopiedGapsTest() {
    put_accepted_gap(from_.repository, test_cluster(),
                     {.timeline = {.timeline = {1}},
                      .from = lsn_in(4, 0),
                      .to = lsn_in(7, 0),
                      .reason = expired_reason,
                      .when = minute_of(10)});
  }
  void copy() { copy_accepted_gaps(from_.repository, to_.repository, test_cluster()); }
  [[nodiscard]] std::vector<AcceptedGap> there() const {
    return list_accepted_gaps(to_.repository, test_cluster());
  }
  [[nodiscard]] GapState state_of_the_gap() const {
    const auto found = recoverable_moments({archive_, {}}).gaps;
    EXPECT_EQ(found.size(), 1u);
    return found.at(0).state;
  }

  MemoryRepository from_;
  MemoryRepository to_;
  WalArchive archive_{to_.repository, test_cluster()};
};

TEST_F(CopiedGapsTest, WhatIsExpiredHereIsNoLossThere) {
  archive_segments(archive_, 1, 1, 3);
  archive_segments(archive_, 1, 7, 9);
  EXPECT_EQ(state_of_the_gap(), GapState::open);
  copy();
  EXPECT_EQ(state_of_the_gap(), GapState::expired);
  copy();
  EXPECT_EQ(there().size(), 1u);
}

TEST_F(CopiedGapsTest, WhereTheOtherHasSomeOfTheWalTheRestIsALoss) {
  archive_segments(archive_, 1, 1, 3);
  archive_segments(archive_, 1, 6, 9);
  copy();
  EXPECT_TRUE(there().empty());
  EXPECT_EQ(state_of_the_gap(), GapState::open);
}

TEST_F(CopiedGapsTest, WhatAnOperatorHasAcceptedGoesThereOnce) {
  AcceptedGap accepted{.timeline = {.timeline = {1}},
                       .from = lsn_in(20, 0),
                       .to = lsn_in(22, 0),
                       .reason = "a disk",
                       .when = minute_of(11)};
  put_accepted_gap(from_.repository, test_cluster(), accepted);
  archive_segments(archive_, 1, 1, 30);
  copy();
  copy();
  ASSERT_EQ(there().size(), 1u);
  EXPECT_EQ(there()[0], accepted);
}

}  // namespace
}  // namespace walvault
