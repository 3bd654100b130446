// Where a directory really lies, and whether two of them share anything: two names may lead
// to one directory, by links, by bind mounts, by two mounts of one volume.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace walvault {

enum class Overlap {
  none,
  same,
  inside,  // the first lies in the second
  around,  // the second lies in the first
};

// Of a path that need not exist, or may not be looked at: what can be looked at of it is
// followed, the rest is as it is written. Not kept up to date.
class Place {
 public:
  // `path` is absolute. May wait for as long as a file system that is away lets it.
  explicit Place(const std::string& path);

  // By real path, by device and inode of what is above each of them, and by what
  // mounts show of file systems.
  friend Overlap overlap(const Place& first, const Place& second);

  [[nodiscard]] const std::string& real_path() const { return real_path_; }
  // That of the path itself and of all that is above it, as far as they exist.
  [[nodiscard]] const std::vector<std::string>& real_paths_above() const { return above_; }

 private:
  [[nodiscard]] bool lies_in(const Place& other) const;

  std::string real_path_;
  std::vector<std::string> above_;            // upwards; with the path itself
  std::vector<std::pair<dev_t, ino_t>> ids_;  // of these
  bool exists_ = false;
  std::string in_file_system_;  // "8:1 /path/in/it"; empty: not known
};

[[nodiscard]] Overlap overlap(const Place& first, const Place& second);

}  // namespace walvault
