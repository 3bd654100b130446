// Directories of walvault's own on this machine, by whose they are.
#pragma once

#include <string>

namespace walvault {

struct UserDirectory {
  const char* variable;    // of the environment, that names the directory above: "XDG_CACHE_HOME"
  const char* of_root;     // used as it is
  const char* below_home;  // ".cache"
};

// An absolute path: $VARIABLE/walvault, else that of root, else HOME/BELOW/walvault; empty where
// there is no home.
[[nodiscard]] std::string user_directory(const UserDirectory& wanted);

// Of the user whom this program works as; its number where it has no name.
[[nodiscard]] std::string user_name();

}  // namespace walvault
