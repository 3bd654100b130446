// The two things that a test must be able to decide: what time it is, and
// what is random. Both are seams; production code takes them as references.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace walvault {

// Microseconds since 1970 UTC, PostgreSQL's own resolution.
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

// Since some moment that nobody can set.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::microseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  // The date. It jumps when somebody sets the clock: for records and for ages of what is
  // stored, never for how long to wait.
  [[nodiscard]] virtual Timestamp now() = 0;
  // What deadlines and durations are measured by. A test's clock goes evenly.
  [[nodiscard]] virtual SteadyTime steady() { return SteadyTime(now().time_since_epoch()); }
  virtual void sleep_for(std::chrono::milliseconds duration) = 0;
};

using RandomId = std::array<std::uint8_t, 16>;

class Randomness {
 public:
  virtual ~Randomness() = default;
  [[nodiscard]] virtual RandomId id() = 0;
};

// The machine's clock and the kernel's random numbers. Thread-safe.
[[nodiscard]] Clock& system_clock();
[[nodiscard]] Randomness& system_randomness();

// RFC 3339 UTC with microseconds: 2026-11-21T10:41:00.000000Z.
[[nodiscard]] std::string to_rfc3339(Timestamp time);

// For people: local time with its offset: 2026-11-21 11:41:00+01:00.
[[nodiscard]] std::string to_local_text(Timestamp time);

// Reads "2026-11-21 10:41[:00[.ffffff]]" with 'T' or a blank between, followed
// by Z, UTC, or an offset (+00, +0000, +00:00). A time without a zone, or of
// any other form, is Error{usage}; for a missing zone the hint shows both
// readings, local and UTC.
[[nodiscard]] Timestamp parse_timestamp(std::string_view text);

}  // namespace walvault
