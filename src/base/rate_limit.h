// Holds work back to so many bytes a second.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "base/clock.h"

namespace walvault {

// Thread safety: all operations may be called from any thread at once.
class RateLimit {
 public:
  // 0: no limit. `clock` must outlive it.
  RateLimit(Clock& clock, std::uint64_t bytes_per_second)
      : clock_(clock), bytes_per_second_(bytes_per_second) {}

  // Returns when these bytes may be dealt with; what lay idle for more than a second
  // is not made up for. `check_cancelled` is called meanwhile and may throw.
  void take(std::uint64_t bytes, const std::function<void()>& check_cancelled);

 private:
  Clock& clock_;
  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  SteadyTime next_{};  // when all that was taken is dealt with
};

}  // namespace walvault
