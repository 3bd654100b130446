#include "base/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/error.h"

namespace walvault {
namespace {

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

}  // namespace

std::optional<FileDescriptor> find_directory_at(const FileDescriptor& above,
                                                const std::string& name, const std::string& shown) {
  const int fd = ::openat(above.get(), name.c_str(), directory_flags);
  if (fd >= 0) return FileDescriptor(fd);
  const int failure = errno;
  if (failure == ENOENT) return std::nullopt;
  const auto status = find_status_at(above, name);
  if (status && S_ISLNK(status->st_mode)) {
    throw Error(
        ErrorKind::conflict, "\"" + shown + "\" is a link",
        "walvault writes and deletes through no link: it might lead anywhere.",
        "Remove the link if it was not you who made it. To use another disk, move the whole "
        "repository there: its own directory may be a link.");
  }
  throw system_error("open the directory \"" + shown + "\"", failure);
}

bool unlink_at(const FileDescriptor& directory, const std::string& name, const std::string& shown) {
  if (::unlinkat(directory.get(), name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  throw system_error("remove \"" + shown + "\"", errno);
}

std::optional<struct stat> find_status_at(const FileDescriptor& directory,
                                          const std::string& name) {
  struct stat status {};
  if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status;
  if (errno == ENOENT) return std::nullopt;
  throw system_error("look at \"" + name + "\"", errno);
}

std::vector<std::string> names_at(const FileDescriptor& directory, const std::string& shown) {
  // One of its own, read from the start.
  const int copy = ::openat(directory.get(), ".", directory_flags);
  if (copy < 0 && errno == ENOENT) return {};  // removed since it was opened
  if (copy < 0) throw system_error("list \"" + shown + "\"", errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(copy), &::closedir);
  if (!list) {
    ::close(copy);
    throw system_error("list \"" + shown + "\"", errno);
  }
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const auto* const entry = ::readdir(list.get());
    if (entry == nullptr) {
      if (errno != 0) throw system_error("list \"" + shown + "\"", errno);
      return names;
    }
    std::string name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
}

std::optional<FileDescriptor> find_file_at(const FileDescriptor& directory, const std::string& name,
                                           int flags) {
  const int fd =
      ::openat(directory.get(), name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (fd >= 0) return FileDescriptor(fd);
  if (errno == ENOENT) return std::nullopt;
  throw system_error("open \"" + name + "\"", errno);
}

bool is_own_file(const FileDescriptor& file) {
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
         status.st_uid == ::geteuid() && status.st_nlink == 1;
}

std::optional<FileDescriptor> find_own_directory(int above, const std::string& name, bool makes,
                                                 bool mends) {
  int fd = ::openat(above, name.c_str(), directory_flags);
  if (fd < 0 && makes && errno == ENOENT) {
    (void)::mkdirat(above, name.c_str(), 0700);
    fd = ::openat(above, name.c_str(), directory_flags);
  }
  if (fd < 0) return std::nullopt;
  FileDescriptor directory(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0 || status.st_uid != ::geteuid() || (status.st_mode & 02) != 0) {
    return std::nullopt;
  }
  if ((status.st_mode & 020) != 0 && (!mends || ::fchmod(fd, 0700) != 0)) return std::nullopt;
  return directory;
}

}  // namespace walvault
