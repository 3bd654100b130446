// A second copy of each root: a root is small, and all of a backup is out of reach without it.
// It also tells that there was a backup where nothing else would.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "repository/repository.h"

namespace walvault {

// root-copies/main/ID of backups/main/ID/1, and back.
[[nodiscard]] std::string root_copy_key(std::string_view root_key);
[[nodiscard]] std::string root_key_of_copy(std::string_view copy_key);

// Behind the root's commit, which does not depend on it: that it cannot be put is no error.
// False: it was not.
bool put_root_copy(const Repository& repository, const std::string& root_key, ByteView root);

// The bytes of the root; nullopt: there is no copy, or it is damaged.
[[nodiscard]] std::optional<Bytes> find_root_copy(const Repository& repository,
                                                  const std::string& root_key);

}  // namespace walvault
