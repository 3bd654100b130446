#include "datadir/held_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace walvault {
namespace {

// Not where a digit follows: that is another descriptor's.
std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    const auto behind = at + what.size();
    if (behind < text.size() && text[behind] >= '0' && text[behind] <= '9') {
      at = behind;
    } else {
      text.replace(at, what.size(), with);
      at += with.size();
    }
  }
  return text;
}

}  // namespace

HeldDirectory::HeldDirectory(std::string path)
    : path_(std::move(path)), directory_(open_file(path_, O_RDONLY | O_DIRECTORY)) {
  if (::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0) return;
  // Where a file system has no locks, a restore goes on without one.
  if (errno != EWOULDBLOCK) return;
  throw Error(ErrorKind::conflict, "another restore is writing into \"" + path_ + "\"",
              "It holds a lock on the directory, which ends with it.",
              "Wait until it has ended, or name another directory.");
}

std::string HeldDirectory::below() const {
  auto by_descriptor = "/proc/self/fd/" + std::to_string(directory_.get());
  return ::access(by_descriptor.c_str(), F_OK) == 0 ? by_descriptor : path_;
}

FileOwner HeldDirectory::owner() const {
  struct stat status {};
  if (::fstat(directory_.get(), &status) != 0) {
    throw system_error("look at \"" + path_ + "\"", errno);
  }
  return {status.st_uid, status.st_gid};
}

std::uint64_t HeldDirectory::device() const { return attributes_of(directory_, path_).device; }

void HeldDirectory::expect_in_place() const {
  const auto held = attributes_of(directory_, path_);
  const auto now = find_status(path_);
  if (now && now->st_dev == held.device && now->st_ino == held.inode) return;
  throw Error(ErrorKind::unavailable,
              "\"" + path_ + "\" is another directory than when the restore began",
              now ? "A file system was mounted or unmounted there, or the directory was replaced."
                  : "Nothing is there any more.",
              "Check what is mounted there, and restore again.");
}

void HeldDirectory::sync() const {
  sync_file_system(directory_, path_);
  expect_in_place();
  sync_name(path_);
}

Error HeldDirectory::in_words(const Error& error) const {
  const auto shown = [this](const std::string& text) {
    const auto hidden = below();
    return hidden == path_ ? text : replaced(text, hidden, path_);
  };
  return {error.kind(), shown(error.message()), shown(error.detail()), shown(error.hint())};
}

std::optional<FileOwner> owner_for(const std::string& path) {
  if (::geteuid() != 0) return std::nullopt;
  auto at = path;
  auto status = find_status(at);
  while (!status && at != "/" && at != ".") {
    at = parent_directory(at);
    status = find_status(at);
  }
  if (status && status->st_uid != 0) return FileOwner{status->st_uid, status->st_gid};
  throw Error(
      ErrorKind::conflict,
      "\"" + path + "\" would belong to root, as whom no PostgreSQL server starts",
      "A restore as root writes as the owner of the directory, or of the one above it if it "
      "is missing; here that is root: \"" +
          at + "\".",
      "Run it as the server's user: sudo -u postgres walvault restore ... Or make the "
      "directory first: install -d -o postgres -g postgres -m 700 " +
          path);
}

ActingAs::ActingAs(const std::optional<FileOwner>& owner) {
  if (!owner) return;
  groups_.resize(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  if (!groups_.empty() && ::getgroups(static_cast<int>(groups_.size()), groups_.data()) < 0) {
    throw system_error("look at this process's groups", errno);
  }
  // Of this thread alone, where glibc's functions would change all.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) throw system_error("give up groups", errno);
  before_.group = static_cast<gid_t>(::setfsgid(owner->group));
  before_.user = static_cast<uid_t>(::setfsuid(owner->user));
  is_other_ = true;
  constexpr auto none = static_cast<uid_t>(-1);  // changes nothing, and tells what it is
  if (static_cast<uid_t>(::setfsuid(none)) != owner->user ||
      static_cast<gid_t>(::setfsgid(none)) != owner->group) {
    throw Error(ErrorKind::unavailable,
                "this process cannot act as user " + std::to_string(owner->user), {},
                "Run it as that user.");
  }
}

ActingAs::~ActingAs() {
  if (!is_other_) return;
  ::setfsuid(before_.user);
  ::setfsgid(before_.group);
  (void)::syscall(SYS_setgroups, groups_.size(), groups_.data());
}

}  // namespace walvault
