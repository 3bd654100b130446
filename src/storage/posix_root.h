// The directories of a repository on a file system, reached from its root part by part and
// through no link: who may write into the repository must not lead a program of another user
// elsewhere.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace walvault {

// The directory of a key, empty for none, and its last part.
[[nodiscard]] std::pair<std::string_view, std::string> split_key(std::string_view key);

// Thread-safe.
class PosixRoot {
 public:
  static constexpr mode_t private_mode = 0700;

  // The directories from the root to one that is to be worked in, the root first.
  using Way = std::vector<FileDescriptor>;

  // `path`: absolute. `mode`: of directories; other than 0700, a group may read or write, that
  // of the root. Nothing is touched.
  PosixRoot(std::string path, mode_t mode) : path_(std::move(path)), mode_(mode) {}

  [[nodiscard]] const std::string& path() const { return path_; }

  // Makes the root, if it is missing, and its name durable.
  void make() const;

  // Error{unavailable} where the root is missing: every answer would be "absent" then, which a
  // restore must never take for the end of the WAL.
  void expect() const;

  // To the directory `relative`; nullopt: it is not there.
  [[nodiscard]] std::optional<Way> find_way(std::string_view relative) const;
  // The same, made where it is missing.
  [[nodiscard]] Way make_way(std::string_view relative) const;

  // Gives a file that was just made, for `shown`, the mode and the owner that files here have.
  void settle_file(const FileDescriptor& file, const std::string& shown) const;
  // The mode to make one with.
  static constexpr mode_t first_file_mode = 0600;

  // Whether a leftover is one that this user clears: in a repository of one user nobody else
  // leaves anything; with a group in it, its members do.
  [[nodiscard]] bool is_ours_to_clear(const struct stat& status) const;

 private:
  [[nodiscard]] FileDescriptor open() const;
  [[nodiscard]] std::optional<Way> walk(std::string_view relative, bool makes) const;
  // nullopt: it is gone again.
  [[nodiscard]] std::optional<FileDescriptor> make_directory(const FileDescriptor& above,
                                                             const std::string& name,
                                                             const std::string& shown) const;
  void give_to_owner(const FileDescriptor& made) const;

  std::string path_;
  mode_t mode_;
};

// Something is made and removed again and again.
[[nodiscard]] Error vanishing(const std::string& path);
// A name may be lost, and its content with it: other objects are tried so often.
inline constexpr int posix_tries_max = 8;

}  // namespace walvault
