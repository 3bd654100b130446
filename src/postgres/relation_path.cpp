#include "postgres/relation_path.h"

#include <charconv>

namespace walvault {
namespace {

constexpr std::uint32_t default_tablespace = 1663;
constexpr std::uint32_t global_tablespace = 1664;

// Takes the part before the next '/' off the front, with it.
std::string_view take_part(std::string_view& path) {
  const auto end = path.find('/');
  const auto part = path.substr(0, end);
  path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
  return part;
}

bool read_number(std::string_view text, std::uint32_t& number) {
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  return failure == std::errc{} && stop == end && !text.empty();
}

// 16384_vm.1
bool read_name(std::string_view name, RelationPath& found) {
  if (const auto dot = name.find('.'); dot != std::string_view::npos) {
    if (!read_number(name.substr(dot + 1), found.segment)) return false;
    name = name.substr(0, dot);
  }
  if (const auto line = name.find('_'); line != std::string_view::npos) {
    found.fork = name.substr(line + 1);
    if (found.fork != "fsm" && found.fork != "vm" && found.fork != "init") return false;
    name = name.substr(0, line);
  }
  return read_number(name, found.relation.number);
}

}  // namespace

std::optional<RelationPath> parse_relation_path(std::string_view path) {
  RelationPath found;
  auto& relation = found.relation;
  const auto first = take_part(path);
  if (first == "global") {
    relation.tablespace = global_tablespace;
  } else if (first == "base") {
    relation.tablespace = default_tablespace;
    if (!read_number(take_part(path), relation.database)) return std::nullopt;
  } else if (first == "pg_tblspc") {
    if (!read_number(take_part(path), relation.tablespace)) return std::nullopt;
    if (!take_part(path).starts_with("PG_")) return std::nullopt;
    if (!read_number(take_part(path), relation.database)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (path.find('/') != std::string_view::npos || !read_name(path, found)) return std::nullopt;
  return found;
}

}  // namespace walvault
