#include "storage/posix_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <cstdio>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

constexpr mode_t file_bits = 0666;
constexpr std::string_view temporary_root = "tmp";

// What root makes in a repository of someone else is to be theirs, or their next
// backup fails; nullopt: nobody need be given anything.
std::optional<struct stat> owner_to_give_to(const std::string& root) {
  if (::geteuid() != 0) return std::nullopt;
  auto status = find_status(root);
  return status && status->st_uid != 0 ? status : std::nullopt;
}

// Whoever's umask it is; a group that is let in is that of the directory above.
void set_directory_mode(const FileDescriptor& directory, mode_t mode, const std::string& shown) {
  if (mode == PosixStorage::private_mode) return;
  struct stat status {};
  if (::fstat(directory.get(), &status) == 0 && (status.st_mode & 07777) == (mode | S_ISGID)) {
    return;
  }
  if (::fchmod(directory.get(), mode | S_ISGID) != 0) {
    throw system_error("set the mode of \"" + shown + "\"", errno);
  }
}

std::string joined(const std::string& directory, const std::string& name) {
  return directory + "/" + name;
}

bool is_old(const struct stat& status, Timestamp before) {
  return Timestamp(std::chrono::seconds(status.st_mtime)) < before;
}

// A name may be lost, and its content with it: other objects are tried so often.
constexpr int tries_max = 8;

