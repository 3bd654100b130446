#include "storage/storage.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

bool is_key_part(std::string_view part) {
  return !part.empty() && part.size() <= 255 && part.front() != '.' &&
         std::ranges::all_of(part, is_key_character);
}

bool is_key(std::string_view key) {
  std::size_t parts = 0;
  while (true) {
    const auto slash = key.find('/');
    if (!is_key_part(key.substr(0, slash)) || ++parts > 16) return false;
    if (slash == std::string_view::npos) return true;
    key.remove_prefix(slash + 1);
  }
}

void check_key(std::string_view key) {
  if (!is_key(key)) {
    throw Error(ErrorKind::internal, "\"" + std::string(key) + "\" is not a storage key");
  }
}

}  // namespace walvault
