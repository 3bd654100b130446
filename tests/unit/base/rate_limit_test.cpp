#include "base/rate_limit.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "support/deterministic.h"

namespace walvault {
namespace {

using std::chrono::seconds;

TEST(RateLimit, TakesAsLongAsTheBytesNeed) {
  FakeClock clock;
  const auto began = clock.now();
  RateLimit limit(clock, 1000);
  for (int i = 0; i < 100; ++i) limit.take(500, [] {});
  // A second of idling before the first counts.
  EXPECT_EQ(clock.now() - began, seconds(49));
}

TEST(RateLimit, DoesNotMakeUpForIdleness) {
  FakeClock clock;
  RateLimit limit(clock, 1000);
  limit.take(5000, [] {});
  clock.advance(seconds(1000));
  const auto idle = clock.now();
  limit.take(5000, [] {});
  EXPECT_EQ(clock.now() - idle, seconds(4));
}

TEST(RateLimit, DoesNotWaitForAClockThatWasSetBack) {
  FakeClock clock;
  RateLimit limit(clock, 1000);
  limit.take(3000, [] {});
  clock.jump(-seconds(100'000));
  const auto set_back = clock.steady();
  limit.take(3000, [] {});
  EXPECT_EQ(clock.steady() - set_back, seconds(3));
}

TEST(RateLimit, CanBeEndedWhileItWaits) {
  FakeClock clock;
  RateLimit limit(clock, 10);
  int calls = 0;
  const auto end = [&] {
    if (++calls == 5) throw std::runtime_error("ended");
  };
  EXPECT_THROW(limit.take(1'000'000, end), std::runtime_error);
}

TEST(RateLimit, OfZeroIsNone) {
  FakeClock clock;
  const auto began = clock.now();
  RateLimit(clock, 0).take(std::uint64_t{1} << 60, [] {});
  EXPECT_EQ(clock.now(), began);
}

}  // namespace
}  // namespace walvault
