// A file system that is soon full, for tests that run as root.
#pragma once

#include <sys/mount.h>
#include <sys/stat.h>

#include <string>

#include "base/error.h"

namespace walvault {

class SmallFileSystem {
 public:
  // `options` as of mount -t tmpfs -o, "size=8m".
  SmallFileSystem(std::string path, const std::string& options) : path_(std::move(path)) {
    if (::mkdir(path_.c_str(), 0777) != 0 ||
        ::mount("tmpfs", path_.c_str(), "tmpfs", 0, options.c_str()) != 0) {
      throw system_error("mount " + path_, errno);
    }
  }
  ~SmallFileSystem() { (void)::umount2(path_.c_str(), MNT_DETACH); }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  void make_read_only() const {
    if (::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      throw system_error("remount " + path_, errno);
    }
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace walvault
