// One restore at a time into a directory.
#pragma once

#include <string>

#include "base/file.h"

namespace walvault {

// flock(2) on the directory's own descriptor, so that it leaves no trace and ends with the
// process, however that ends. On NFS the server keeps it, or every host its own: see its
// mount options. Where a file system has no locks, nothing is held and nobody refused.
class DirectoryLock {
 public:
  // Nothing is held.
  DirectoryLock() = default;

  // Of a directory that exists. Error{conflict} when another process holds it.
  explicit DirectoryLock(const std::string& path);

  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(directory_); }

 private:
  FileDescriptor directory_;
};

}  // namespace walvault
