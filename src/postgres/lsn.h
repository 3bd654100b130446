// Positions in the write-ahead log.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace walvault {

// A byte position in the WAL (access/xlogdefs.h: XLogRecPtr). Printed as
// PostgreSQL prints it, two hexadecimal halves: 0/3000148. Zero is no position.
struct Lsn {
  std::uint64_t value = 0;

  auto operator<=>(const Lsn&) const = default;
  [[nodiscard]] std::string text() const;

  // nullopt for anything but two hexadecimal numbers of 1 to 8 digits.
  [[nodiscard]] static std::optional<Lsn> parse(std::string_view text);
};

// A timeline of a cluster's history, from 1. Zero is no timeline.
struct TimelineId {
  std::uint32_t value = 0;

  auto operator<=>(const TimelineId&) const = default;
};

// Reads exactly `text` as hexadecimal digits of either case; nullopt otherwise.
[[nodiscard]] std::optional<std::uint64_t> parse_hex(std::string_view text);

}  // namespace walvault
