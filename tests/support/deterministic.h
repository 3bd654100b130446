// A clock and randomness that a test decides.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace walvault {

// Stands still but for what sleeps and advances; `jump` sets the date alone.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Timestamp start = Timestamp(std::chrono::seconds(1'790'000'000)))
      : now_(start) {}
  Timestamp now() override { return now_; }
  SteadyTime steady() override { return steady_; }
  void sleep_for(std::chrono::milliseconds duration) override { advance(duration); }
  void advance(std::chrono::microseconds duration) {
    jump(duration);
    steady_ = steady_.load() + duration;
  }
  void jump(std::chrono::microseconds duration) { now_ = now_.load() + duration; }

 private:
  std::atomic<Timestamp> now_;
  std::atomic<SteadyTime> steady_ = SteadyTime(std::chrono::hours(1));
};

// 1, 2, 3, ... in the first byte.
class CountingRandomness final : public Randomness {
 public:
  RandomId id() override {
    RandomId id{};
    id[0] = ++count_;
    return id;
  }

 private:
  std::uint8_t count_ = 0;
};

// An id made of one repeated byte.
[[nodiscard]] inline RandomId id_of(std::uint8_t byte) {
  RandomId id;
  id.fill(byte);
  return id;
}

}  // namespace walvault
