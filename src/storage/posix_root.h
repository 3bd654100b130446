// The directories of a repository on a file system, reached from its root part by part and
// through no link: who may write into the repository must not lead a program of another user
// elsewhere.
//
// The root is opened once and held: what the path leads to later, when the file system was
// unmounted and an older repository lies beneath, is another directory, and every operation that
// would be answered for by it fails.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <mutex>
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

  // Before something is written: the same, and where everybody may write to the root, unless its
  // file system makes modes up.
  void expect_writable() const;

  // The root itself. Error{unavailable} where there is none.
  [[nodiscard]] const FileDescriptor& held() const;

  // Error{unavailable} where the path leads to it no more, or to nothing: every answer would be
  // "absent" then, which a restore must never take for the end of the WAL.
  void expect() const;

  // Of what a key leads to, links on the way followed: reading goes where the operator's links
  // lead. nullopt: there is none.
  [[nodiscard]] std::optional<FileDescriptor> find_file(const std::string& relative,
                                                        int flags) const;
  [[nodiscard]] std::optional<struct stat> find_status(const std::string& relative) const;

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
  [[nodiscard]] struct stat status_of_root() const;
  [[nodiscard]] std::optional<Way> walk(std::string_view relative, bool makes) const;
  // nullopt: it is gone again.
  [[nodiscard]] std::optional<FileDescriptor> make_directory(const FileDescriptor& above,
                                                             const std::string& name,
                                                             const std::string& shown) const;
  void give_to_owner(const FileDescriptor& made) const;

  std::string path_;
  mode_t mode_;
  mutable std::mutex mutex_;
  mutable FileDescriptor held_;  // once opened, for good
};

// Why somebody else than its user may change what lies in a repository's directory, as a
// sentence; nullopt: nobody may, or only those whom `mode` lets in.
[[nodiscard]] std::optional<std::string> find_root_doubt(const std::string& path, mode_t mode);

// Something is made and removed again and again.
[[nodiscard]] Error vanishing(const std::string& path);
// A name may be lost, and its content with it: other objects are tried so often.
inline constexpr int posix_tries_max = 8;

}  // namespace walvault
