// Numbers for people, and people's numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace walvault {

// "512 B", "1.4 MiB"; binary units, one decimal from KiB on.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

// "0.42 s", "7.3 s", "3 min 20 s", "2 h 05 min".
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

// A whole number with a unit: 64MiB, 512kB, 1GB (powers of 1024, as PostgreSQL
// reads its settings). Error{usage} naming `what` for a missing or unknown
// unit, a sign, a fraction, or a number out of range.
[[nodiscard]] std::uint64_t parse_size(std::string_view text, std::string_view what);

// A whole number with a unit: 500ms, 30s, 10min, 12h, 30d, 2w. Error{usage} as
// parse_size.
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text,
                                                       std::string_view what);

// A whole number from `least` to `most`. Error{usage} as parse_size.
[[nodiscard]] std::uint64_t parse_number(std::string_view text, std::string_view what,
                                         std::uint64_t least, std::uint64_t most);

// The candidate that `word` most resembles, if it resembles any: at most three
// insertions, deletions, substitutions or swaps of neighbours away, and at most
// half its length.
template <typename Range>
[[nodiscard]] std::optional<std::string> nearest_word(std::string_view word,
                                                      const Range& candidates);

[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

template <typename Range>
std::optional<std::string> nearest_word(std::string_view word, const Range& candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = 4;
  for (const auto& candidate : candidates) {
    const auto distance = edit_distance(word, candidate);
    if (distance < best_distance && distance * 2 <= std::string_view(candidate).size()) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

// "a, b, c": what there is, for a message. `name_of` gives the text of each.
template <typename Range, typename NameOf>
[[nodiscard]] std::string list_of(const Range& range, const NameOf& name_of) {
  std::string list;
  for (const auto& each : range) {
    if (!list.empty()) list += ", ";
    list += std::invoke(name_of, each);
  }
  return list;
}

// One of the words that an option or a setting may have. Error{usage} naming `what` and all
// of them.
[[nodiscard]] std::string parse_choice(const std::string& text, std::string_view what,
                                       const std::vector<std::string>& choices);

// A word of a shell command.
[[nodiscard]] std::string shell_quoted(const std::string& word);

}  // namespace walvault
