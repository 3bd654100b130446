#include "storage/posix_root.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/directory.h"
#include "base/error.h"

namespace walvault {
namespace {

constexpr mode_t file_bits = 0666;

// Whoever's umask it is; a group that is let in is that of the directory above.
void set_directory_mode(const FileDescriptor& directory, mode_t mode, const std::string& shown) {
  if (mode == PosixRoot::private_mode) return;
  struct stat status {};
  if (::fstat(directory.get(), &status) == 0 && (status.st_mode & 07777) == (mode | S_ISGID)) {
    return;
  }
  if (::fchmod(directory.get(), mode | S_ISGID) != 0) {
    throw system_error("set the mode of \"" + shown + "\"", errno);
  }
}

}  // namespace

Error vanishing(const std::string& path) {
  return Error(ErrorKind::unavailable, "\"" + path + "\" is made and removed again and again")
      .transient();
}

std::pair<std::string_view, std::string> split_key(std::string_view key) {
  const auto slash = key.find_last_of('/');
  if (slash == std::string_view::npos) return {{}, std::string(key)};
  return {key.substr(0, slash), std::string(key.substr(slash + 1))};
}

void PosixRoot::make() const {
  if (::mkdir(path_.c_str(), private_mode) != 0 && errno != EEXIST) {
    throw system_error("make the directory \"" + path_ + "\"", errno);
  }
  const auto root = open();
  set_directory_mode(root, mode_, path_);
  sync_file(root, path_);
  sync_name(path_);
}

void PosixRoot::expect() const {
  const auto status = find_status(path_);
  if (status && S_ISDIR(status->st_mode)) return;
  throw Error(ErrorKind::unavailable, "the repository directory \"" + path_ + "\" does not exist",
              {},
              "Check the path and that its file system is mounted. A new repository is made by: "
              "walvault init");
}

FileDescriptor PosixRoot::open() const {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return FileDescriptor(fd);
  const int failure = errno;
  expect();
  throw system_error("open \"" + path_ + "\"", failure);
}

std::optional<PosixRoot::Way> PosixRoot::walk(std::string_view relative, bool makes) const {
  Way way;
  way.push_back(open());
  auto shown = path_;
  while (!relative.empty()) {
    const auto slash = std::min(relative.find('/'), relative.size());
    const std::string name(relative.substr(0, slash));
    relative.remove_prefix(std::min(slash + 1, relative.size()));
    shown.append("/").append(name);
    auto next = find_directory_at(way.back(), name, shown);
    if (!next && !makes) return std::nullopt;
    // Another run may remove one that is empty.
    for (int tried = 1; !next; ++tried) {
      if (tried == posix_tries_max) throw vanishing(shown);
      next = make_directory(way.back(), name, shown);
    }
    way.push_back(std::move(*next));
  }
  return way;
}

std::optional<PosixRoot::Way> PosixRoot::find_way(std::string_view relative) const {
  return walk(relative, false);
}

PosixRoot::Way PosixRoot::make_way(std::string_view relative) const {
  return std::move(*walk(relative, true));
}

std::optional<FileDescriptor> PosixRoot::make_directory(const FileDescriptor& above,
                                                        const std::string& name,
                                                        const std::string& shown) const {
  const bool is_new = ::mkdirat(above.get(), name.c_str(), private_mode) == 0;
  if (!is_new && errno != EEXIST && errno != ENOENT) {
    throw system_error("make the directory \"" + shown + "\"", errno);
  }
  auto made = find_directory_at(above, name, shown);
  if (!is_new || !made) return made;
  set_directory_mode(*made, mode_, shown);
  give_to_owner(*made);
  return made;
}

// What root makes in a repository of someone else is to be theirs, or their next backup fails.
// A file system that gives nothing away (root is nobody there) decides itself.
void PosixRoot::give_to_owner(const FileDescriptor& made) const {
  if (::geteuid() != 0) return;
  const auto owner = find_status(path_);
  if (owner && owner->st_uid != 0) (void)!::fchown(made.get(), owner->st_uid, owner->st_gid);
}

void PosixRoot::settle_file(const FileDescriptor& file, const std::string& shown) const {
  if (mode_ != private_mode && ::fchmod(file.get(), mode_ & file_bits) != 0) {
    throw system_error("set the mode of \"" + shown + "\"", errno);
  }
  give_to_owner(file);
}

bool PosixRoot::is_ours_to_clear(const struct stat& status) const {
  if (status.st_uid == ::geteuid() || mode_ != private_mode) return true;
  const auto owner = find_status(path_);
  return owner && owner->st_uid == status.st_uid;
}

}  // namespace walvault
