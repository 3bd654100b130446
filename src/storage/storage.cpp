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

void check_key(std::string_view key) {
  std::size_t parts = 0;
  std::string_view rest = key;
  while (true) {
    const auto slash = rest.find('/');
    if (!is_key_part(rest.substr(0, slash)) || ++parts > 16) {
      throw Error(ErrorKind::internal, "\"" + std::string(key) + "\" is not a storage key");
    }
    if (slash == std::string_view::npos) return;
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace walvault
