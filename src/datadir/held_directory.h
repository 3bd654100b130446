// A directory that a restore writes into: opened once, held, and one restore's at a time.
//
// A path is looked up anew by each call, and may lead elsewhere meanwhile: beneath a file system
// that was unmounted, or into what somebody put there. Whoever works in a held directory uses
// below() instead of its path, and asks at the end whether the path still leads to it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace walvault {

// Whose the files are that root makes.
struct FileOwner {
  uid_t user = 0;
  gid_t group = 0;

  bool operator==(const FileOwner&) const = default;
};

// The lock is a flock(2) on the directory's own descriptor, so that it leaves no trace and ends
// with the process, however that ends. On NFS the server keeps it, or every host its own: see its
// mount options. Where a file system has no locks, nothing is locked and nobody refused.
class HeldDirectory {
 public:
  // Nothing is held.
  HeldDirectory() = default;

  // Of a directory that exists. Error{conflict} when another process holds it.
  explicit HeldDirectory(std::string path);

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(directory_); }

  [[nodiscard]] const std::string& path() const { return path_; }

  // A path that leads to this very directory as long as it is held, by way of /proc. Where there
  // is no /proc it is the path.
  [[nodiscard]] std::string below() const;

  // Error{unavailable} where the path leads to another directory by now, or to none.
  void expect_in_place() const;

  void give_to(const std::optional<FileOwner>& owner) const;

  // Everything that was written to its file system since it was opened, and its name.
  // Error{unavailable}, also where it is not in place.
  void sync() const;
  [[nodiscard]] std::uint64_t device() const;

  // The same error, with the path where it says below().
  [[nodiscard]] Error in_words(const Error& error) const;

 private:
  std::string path_;
  FileDescriptor directory_;
};

// Whom files at `path` are to belong to, where root makes them: whom it belongs to, else the
// nearest directory above it that is there. nullopt: this is not root, who alone has a choice.
// Error{conflict} where all of that is root's, as whom no server starts.
[[nodiscard]] std::optional<FileOwner> owner_for(const std::string& path);

// Gives `path` itself, a link included, to them. Error{unavailable}.
void give_to(const std::optional<FileOwner>& owner, const std::string& path);

// Makes a directory of theirs, those above it too; what is there stays as it is.
void make_directory_tree_of(const std::optional<FileOwner>& owner, const std::string& path,
                            mode_t mode = 0700);

}  // namespace walvault