bool is_same_file(const struct stat& first, const struct stat& second) {
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Error no_file(const std::string& path) {
  return {ErrorKind::corrupt, "\"" + path + "\" is no file",
          "Something else has the name of an object.", "Remove it."};
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

}  // namespace

// Unlinked at the end of a scope; a failure only leaves garbage.
struct PosixStorage::Temporary {
  Temporary(FileDescriptor in, std::string called)
      : directory(std::move(in)), name(std::move(called)) {}
  Temporary(Temporary&&) = default;
  Temporary& operator=(Temporary&&) = delete;
  ~Temporary() {
    if (directory) ::unlinkat(directory.get(), name.c_str(), 0);
  }

  FileDescriptor directory;
  std::string name;
};

PosixStorage::PosixStorage(std::string root, RandomId writer, mode_t mode)
    : root_(std::move(root)),
      mode_(mode),
      temporary_directory_(std::string(temporary_root) + "/" + to_hex(writer)) {}

PosixStorage::~PosixStorage() {
  if (!temporary_directory_made_) return;
  // Empty unless something failed; then gc removes it later.
  try {
    const auto [above, name] = split_key(temporary_directory_);
    const auto way = find_way(above);
    if (way) ::unlinkat(way->back().get(), name.c_str(), AT_REMOVEDIR);
  } catch (const Error&) {
    return;
  }
}

void PosixStorage::prepare() {
  if (::mkdir(root_.c_str(), PosixStorage::private_mode) != 0 && errno != EEXIST) {
    throw system_error("make the directory \"" + root_ + "\"", errno);
  }
  const auto root = open_root();
  set_directory_mode(root, mode_, root_);
  sync_file(root, root_);
  sync_name(root_);
  const auto claims = [&](const Temporary& probe, const Temporary& claimed) {
    return claim_name(probe, claimed.directory, claimed.name, joined(root_, claimed.name)) ==
           Claim::made;
  };
  const auto probe = write_temporary(ObjectContent{as_bytes("probe")});
  const Temporary claimed(make_way(temporary_directory_).back().copy(), probe.name + ".claimed");
  const bool first = claims(probe, claimed);
  const auto second_probe = write_temporary(ObjectContent{as_bytes("probe")});
  if (!first || claims(second_probe, claimed)) {
    throw Error(ErrorKind::unavailable,
                "the file system of \"" + root_ + "\" cannot create a name exclusively",
                "Neither link() nor renameat2(RENAME_NOREPLACE) refuses a name that is taken.",
                "Put the repository on another file system.");
  }
}

std::string PosixStorage::path_of(std::string_view key) const {
  check_key(key);
  return root_ + "/" + std::string(key);
}

// The root is made once, by init. Where it is missing (a file system that is
// not mounted, a wrong path) every answer would be "absent", which a restore
// must never take for the end of the WAL.
void PosixStorage::expect_root() const {
  const auto status = find_status(root_);
  if (status && S_ISDIR(status->st_mode)) return;
  throw Error(ErrorKind::unavailable, "the repository directory \"" + root_ + "\" does not exist",
              {},
              "Check the path and that its file system is mounted. A new repository is made by: "
              "walvault init");
}

FileDescriptor PosixStorage::open_root() const {
  const int fd = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return FileDescriptor(fd);
  const int failure = errno;
  expect_root();
  throw system_error("open \"" + root_ + "\"", failure);
}

std::optional<PosixStorage::Way> PosixStorage::walk(std::string_view relative, bool makes) const {
  Way way;
  way.push_back(open_root());
  auto shown = root_;
  while (!relative.empty()) {
    const auto slash = std::min(relative.find('/'), relative.size());
    const std::string name(relative.substr(0, slash));
    relative.remove_prefix(std::min(slash + 1, relative.size()));
    shown.append("/").append(name);
    auto next = find_directory_at(way.back(), name, shown);
    if (!next && !makes) return std::nullopt;
    // Another run may remove one that is empty.
    for (int tried = 1; !next; ++tried) {
      if (tried == tries_max) throw vanishing(shown);
      next = make_directory(way.back(), name, shown);
    }
    way.push_back(std::move(*next));
  }
  return way;
}

std::optional<PosixStorage::Way> PosixStorage::find_way(std::string_view relative) const {
  return walk(relative, false);
}

PosixStorage::Way PosixStorage::make_way(std::string_view relative) const {
  return std::move(*walk(relative, true));
}

std::optional<FileDescriptor> PosixStorage::make_directory(const FileDescriptor& above,
                                                           const std::string& name,
                                                           const std::string& shown) const {
  const bool is_new = ::mkdirat(above.get(), name.c_str(), PosixStorage::private_mode) == 0;
  if (!is_new && errno != EEXIST && errno != ENOENT) {
    throw system_error("make the directory \"" + shown + "\"", errno);
  }
  auto made = find_directory_at(above, name, shown);
  if (!is_new || !made) return made;
  set_directory_mode(*made, mode_, shown);
  // A file system that gives nothing away (root is nobody there) decides itself.
  const auto owner = owner_to_give_to(root_);
  if (owner) (void)!::fchown(made->get(), owner->st_uid, owner->st_gid);
  return made;
}

PosixStorage::Temporary PosixStorage::write_temporary(const ObjectContent& content) {
  // A gc may have removed the directory of a run that wrote nothing for days.
  temporary_directory_made_ = true;
  auto way = make_way(temporary_directory_);
  const auto name = std::to_string(temporaries_++);
  const auto shown = root_ + "/" + temporary_directory_ + "/" + name;
  const int fd =
      ::openat(way.back().get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               PosixStorage::private_mode & file_bits);
  if (fd < 0) throw system_error("open \"" + shown + "\"", errno);
  const FileDescriptor file(fd);
  Temporary temporary(std::move(way.back()), name);
  if (mode_ != PosixStorage::private_mode && ::fchmod(file.get(), mode_ & file_bits) != 0) {
    throw system_error("set the mode of \"" + shown + "\"", errno);
  }
  const auto owner = owner_to_give_to(root_);
  if (owner) (void)!::fchown(file.get(), owner->st_uid, owner->st_gid);
  for (const auto part : content.parts()) write_all(file, part, shown);
  sync_file(file, shown);
  return temporary;
}

PosixStorage::Claim PosixStorage::claim_name(const Temporary& temporary,
                                             const FileDescriptor& directory,
                                             const std::string& name, const std::string& path) {
  const int from = temporary.directory.get();
  if (::linkat(from, temporary.name.c_str(), directory.get(), name.c_str(), 0) == 0) {
    return Claim::made;
  }
  const int failure = errno;
  if (failure == EEXIST) {
    // A network file system may have done the link and lost its answer: then the name is
    // our temporary's. A second name alone says nothing: somebody may keep links to all files.
    const auto own = find_status_at(temporary.directory, temporary.name);
    const auto named = find_status_at(directory, name);
    return own && named && is_same_file(*own, *named) ? Claim::made : Claim::taken;
  }
  if (failure == ENOENT) return Claim::directory_gone;
  if (failure == EPERM || failure == EOPNOTSUPP || failure == ENOSYS || failure == EMLINK) {
    // A file system without hard links.
    if (::renameat2(from, temporary.name.c_str(), directory.get(), name.c_str(),
                    RENAME_NOREPLACE) == 0) {
      return Claim::made;
    }
    if (errno == EEXIST) return Claim::taken;
    if (errno == ENOENT) return Claim::directory_gone;
  }
  throw system_error("give \"" + path + "\" its name", failure);
}

bool PosixStorage::put_if_absent(std::string_view key, const ObjectContent& content) {
  const auto path = path_of(key);
  const auto [directory, name] = split_key(key);
  expect_root();
  const auto temporary = write_temporary(content);
  for (int tried = 0; tried < tries_max; ++tried) {
    const auto way = make_way(directory);
    switch (claim_name(temporary, way.back(), name, path)) {
      case Claim::made: {
        const auto made = find_status_at(way.back(), name);
        make_name_durable(way, directory);
        // The directories that are held may have been moved away meanwhile.
        const auto found = find_status(path);
        if (made && found && is_same_file(*made, *found)) return true;
        throw Error(ErrorKind::unavailable, "\"" + path + "\" is not where it was put",
                    "Something moved or removed it, or a directory above it.", "Try again.");
      }
      case Claim::taken:
        if (make_existing_durable(way, directory, name, path)) return false;
        break;
      case Claim::directory_gone: break;
    }
  }
  throw vanishing(path);
}

bool PosixStorage::make_existing_durable(const Way& way, std::string_view directory,
                                         const std::string& name, const std::string& path) {
  const int fd =
      ::openat(way.back().get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return false;
  if (fd < 0) throw system_error("open \"" + path + "\"", errno);
  const FileDescriptor file(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw system_error("look at \"" + path + "\"", errno);
  if (!S_ISREG(status.st_mode)) throw no_file(path);
  sync_file(file, path);
  make_name_durable(way, directory);
  sync_file_system(file, path);
  const auto found = find_status(path);
  return found && is_same_file(status, *found);
}

// Syncs the directory that just got a name, and all above it: not only those
// that this run made, because another run may have made one an instant ago
// and not have synced it yet. Each of those above once a run is enough.
void PosixStorage::make_name_durable(const Way& way, std::string_view directory) {
  auto path = root_ + "/" + std::string(directory);
  sync_file(way.back(), path);
  struct stat status {};
  if (::fstat(way.back().get(), &status) != 0)
    throw system_error("look at \"" + path + "\"", errno);
  const std::pair known(std::string(directory), status.st_ino);
  {
    const std::lock_guard lock(mutex_);
    if (directory.empty() || durable_directories_.contains(known)) return;
  }
  for (auto above = way.rbegin() + 1; above != way.rend(); ++above) {
    path = parent_directory(path);
    sync_file(*above, path);
  }
  const std::lock_guard lock(mutex_);
  durable_directories_.insert(known);
}

std::optional<Bytes> PosixStorage::find(std::string_view key, ByteRange range) {
  const auto path = path_of(key);
  // Who opens a pipe that somebody put there would wait for ever.
  const auto file = find_file(path, O_RDONLY | O_NONBLOCK);
  if (!file) {
    expect_root();
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) throw system_error("look at \"" + path + "\"", errno);
  if (S_ISDIR(status.st_mode)) return std::nullopt;  // a part of other keys
  if (!S_ISREG(status.st_mode)) {
    throw no_file(path);
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto begin = std::min(range.offset, size);
  Bytes bytes(std::min(range.length, size - begin));
  bytes.resize(read_at(*file, bytes, begin, path));
  return bytes;
}

std::optional<std::uint64_t> PosixStorage::find_size(std::string_view key) {
  const auto status = find_status(path_of(key));
  if (!status) {
    expect_root();
    return std::nullopt;
  }
  if (S_ISDIR(status->st_mode)) return std::nullopt;  // a part of other keys
  return static_cast<std::uint64_t>(status->st_size);
}

std::vector<std::string> PosixStorage::list_names(std::string_view prefix) {
  const auto directory = root_ + "/" + std::string(prefix);
  std::vector<std::string> names;
  boost::system::error_code failure;
  fs::directory_iterator it(directory, failure);
  if (failure == boost::system::errc::no_such_file_or_directory) {
    expect_root();
    return names;
  }
  while (!failure && it != fs::directory_iterator()) {
    auto name = it->path().filename().string();
    // What cannot be part of a key is not ours: lost+found, .snapshot, .nfs....
    const bool ours = is_key_part(name) && !(prefix.empty() && name == temporary_root);
    if (ours) names.push_back(std::move(name));
    it.increment(failure);
  }
  if (failure) throw system_error("list \"" + directory + "\"", failure.value());
  std::ranges::sort(names);
  return names;
}

void PosixStorage::list(std::string_view prefix,
                        const std::function<void(const ObjectInfo&)>& each) {
  // Ascending order of whole keys is not that of names: "a-b" sorts before
  // "a/x" but after "a". Comparing directories as "name/" sets that right.
  std::vector<ObjectInfo> entries;
  const auto names = list_names(prefix);
  const auto path = root_ + "/" + std::string(prefix);
  const auto directory = find_file(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return expect_root();  // removed since
  for (const auto& name : names) {
    struct stat status {};
    // By its name alone: the way to it is long.
    if (::fstatat(directory->get(), name.c_str(), &status, 0) != 0) {
      if (errno == ENOENT) continue;  // removed since
      throw system_error(std::string("look at \"").append(path).append(name).append("\""), errno);
    }
    auto& entry = entries.emplace_back();
    entry.size = static_cast<std::uint64_t>(status.st_size);
    entry.key.reserve(prefix.size() + name.size() + 1);
    entry.key.append(prefix).append(name);
    if (S_ISDIR(status.st_mode)) entry.key.push_back('/');
  }
  std::ranges::sort(entries, {}, &ObjectInfo::key);
  for (const auto& entry : entries) {
    if (entry.key.ends_with('/')) {
      list(entry.key, each);
    } else {
      each(entry);
    }
  }
}

// In a repository of one user nobody else leaves anything; with a group in it, its members do.
bool PosixStorage::is_ours_to_clear(const struct stat& status) const {
  if (status.st_uid == ::geteuid() || mode_ != private_mode) return true;
  const auto owner = find_status(root_);
  return owner && owner->st_uid == status.st_uid;
}

std::uint64_t PosixStorage::remove_leftovers_of(const FileDescriptor& directory,
                                                const std::string& shown, Timestamp before) const {
  std::uint64_t bytes = 0;
  for (const auto& name : names_at(directory, shown)) {
    const auto status = find_status_at(directory, name);
    if (!status || !S_ISREG(status->st_mode) || !is_old(*status, before) ||
        !is_ours_to_clear(*status) || ::unlinkat(directory.get(), name.c_str(), 0) != 0) {
      continue;
    }
    // With a second name it is an object, whose writer died behind its link().
    if (status->st_nlink == 1) bytes += static_cast<std::uint64_t>(status->st_size);
  }
  return bytes;
}

std::uint64_t PosixStorage::remove_leftovers(Timestamp before) {
  const auto way = find_way(temporary_root);
  if (!way) return 0;
  const auto& temporaries = way->back();
  const auto path = root_ + "/" + std::string(temporary_root);
  std::uint64_t bytes = 0;
  for (const auto& name : names_at(temporaries, path)) {
    // What is no directory, a link above all, is nothing that a run left.
    const auto status = find_status_at(temporaries, name);
    if (!status || !S_ISDIR(status->st_mode) || !is_ours_to_clear(*status)) continue;
    const auto shown = joined(path, name);
    const auto directory = find_directory_at(temporaries, name, shown);
    if (!directory) continue;
    bytes += remove_leftovers_of(*directory, shown, before);
    // As it is now; fails while anything is in it.
    const auto now = find_status_at(temporaries, name);
    if (now && is_old(*now, before)) ::unlinkat(temporaries.get(), name.c_str(), AT_REMOVEDIR);
  }
  return bytes;
}

void PosixStorage::remove(const std::vector<std::string>& keys) {
  std::map<std::string, std::vector<std::string>, std::less<>> by_directory;
  for (const auto& key : keys) {
    check_key(key);
    const auto [directory, name] = split_key(key);
    by_directory[std::string(directory)].push_back(name);
  }
  for (const auto& [directory, names] : by_directory) {
    const auto way = find_way(directory);
    if (!way) continue;
    const auto path = root_ + (directory.empty() ? "" : "/") + directory;
    for (const auto& name : names) (void)unlink_at(way->back(), name, joined(path, name));
    sync_file(way->back(), path);
  }
}

}  // namespace walvault
