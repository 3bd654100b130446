#include "app/user_directory.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace walvault {
namespace {

class PasswordEntry {
 public:
  PasswordEntry() {
    if (::getpwuid_r(::geteuid(), &entry_, room_.data(), room_.size(), &found_) != 0) {
      found_ = nullptr;
    }
  }

  // nullptr: this user has none.
  [[nodiscard]] const struct passwd* found() const { return found_; }

 private:
  struct passwd entry_ {};
  struct passwd* found_ = nullptr;
  std::array<char, 4096> room_{};
};

// An absolute path; empty: it is none.
std::string path_in_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value == '/' ? value : "";
}

std::string home() {
  if (auto named = path_in_environment("HOME"); !named.empty()) return named;
  // What starts a server need not say where its user is at home.
  const PasswordEntry entry;
  const auto* const found = entry.found();
  return found != nullptr && found->pw_dir != nullptr && *found->pw_dir == '/' ? found->pw_dir : "";
}

}  // namespace

std::string user_directory(const UserDirectory& wanted) {
  if (const auto above = path_in_environment(wanted.variable); !above.empty()) {
    return above + "/walvault";
  }
  if (::geteuid() == 0) return wanted.of_root;
  const auto at = home();
  return at.empty() ? "" : at + "/" + wanted.below_home + "/walvault";
}

std::string user_name() {
  const PasswordEntry entry;
  return entry.found() != nullptr ? entry.found()->pw_name : std::to_string(::geteuid());
}

}  // namespace walvault
