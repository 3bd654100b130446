// Names, sizes and removal of what lies below a directory; links are not followed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace walvault {

// DIRECTORY/NAME.
[[nodiscard]] std::string joined(const std::string& directory, const std::string& name);

// The names in a directory, ascending; empty for one that is missing.
[[nodiscard]] std::vector<std::string> names_in(const std::string& path);

// Bytes of the files below a directory.
[[nodiscard]] std::uint64_t bytes_below(const std::string& path);

// Free bytes of the file system that `path` is or will be on.
[[nodiscard]] std::uint64_t free_bytes_at(const std::string& path);

// Makes a directory, those above it too.
void make_directory_tree(const std::string& path, mode_t mode);

// Removes a file, a link or a whole directory.
void remove_tree(const std::string& path);

}  // namespace walvault
