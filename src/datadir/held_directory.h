// A directory that a restore writes into: opened once, held, and one restore's at a time.
//
// A path is looked up anew by each call, and may lead elsewhere meanwhile: beneath a file system
// that was unmounted, or into what somebody put there. Whoever works in a held directory uses
// below() instead of its path, and asks at the end whether the path still leads to it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

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

  [[nodiscard]] FileOwner owner() const;

  // Error{unavailable} where the path leads to another directory by now, or to none.
  void expect_in_place() const;

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

// Whose files at `path` are to be, where root makes them: the directory's owner, or that of the
// nearest one above it if it is not there. nullopt: this is not root, who alone has a choice.
// Error{conflict} where it is root's, as whom no server starts.
[[nodiscard]] std::optional<FileOwner> owner_for(const std::string& path);

// While it lives, this thread makes, opens and removes files as that user, with no more rights:
// whoever owns a directory that root works in must not lead root elsewhere by links. Descriptors
// that are open stay as they are. nullopt: nothing changes. Error{unavailable}.
class ActingAs {
 public:
  explicit ActingAs(const std::optional<FileOwner>& owner);
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ~ActingAs();

 private:
  bool is_other_ = false;
  FileOwner before_;
  std::vector<gid_t> groups_;
};

}  // namespace walvault
