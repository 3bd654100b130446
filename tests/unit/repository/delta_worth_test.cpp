#include "repository/delta_worth.h"

#include <gtest/gtest.h>

#include "support/deterministic.h"

namespace walvault {
namespace {

using Seconds = DeltaWorth::Seconds;

// Four threads that read, two that store 10 MB a second each.
class DeltaWorthTest : public testing::Test {
 protected:
  void store() {
    for (int i = 0; i < 500; ++i) worth_.note_stored(Seconds(1), 10'000'000);
  }
  void read(double seconds, std::uint64_t saved, int batches = 100) {
    for (int i = 0; i < batches; ++i) worth_.note_read(Seconds(seconds), saved);
  }
  [[nodiscard]] int wanted_of(int batches) {
    int wanted = 0;
    for (int i = 0; i < batches; ++i) wanted += worth_.wants_bases() ? 1 : 0;
    return wanted;
  }
  FakeClock clock_;
  DeltaWorth worth_{clock_, 4, 2};
};

TEST_F(DeltaWorthTest, ReadsUntilSomethingIsKnown) {
  EXPECT_EQ(wanted_of(100), 100);
  read(10, 0, 7);
  EXPECT_EQ(wanted_of(100), 100);
  read(10, 0, 1);
  EXPECT_EQ(wanted_of(96), 3);
}

TEST_F(DeltaWorthTest, ReadsAsLongAsItTakesNotMuchLongerThanStoring) {
  store();
  // Storing 1 MB takes a twentieth of a second; four threads read four times that.
  read(0.79, 1'000'000);
  EXPECT_EQ(wanted_of(64), 64);
  read(0.81, 1'000'000, 1000);
  EXPECT_EQ(wanted_of(64), 2);
}

TEST_F(DeltaWorthTest, ChangesItsMind) {
  store();
  read(5, 1000);
  EXPECT_EQ(wanted_of(64), 2);
  read(0.01, 1'000'000, 200);
  EXPECT_EQ(wanted_of(64), 64);
  // Storing got faster.
  for (int i = 0; i < 500; ++i) worth_.note_stored(Seconds(0.001), 10'000'000);
  EXPECT_EQ(wanted_of(64), 2);
}

}  // namespace
}  // namespace walvault
