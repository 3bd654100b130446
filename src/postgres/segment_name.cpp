#include "postgres/segment_name.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"

namespace walvault {
namespace {

bool is_upper_hex(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
  });
}

constexpr std::size_t segment_digits = 24;

}  // namespace

bool is_segment_size(std::uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= (1u << 20) && bytes <= (1u << 30);
}

std::string SegmentName::text(WalGeometry geometry) const {
  const auto log = geometry.log_of(number);
  return to_upper_hex(timeline.value) + to_upper_hex(static_cast<std::uint32_t>(log)) +
         to_upper_hex(static_cast<std::uint32_t>(number - geometry.first_of_log(log)));
}

std::optional<SegmentName> SegmentName::parse(std::string_view text, WalGeometry geometry) {
  if (text.size() != segment_digits || !is_upper_hex(text)) return std::nullopt;
  const auto log = *parse_hex(text.substr(8, 8));
  const auto segment = *parse_hex(text.substr(16, 8));
  if (segment >= geometry.segments_in_log()) return std::nullopt;
  return SegmentName{.timeline = timeline_of(text), .number = geometry.first_of_log(log) + segment};
}

std::optional<WalFileKind> classify_wal_file(std::string_view name) {
  if (name.size() == 16 && is_upper_hex(name.substr(0, 8)) && name.substr(8) == ".history") {
    return WalFileKind::timeline;
  }
  if (name.size() < segment_digits || !is_upper_hex(name.substr(0, segment_digits))) {
    return std::nullopt;
  }
  const auto suffix = name.substr(segment_digits);
  if (suffix.empty()) return WalFileKind::segment;
  if (suffix == ".partial") return WalFileKind::partial;
  if (suffix.size() == 16 && suffix[0] == '.' && is_upper_hex(suffix.substr(1, 8)) &&
      suffix.substr(9) == ".backup") {
    return WalFileKind::backup_history;
  }
  return std::nullopt;
}

TimelineId timeline_of(std::string_view wal_file_name) {
  return {static_cast<std::uint32_t>(parse_hex(wal_file_name.substr(0, 8)).value_or(0))};
}

std::string history_file_name(TimelineId timeline) {
  return to_upper_hex(timeline.value) + ".history";
}

}  // namespace walvault
