#include "base/path.h"

#include <unistd.h>

#include <array>
#include <climits>

namespace walvault {

bool is_inner_path(std::string_view path) {
  while (true) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) {
      return false;
    }
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

std::string absolute_path(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::array<char, PATH_MAX> current{};
  if (::getcwd(current.data(), current.size()) == nullptr) return path;
  return std::string(current.data()) + "/" + path;
}

}  // namespace walvault
