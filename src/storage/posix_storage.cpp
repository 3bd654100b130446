#include "storage/posix_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <cstdio>

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
void set_directory_mode(const std::string& path, mode_t mode) {
  if (mode == PosixStorage::private_mode) return;
  const auto directory = open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  struct stat status {};
  if (::fstat(directory.get(), &status) == 0 && (status.st_mode & 07777) == (mode | S_ISGID)) {
    return;
  }
  if (::fchmod(directory.get(), mode | S_ISGID) != 0) {
    throw system_error("set the mode of \"" + path + "\"", errno);
  }
}

// Makes `path` and the directories above it below `root` that are missing.
void make_directories(const std::string& path, const std::string& root, mode_t mode) {
  if (path.size() <= root.size()) return;
  const auto make = [&] {
    if (::mkdir(path.c_str(), PosixStorage::private_mode) != 0) return errno;
    set_directory_mode(path, mode);
    // A file system that gives nothing away (root is nobody there) decides itself.
    const auto owner = owner_to_give_to(root);
    if (owner) (void)!::lchown(path.c_str(), owner->st_uid, owner->st_gid);
    return 0;
  };
  auto failure = make();
  if (failure == ENOENT) {
    make_directories(parent_directory(path), root, mode);
    failure = make();
  }
  if (failure != 0 && failure != EEXIST) {
    throw system_error("make the directory \"" + path + "\"", failure);
  }
}

