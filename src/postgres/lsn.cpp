#include "postgres/lsn.h"

#include <charconv>
#include <cstdio>

namespace walvault {

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value, 16);
  if (text.empty() || text[0] == '-' || failure != std::errc{} || stop != end) return std::nullopt;
  return value;
}

std::string Lsn::text() const {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%X/%X", static_cast<unsigned>(value >> 32),
                static_cast<unsigned>(value));
  return buffer;
}

std::optional<Lsn> Lsn::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high_text = text.substr(0, slash);
  const auto low_text = text.substr(slash + 1);
  if (high_text.size() > 8 || low_text.size() > 8) return std::nullopt;
  const auto high = parse_hex(high_text);
  const auto low = parse_hex(low_text);
  if (!high || !low) return std::nullopt;
  return Lsn{*high << 32 | *low};
}

}  // namespace walvault
