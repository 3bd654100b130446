#include "base/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <limits>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace walvault {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

template <std::size_t N>
std::uint64_t parse_with_unit(std::string_view text, std::string_view what,
                              const std::array<Unit, N>& units, std::string_view example) {
  const auto refuse = [&] {
    const auto names = list_of(units, [](const Unit& unit) { return std::string(unit.name); });
    return Error(ErrorKind::usage,
                 "\"" + std::string(text) + "\" is not a value for " + std::string(what),
                 "A whole number and one of the units " + names + " are expected.",
                 "Write for example " + std::string(example) + ".");
  };
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{}) throw refuse();
  std::string_view unit_text(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!unit_text.empty() && unit_text.front() == ' ') unit_text.remove_prefix(1);
  for (const auto& unit : units) {
    if (unit.name != unit_text) continue;
    if (number > std::numeric_limits<std::int64_t>::max() / unit.factor) throw refuse();
    return number * unit.factor;
  }
  throw refuse();
}

}  // namespace

std::uint64_t parse_number(std::string_view text, std::string_view what, std::uint64_t least,
                           std::uint64_t most) {
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure == std::errc{} && stop == end && number >= least && number <= most) return number;
  throw Error(
      ErrorKind::usage, "\"" + std::string(text) + "\" is not a value for " + std::string(what),
      "A number from " + std::to_string(least) + " to " + std::to_string(most) + " is expected.");
}

std::string format_size(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // What would be printed as 1024.0 is one of the next unit.
  while (value >= (unit == 0 ? 1024 : 1023.95) && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units.at(unit));
  return text;
}

std::string format_duration(std::chrono::milliseconds duration) {
  const auto milliseconds = std::max<std::int64_t>(duration.count(), 0);
  char text[48];
  if (milliseconds < 1000) {
    std::snprintf(text, sizeof text, "%.2f s", static_cast<double>(milliseconds) / 1000);
  } else if (milliseconds < 100'000) {
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(milliseconds) / 1000);
  } else if (milliseconds < 3'600'000) {
    std::snprintf(text, sizeof text, "%lld min %02lld s",
                  static_cast<long long>(milliseconds / 60'000),
                  static_cast<long long>(milliseconds / 1000 % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld h %02lld min",
                  static_cast<long long>(milliseconds / 3'600'000),
                  static_cast<long long>(milliseconds / 60'000 % 60));
  }
  return text;
}

std::uint64_t parse_size(std::string_view text, std::string_view what) {
  static constexpr std::uint64_t k = 1024;
  static constexpr std::array<Unit, 9> units = {{{"B", 1},
                                                 {"kB", k},
                                                 {"KiB", k},
                                                 {"MB", k * k},
                                                 {"MiB", k * k},
                                                 {"GB", k * k * k},
                                                 {"GiB", k * k * k},
                                                 {"TB", k * k * k * k},
                                                 {"TiB", k * k * k * k}}};
  return parse_with_unit(text, what, units, "64MB");
}

std::chrono::milliseconds parse_duration(std::string_view text, std::string_view what) {
  static constexpr std::array<Unit, 6> units = {{{"ms", 1},
                                                 {"s", 1000},
                                                 {"min", 60'000},
                                                 {"h", 3'600'000},
                                                 {"d", 86'400'000},
                                                 {"w", 604'800'000}}};
  const auto milliseconds = parse_with_unit(text, what, units, "10min");
  // What is added to a time must not leave what a time can be.
  constexpr std::uint64_t milliseconds_max = 1000 * 366ull * 86'400'000;
  if (milliseconds > milliseconds_max) {
    throw Error(ErrorKind::usage,
                "\"" + std::string(text) + "\" is not a value for " + std::string(what),
                "That is more than a thousand years.");
  }
  return std::chrono::milliseconds{static_cast<std::int64_t>(milliseconds)};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // rows[i % 3][j]: the distance of the first i characters of a and j of b.
  std::array<std::vector<std::size_t>, 3> rows;
  rows.fill(std::vector<std::size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows.at(i % 3);
    const auto& above = rows.at((i - 1) % 3);
    const auto& two_above = rows.at((i + 1) % 3);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows.at(a.size() % 3)[b.size()];
}

std::string parse_choice(const std::string& text, std::string_view what,
                         const std::vector<std::string>& choices) {
  if (std::ranges::find(choices, text) != choices.end()) return text;
  std::string known = choices.front();
  for (std::size_t i = 1; i < choices.size(); ++i) {
    known += (i + 1 == choices.size() ? " and " : ", ") + choices[i];
  }
  throw Error(ErrorKind::usage, "\"" + text + "\" is not a value for " + std::string(what),
              known + " are known.");
}

std::string shell_quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out.push_back(c);
    }
  }
  return out + "'";
}

}  // namespace walvault