// Unlinks a path at the end of a scope; a failure only leaves garbage.
class Temporary {
 public:
  explicit Temporary(std::string path) : path_(std::move(path)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

PosixStorage::PosixStorage(std::string root, RandomId writer, mode_t mode)
    : root_(std::move(root)),
      mode_(mode),
      temporary_directory_(root_ + "/" + std::string(temporary_root) + "/" + to_hex(writer)) {}

PosixStorage::~PosixStorage() {
  // Empty unless something failed; then gc removes it later.
  if (temporary_directory_made_) ::rmdir(temporary_directory_.c_str());
}

void PosixStorage::prepare() {
  if (::mkdir(root_.c_str(), PosixStorage::private_mode) != 0 && errno != EEXIST) {
    throw system_error("make the directory \"" + root_ + "\"", errno);
  }
  set_directory_mode(root_, mode_);
  sync_directory(root_);
  sync_directory(parent_directory(root_));
  const Temporary probe(new_temporary());
  const Temporary claimed(new_temporary());
  write_temporary(probe.path(), ObjectContent{as_bytes("probe")});
  const bool first = claim_name(probe.path(), claimed.path());
  const Temporary second_probe(new_temporary());
  write_temporary(second_probe.path(), ObjectContent{as_bytes("probe")});
  if (!first || claim_name(second_probe.path(), claimed.path())) {
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

std::string PosixStorage::new_temporary() {
  temporary_directory_made_ = true;
  return temporary_directory_ + "/" + std::to_string(temporaries_++);
}

void PosixStorage::write_temporary(const std::string& path, const ObjectContent& content) const {
  // A gc may have removed the directory of a run that wrote nothing for days.
  make_directories(temporary_directory_, root_, mode_);
  const auto file =
      open_file(path, O_WRONLY | O_CREAT | O_EXCL, PosixStorage::private_mode & file_bits);
  if (mode_ != PosixStorage::private_mode && ::fchmod(file.get(), mode_ & file_bits) != 0) {
    throw system_error("set the mode of \"" + path + "\"", errno);
  }
  const auto owner = owner_to_give_to(root_);
  if (owner) (void)!::fchown(file.get(), owner->st_uid, owner->st_gid);
  for (const auto part : content.parts()) write_all(file, part, path);
  sync_file(file, path);
}

// Gives the temporary its final name; false when that name is taken.
bool PosixStorage::claim_name(const std::string& temporary, const std::string& path) const {
  if (::link(temporary.c_str(), path.c_str()) == 0) return true;
  const int failure = errno;
  if (failure == EEXIST) {
    // A network file system may have done the link and lost its answer: then
    // our temporary has two names.
    struct stat status {};
    return ::stat(temporary.c_str(), &status) == 0 && status.st_nlink == 2;
  }
  if (failure == EPERM || failure == EOPNOTSUPP || failure == ENOSYS || failure == EMLINK) {
    // A file system without hard links.
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
      return true;
    }
    if (errno == EEXIST) return false;
  }
  throw system_error("give \"" + path + "\" its name", failure);
}

bool PosixStorage::put_if_absent(std::string_view key, const ObjectContent& content) {
  const auto path = path_of(key);
  expect_root();
  const Temporary temporary(new_temporary());
  write_temporary(temporary.path(), content);

  const auto directory = parent_directory(path);
  make_directories(directory, root_, mode_);
  const bool written = claim_name(temporary.path(), path);
  if (!written) sync_file(open_file(path, O_RDONLY), path);
  try {
    make_name_durable(directory);
  } catch (...) {
    // The name may not survive; whoever tries again must not find it and take
    // it for durable.
    if (written) ::unlink(path.c_str());
    throw;
  }
  return written;
}

// Syncs the directory that just got a name, and all above it: not only those
// that this run made, because another run may have made one an instant ago
// and not have synced it yet. Each of those above once a run is enough.
void PosixStorage::make_name_durable(const std::string& directory) {
  sync_directory(directory);
  {
    const std::lock_guard lock(mutex_);
    if (directory == root_ || durable_directories_.contains(directory)) return;
  }
  for (auto above = parent_directory(directory);; above = parent_directory(above)) {
    sync_directory(above);
    if (above.size() <= root_.size()) break;
  }
  const std::lock_guard lock(mutex_);
  durable_directories_.insert(directory);
}

std::optional<Bytes> PosixStorage::find(std::string_view key, ByteRange range) {
  const auto path = path_of(key);
  const auto file = find_file(path, O_RDONLY);
  if (!file) {
    expect_root();
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) throw system_error("look at \"" + path + "\"", errno);
  if (S_ISDIR(status.st_mode)) return std::nullopt;  // a part of other keys
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
  if (!directory) return;  // removed since
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

std::uint64_t PosixStorage::remove_leftovers(Timestamp before) {
  // Empty where there is none, or it went meanwhile.
  const auto paths_in = [](const std::string& directory) {
    std::vector<std::string> paths;
    boost::system::error_code failure;
    for (fs::directory_iterator it(directory, failure); !failure && it != fs::directory_iterator();
         it.increment(failure)) {
      paths.push_back(it->path().string());
    }
    return paths;
  };
  const auto is_old = [&](const struct stat& status) {
    return Timestamp(std::chrono::seconds(status.st_mtime)) < before;
  };
  std::uint64_t bytes = 0;
  for (const auto& directory : paths_in(root_ + "/" + std::string(temporary_root))) {
    for (const auto& path : paths_in(directory)) {
      const auto status = find_status(path);
      if (!status || !is_old(*status) || ::unlink(path.c_str()) != 0) continue;
      // With a second name it is an object, whose writer died behind its link().
      if (status->st_nlink == 1) bytes += static_cast<std::uint64_t>(status->st_size);
    }
    // Fails while anything is in it.
    const auto status = find_status(directory);
    if (status && is_old(*status)) ::rmdir(directory.c_str());
  }
  return bytes;
}

void PosixStorage::remove(const std::vector<std::string>& keys) {
  std::vector<std::string> directories;
  for (const auto& key : keys) {
    const auto path = path_of(key);
    if (::unlink(path.c_str()) != 0) {
      if (errno != ENOENT) throw system_error("remove \"" + path + "\"", errno);
      expect_root();
    }
    directories.push_back(parent_directory(path));
  }
  std::ranges::sort(directories);
  directories.erase(std::unique(directories.begin(), directories.end()), directories.end());
  for (const auto& directory : directories) {
    if (find_status(directory)) sync_directory(directory);
  }
}

}  // namespace walvault
