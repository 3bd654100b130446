#include "postgres/data_path.h"

#include <algorithm>
#include <array>

namespace walvault {
namespace {

constexpr std::string_view digits = "0123456789";
constexpr std::string_view characters_of_data_files =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_./-";
constexpr std::string_view here = "./";

constexpr std::array<std::string_view, 8> data_places = {
    "PG_VERSION", "base",         "global",      "pg_commit_ts",
    "pg_logical", "pg_multixact", "pg_twophase", "pg_xact"};

// .../PG_15_202209061/5/1259
bool is_in_tablespace(std::string_view path) {
  constexpr std::string_view version_directory = "/PG_";
  const auto at = path.find(version_directory);
  if (at == std::string_view::npos) return false;
  const auto behind = at + version_directory.size();
  return behind < path.size() && digits.find(path[behind]) != std::string_view::npos;
}

}  // namespace

bool holds_data(std::string_view path) {
  const auto first = path.substr(0, path.find('/'));
  return std::ranges::find(data_places, first) != data_places.end() || is_in_tablespace(path);
}

std::optional<std::string> path_in_message(std::string_view message) {
  std::string_view path;
  const auto quote = message.find('"');
  if (quote != std::string_view::npos) {
    path = message.substr(quote + 1);
    path = path.substr(0, path.rfind('"'));
  } else {
    // In quotes of another kind.
    auto begin = message.find(here);
    if (begin == std::string_view::npos) begin = message.find('/');
    if (begin == std::string_view::npos) return std::nullopt;
    path = message.substr(begin);
    path = path.substr(0, path.find_first_not_of(characters_of_data_files));
  }
  if (path.starts_with(here)) path.remove_prefix(here.size());
  if (path.empty()) return std::nullopt;
  return std::string(path);
}

}  // namespace walvault
