#include "storage/object/range.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace walvault {
namespace {

// "bytes 5-9/1234"
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t size = 0;  // of the object
};

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view unit = "bytes ";
  if (!text.starts_with(unit)) return std::nullopt;
  ContentRange range;
  const char* at = text.data() + unit.size();
  const char* const end = text.data() + text.size();
  const auto number = [&](std::uint64_t& value, char after) {
    const auto [stop, failure] = std::from_chars(at, end, value);
    if (failure != std::errc{} || (after == 0 ? stop != end : stop == end || *stop != after)) {
      return false;
    }
    at = stop + (after == 0 ? 0 : 1);
    return true;
  };
  if (!number(range.first, '-') || !number(range.last, '/') || !number(range.size, 0) ||
      range.last < range.first || range.last >= range.size) {
    return std::nullopt;
  }
  return range;
}

// The end of a range of at least one byte, exclusive.
std::uint64_t end_of(ByteRange range) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  return range.length > most - range.offset ? most : range.offset + range.length;
}

bool is_open(ByteRange range) { return range.length > object_bytes_max; }

}  // namespace

bool is_whole_object(ByteRange range) {
  return range.offset == 0 && end_of(range) == end_of(whole_object);
}

std::string range_header(ByteRange range) {
  return "bytes=" + std::to_string(range.offset) + "-" +
         (is_open(range) ? "" : std::to_string(end_of(range) - 1));
}

std::uint64_t expected_bytes(ByteRange range) { return is_open(range) ? 0 : range.length; }

bool is_the_range(const HttpResponse& response, ByteRange asked) {
  const auto given = parse_content_range(response.header("content-range"));
  return given && given->first == asked.offset &&
         given->last + 1 == std::min(given->size, end_of(asked)) &&
         response.body.size() == given->last + 1 - given->first;
}

bool has_an_end(const HttpResponse& response) {
  return !response.header("content-length").empty() ||
         !response.header("transfer-encoding").empty();
}

std::uint64_t object_size(const HttpResponse& response) {
  if (response.status == 200) return response.body.size();
  return parse_content_range(response.header("content-range")).value().size;
}

Bytes take_range(HttpResponse response, ByteRange range) {
  auto& body = response.body;
  if (response.status == 200 && range.offset > 0) {
    body.erase(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                                range.offset, body.size())));
  }
  if (body.size() > range.length) body.resize(range.length);
  // Where the whole came for a part of it.
  if (body.capacity() > 2 * body.size()) body.shrink_to_fit();
  return std::move(body);
}

}  // namespace walvault
