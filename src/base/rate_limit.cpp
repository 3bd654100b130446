#include "base/rate_limit.h"

#include <algorithm>

namespace walvault {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds nap{200};

}  // namespace

void RateLimit::take(std::uint64_t bytes, const std::function<void()>& check_cancelled) {
  if (bytes_per_second_ == 0) return;
  milliseconds left{0};
  {
    const std::lock_guard lock(mutex_);
    const auto now = clock_.steady();
    next_ = std::max(next_, now - std::chrono::seconds(1));
    next_ += microseconds(static_cast<std::int64_t>(static_cast<double>(bytes) * 1e6 /
                                                    static_cast<double>(bytes_per_second_)));
    left = std::chrono::duration_cast<milliseconds>(next_ - now);
  }
  for (; left > milliseconds{0}; left -= nap) {
    check_cancelled();
    clock_.sleep_for(std::min(nap, left));
  }
}

}  // namespace walvault
