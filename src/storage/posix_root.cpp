#include "storage/posix_root.h"

#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

Error missing(const std::string& path) {
  return {ErrorKind::unavailable,
          "the repository directory \"" + path + "\" does not exist",
          {},
          "Check the path and that its file system is mounted. A new repository is made by: "
          "walvault init"};
}

// Whether owner and mode of a file may be others than they are shown to be: squashed on the way,
// or made up for a file system that has none.
bool makes_modes_up(const FileDescriptor& file) {
  constexpr std::array<std::uint32_t, 11> types{
      0x6969,      // NFS
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x517B,      // SMB
      0x65735546,  // FUSE
      0x01021997,  // 9P
      0x4d44,      // FAT
      0x2011BAB0,  // exFAT
      0x7366746e,  // NTFS
      0x786f4256,  // VirtualBox's shared folders
      0xbacbacbc,  // VMware's
  };
  struct statfs status {};
  return ::fstatfs(file.get(), &status) == 0 &&
         std::ranges::find(types, static_cast<std::uint32_t>(status.f_type)) != types.end();
}

}  // namespace

std::optional<std::string> find_root_doubt(const std::string& path, mode_t mode) {
  const auto status = find_status(path);
  if (!status) return std::nullopt;
  const auto shown = "\"" + path + "\"";
  if ((status->st_mode & S_IWOTH) != 0) {
    return "everybody may write to " + shown + ", as far as its file system tells";
  }
  if ((status->st_mode & S_IWGRP) != 0 && (mode & S_IWGRP) == 0) {
    return "a group may write to " + shown + ", and the configuration does not let it in";
  }
  const bool is_foreign = status->st_uid != ::geteuid() && status->st_uid != 0 && ::geteuid() != 0;
  if (is_foreign && (mode & S_IRGRP) == 0) {
    return shown + " belongs to another user (" + std::to_string(status->st_uid) + ")";
  }
  return std::nullopt;
}

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
  const auto& root = held();
  set_directory_mode(root, mode_, path_);
  sync_file(root, path_);
  sync_name(path_);
}

void PosixRoot::expect() const {
  const auto now = walvault::find_status(path_);
  if (!now || !S_ISDIR(now->st_mode)) throw missing(path_);
  const auto held = status_of_root();
  if (held.st_dev == now->st_dev && held.st_ino == now->st_ino) return;
  throw Error(ErrorKind::unavailable,
              "the repository directory \"" + path_ + "\" is another one than before",
              "Since this command began, a file system was mounted or unmounted there, or the "
              "directory was replaced.",
              "Check what is mounted there, and run the command again.");
}

void PosixRoot::expect_writable() const {
  expect();
  if ((status_of_root().st_mode & S_IWOTH) == 0 || makes_modes_up(held())) return;
  throw Error(ErrorKind::unavailable, "everybody may write to the repository \"" + path_ + "\"",
              "Any user of this machine could put another repository there. Nothing was written.",
              "chmod o-w " + path_);
}

const FileDescriptor& PosixRoot::held() const {
  const std::lock_guard lock(mutex_);
  if (held_) return held_;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int failure = errno;
  if (fd < 0 && (failure == ENOENT || failure == ENOTDIR)) throw missing(path_);
  if (fd < 0) throw system_error("open \"" + path_ + "\"", failure);
  held_ = FileDescriptor(fd);
  return held_;
}

struct stat PosixRoot::status_of_root() const {
  struct stat status {};
  if (::fstat(held().get(), &status) != 0) throw system_error("look at \"" + path_ + "\"", errno);
  return status;
}

std::optional<FileDescriptor> PosixRoot::find_file(const std::string& relative, int flags) const {
  const int fd = ::openat(held().get(), relative.c_str(), flags | O_CLOEXEC);
  if (fd >= 0) return FileDescriptor(fd);
  if (errno == ENOENT || (errno == ENOTDIR && (flags & O_DIRECTORY) == 0)) return std::nullopt;
  throw system_error("open \"" + path_ + "/" + relative + "\"", errno);
}

std::optional<struct stat> PosixRoot::find_status(const std::string& relative) const {
  struct stat status {};
  if (::fstatat(held().get(), relative.c_str(), &status, 0) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error("look at \"" + path_ + "/" + relative + "\"", errno);
}

std::optional<PosixRoot::Way> PosixRoot::walk(std::string_view relative, bool makes) const {
  Way way;
  way.push_back(held().copy());
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
  const auto owner = status_of_root();
  if (owner.st_uid != 0) (void)!::fchown(made.get(), owner.st_uid, owner.st_gid);
}

void PosixRoot::settle_file(const FileDescriptor& file, const std::string& shown) const {
  if (mode_ != private_mode && ::fchmod(file.get(), mode_ & file_bits) != 0) {
    throw system_error("set the mode of \"" + shown + "\"", errno);
  }
  give_to_owner(file);
}

bool PosixRoot::is_ours_to_clear(const struct stat& status) const {
  if (status.st_uid == ::geteuid() || mode_ != private_mode) return true;
  return status_of_root().st_uid == status.st_uid;
}

}  // namespace walvault
