// Who wrote a pack: one run of one program, by a random id.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"

namespace walvault {

struct WriterId {
  RandomId bytes{};

  WriterId() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a run's id is its writer's when it writes
  WriterId(const RandomId& run) : bytes(run) {}

  auto operator<=>(const WriterId&) const = default;

  // 32 lower-case hexadecimal digits, as in the keys of packs, pins and unfinished roots.
  [[nodiscard]] std::string text() const { return to_hex(bytes); }
  // nullopt for anything else.
  [[nodiscard]] static std::optional<WriterId> parse(std::string_view text) {
    WriterId id;
    return from_hex(text, id.bytes) ? std::optional(id) : std::nullopt;
  }
  // The writer in such a key.
  [[nodiscard]] static std::optional<WriterId> in_key(std::string_view key) {
    const auto first = key.find('/') + 1;
    return parse(key.substr(first, key.rfind('/') - first));
  }
};

}  // namespace walvault
