// The seed of a random test.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>

namespace walvault {

// Another one each time, printed, so that a case that fails can be repeated with
// WALVAULT_TEST_SEED in the environment.
[[nodiscard]] inline unsigned test_seed() {
  const char* const given = std::getenv("WALVAULT_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                     : std::random_device()();
  std::printf("WALVAULT_TEST_SEED=%u\n", seed);
  return seed;
}

}  // namespace walvault
