// Bytes to store, and what came of an attempt.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/error.h"

namespace walvault {

// The same bytes for the same seed, and nothing that compresses.
[[nodiscard]] inline Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u;
  Bytes bytes(size);
  std::size_t i = 0;
  while (i < size) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    auto word = state * 0x2545F4914F6CDD1Du;
    for (int byte = 0; byte < 8 && i < size; ++byte, word >>= 8) {
      bytes[i++] = static_cast<std::uint8_t>(word);
    }
  }
  return bytes;
}

[[nodiscard]] inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// The kind of Error that an action throws, as a word; "nothing" for none.
template <typename Action>
[[nodiscard]] std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(kind_name(error.kind()));
  }
  return "nothing";
}

// All that an action's Error tells, on one line.
template <typename Action>
[[nodiscard]] std::string words_of_error(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.message() + " | " + error.detail() + " | " + error.hint();
  }
  return "nothing";
}

}  // namespace walvault
