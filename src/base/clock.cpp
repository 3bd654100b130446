#include "base/clock.h"

#include <sys/random.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <thread>

#include "base/error.h"

namespace walvault {
namespace {

class SystemClock final : public Clock {
 public:
  Timestamp now() override {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
  SteadyTime steady() override {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::steady_clock::now());
  }
  void sleep_for(std::chrono::milliseconds duration) override {
    std::this_thread::sleep_for(duration);
  }
};

class KernelRandomness final : public Randomness {
 public:
  RandomId id() override {
    RandomId value;
    if (::getrandom(value.data(), value.size(), 0) != static_cast<ssize_t>(value.size())) {
      throw system_error("read random numbers", errno);
    }
    return value;
  }
};

struct Broken {
  std::tm tm{};
  long micros = 0;
};

Broken split(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  Broken parts;
  parts.micros = static_cast<long>((time - seconds).count());
  const std::time_t value = seconds.time_since_epoch().count();
  ::gmtime_r(&value, &parts.tm);
  return parts;
}

// Reads fixed-width decimal fields off the front of a text.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  std::optional<int> digits(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }
  bool accept(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  [[nodiscard]] bool starts_with_digit() const {
    return !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9';
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

[[noreturn]] void refuse(std::string_view text) {
  throw Error(ErrorKind::usage, "\"" + std::string(text) + "\" is not a time",
              "A time looks like 2026-11-21 10:41:00+00 or 2026-11-21T10:41:00Z.",
              "Write the date, the time on the 24-hour clock and the offset from UTC.");
}

// Parses "Z", "UTC", "+hh", "+hhmm" or "+hh:mm" into seconds east of UTC.
std::optional<std::chrono::seconds> parse_zone(std::string_view text) {
  if (text == "Z" || text == "z" || text == "UTC" || text == "GMT") return std::chrono::seconds{0};
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  Fields fields(text.substr(1));
  const auto hours = fields.digits(2);
  if (!hours || *hours > 15) return std::nullopt;
  int minutes = 0;
  if (!fields.rest().empty()) {
    fields.accept(':');
    const auto value = fields.digits(2);
    if (!value || *value > 59 || !fields.rest().empty()) return std::nullopt;
    minutes = *value;
  }
  const int sign = text[0] == '-' ? -1 : 1;
  return std::chrono::seconds{sign * (*hours * 3600 + minutes * 60)};
}

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

Randomness& system_randomness() {
  static KernelRandomness randomness;
  return randomness;
}

std::string to_rfc3339(Timestamp time) {
  const auto [tm, micros] = split(time);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900,
                tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, micros);
  return text;
}

std::string to_local_text(Timestamp time) {
  const std::time_t value =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm tm{};
  ::localtime_r(&value, &tm);
  char text[64];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S%z", &tm);
  std::string result(text, length);
  if (result.size() > 2) result.insert(result.size() - 2, ":");
  return result;
}

Timestamp parse_timestamp(std::string_view text) {
  Fields fields(text);
  const auto year = fields.digits(4);
  if (!year || !fields.accept('-')) refuse(text);
  const auto month = fields.digits(2);
  if (!month || !fields.accept('-')) refuse(text);
  const auto day = fields.digits(2);
  if (!day || (!fields.accept('T') && !fields.accept(' '))) refuse(text);
  const auto hour = fields.digits(2);
  if (!hour || !fields.accept(':')) refuse(text);
  const auto minute = fields.digits(2);
  if (!minute) refuse(text);
  int second = 0;
  const bool with_seconds = fields.accept(':');
  if (with_seconds) {
    const auto value = fields.digits(2);
    if (!value) refuse(text);
    second = *value;
  }
  int micros = 0;
  std::string_view fraction;
  if (with_seconds && fields.accept('.')) {
    fraction = fields.rest();
    int scale = 100000;
    if (!fields.starts_with_digit()) refuse(text);
    while (fields.starts_with_digit()) {
      if (scale == 0) refuse(text);  // a digit that could only be dropped
      micros += *fields.digits(1) * scale;
      scale /= 10;
    }
    fraction.remove_suffix(fields.rest().size());
  }
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || second > 59) refuse(text);
  const Timestamp local = std::chrono::sys_days{date} + std::chrono::hours{*hour} +
                          std::chrono::minutes{*minute} + std::chrono::seconds{second} +
                          std::chrono::microseconds{micros};

  auto zone = fields.rest();
  while (!zone.empty() && zone.front() == ' ') zone.remove_prefix(1);
  if (zone.empty()) {
    std::tm tm = split(local).tm;
    tm.tm_isdst = -1;
    const auto here = std::chrono::system_clock::from_time_t(std::mktime(&tm));
    auto local_text = to_local_text(std::chrono::floor<std::chrono::microseconds>(here));
    if (!fraction.empty()) {
      local_text.insert(std::string_view("2026-11-21 10:41:00").size(),
                        "." + std::string(fraction));
    }
    throw Error(
        ErrorKind::usage, "the time \"" + std::string(text) + "\" has no zone",
        "It could be read in two ways, and a wrong guess restores the wrong hour.",
        "For local time write '" + local_text + "', for UTC '" + std::string(text) + "+00'.");
  }
  const auto offset = parse_zone(zone);
  if (!offset) refuse(text);
  return local - *offset;
}

}  // namespace walvault
