// Random walks through what happens to servers and repositories. After each step random targets
// bring exactly what was committed by then, and production goes on archiving.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>

#include "support/walk_world.h"

namespace walvault {
namespace {

constexpr std::array majors = {15, 18, 13, 17, 14, 16};
constexpr std::chrono::seconds walk_max{30};
constexpr unsigned walks_in_ci = 20;

void walk(unsigned number) {
  const auto major = majors[number % majors.size()];
  std::string taken;
  const auto began = std::chrono::steady_clock::now();
  try {
    WalkWorld world(major, number, WALVAULT_CLOCK_SHIM);
    for (int i = 0; i < 6 && std::chrono::steady_clock::now() - began < walk_max; ++i) {
      const ::testing::ScopedTrace trace(__FILE__, __LINE__,
                                         "walk " + std::to_string(number) + " on PostgreSQL " +
                                             std::to_string(major) + ":" + taken);
      taken += " " + world.step() + ";";
      if (::testing::Test::HasFatalFailure()) return;
      world.expect_right(1);
      if (::testing::Test::HasFatalFailure()) return;
    }
    const ::testing::ScopedTrace trace(__FILE__, __LINE__,
                                       "walk " + std::to_string(number) + ":" + taken);
    world.expect_right(2);
    world.expect_whole();
  } catch (const std::exception& error) {
    FAIL() << "walk " << number << " on PostgreSQL " << major << ":" << taken << " "
           << error.what();
  }
}

class Walks : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Walks, ::testing::Range(0U, walks_in_ci));

TEST_P(Walks, BringBackWhatWasCommitted) { walk(GetParam()); }

// WALVAULT_WALKS=20-29: these, one after another. scripts/test.sh --long takes 500.
TEST(MoreWalks, BringBackWhatWasCommitted) {
  const char* const asked = std::getenv("WALVAULT_WALKS");
  if (asked == nullptr) GTEST_SKIP() << "only where WALVAULT_WALKS names them";
  char* end = nullptr;
  const auto first = std::strtoul(asked, &end, 10);
  const auto last = *end == '-' ? std::strtoul(end + 1, nullptr, 10) : first;
  for (auto number = first; number <= last && !HasFailure(); ++number) {
    walk(static_cast<unsigned>(number));
  }
}

}  // namespace
}  // namespace walvault
