#include "storage/posix_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

constexpr std::string_view temporary_root = "tmp";

std::string joined(const std::string& directory, const std::string& name) {
  return directory + "/" + name;
}

bool is_old(const struct stat& status, Timestamp before) {
  return Timestamp(std::chrono::seconds(status.st_mtime)) < before;
}

bool is_same_file(const struct stat& first, const struct stat& second) {
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Error no_file(const std::string& path) {
  return {ErrorKind::corrupt, "\"" + path + "\" is not a file",
          "Something else has the name of an object.", "Remove it."};
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
    : root_(std::move(root), mode),
      temporary_directory_(std::string(temporary_root) + "/" + to_hex(writer)) {}

PosixStorage::~PosixStorage() {
  if (!temporary_directory_made_) return;
  // Empty unless something failed; then gc removes it later.
  try {
    const auto [above, name] = split_key(temporary_directory_);
    const auto way = root_.find_way(above);
    if (way) ::unlinkat(way->back().get(), name.c_str(), AT_REMOVEDIR);
  } catch (const Error&) {
    return;
  }
}

void PosixStorage::prepare() {
  root_.make();
  const auto claims = [&](const Temporary& probe, const Temporary& claimed) {
    return claim_name(probe, claimed.directory, claimed.name, joined(root_.path(), claimed.name)) ==
           Claim::made;
  };
  const auto probe = write_temporary(ObjectContent{as_bytes("probe")});
  const Temporary claimed(root_.make_way(temporary_directory_).back().copy(),
                          probe.name + ".claimed");
  const bool first = claims(probe, claimed);
  const auto second_probe = write_temporary(ObjectContent{as_bytes("probe")});
  if (!first || claims(second_probe, claimed)) {
    throw Error(ErrorKind::unavailable,
                "the file system of \"" + root_.path() + "\" cannot create a name exclusively",
                "Neither link() nor renameat2(RENAME_NOREPLACE) refuses a name that is taken.",
                "Put the repository on another file system.");
  }
}

std::string PosixStorage::path_of(std::string_view key) const {
  check_key(key);
  return root_.path() + "/" + std::string(key);
}

PosixStorage::Temporary PosixStorage::write_temporary(const ObjectContent& content) {
  // A gc may have removed the directory of a run that wrote nothing for days.
  temporary_directory_made_ = true;
  auto way = root_.make_way(temporary_directory_);
  const auto name = std::to_string(temporaries_++);
  const auto shown = root_.path() + "/" + temporary_directory_ + "/" + name;
  const int fd =
      ::openat(way.back().get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               PosixRoot::first_file_mode);
  if (fd < 0) throw system_error("open \"" + shown + "\"", errno);
  const FileDescriptor file(fd);
  Temporary temporary(std::move(way.back()), name);
  root_.settle_file(file, shown);
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
  root_.expect_writable();
  const auto temporary = write_temporary(content);
  for (int tried = 0; tried < posix_tries_max; ++tried) {
    const auto way = root_.make_way(directory);
    switch (claim_name(temporary, way.back(), name, path)) {
      case Claim::made: expect_made(way, directory, name, path); return true;
      case Claim::taken:
        if (make_existing_durable(way, directory, name, path)) return false;
        break;
      case Claim::directory_gone: break;
    }
  }
  throw vanishing(path);
}

// Makes a name durable that was just given. The directories that are held may have been moved
// away meanwhile.
void PosixStorage::expect_made(const PosixRoot::Way& way, std::string_view directory,
                               const std::string& name, const std::string& path) {
  const auto made = find_status_at(way.back(), name);
  make_name_durable(way, directory);
  const auto found = find_status(path);
  if (made && found && is_same_file(*made, *found)) return;
  throw Error(ErrorKind::unavailable, "\"" + path + "\" is not where it was put",
              "Something moved or removed it, or a directory above it.", "Try again.");
}

bool PosixStorage::make_existing_durable(const PosixRoot::Way& way, std::string_view directory,
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
void PosixStorage::make_name_durable(const PosixRoot::Way& way, std::string_view directory) {
  auto path = root_.path() + "/" + std::string(directory);
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
  const auto file = root_.find_file(std::string(key), O_RDONLY | O_NONBLOCK);
  if (!file) {
    root_.expect();
    return std::nullopt;
  }
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) throw system_error("look at \"" + path + "\"", errno);
  if (S_ISDIR(status.st_mode)) return std::nullopt;  // a part of other keys
  if (!S_ISREG(status.st_mode)) throw no_file(path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto begin = std::min(range.offset, size);
  Bytes bytes(std::min(range.length, size - begin));
  bytes.resize(read_at(*file, bytes, begin, path));
  return bytes;
}

std::optional<std::uint64_t> PosixStorage::find_size(std::string_view key) {
  check_key(key);
  const auto status = root_.find_status(std::string(key));
  if (!status) {
    root_.expect();
    return std::nullopt;
  }
  if (S_ISDIR(status->st_mode)) return std::nullopt;  // a part of other keys
  return static_cast<std::uint64_t>(status->st_size);
}

// nullopt: nothing lies there.
std::optional<FileDescriptor> PosixStorage::find_listed(std::string_view prefix) const {
  auto directory =
      root_.find_file(prefix.empty() ? "." : std::string(prefix), O_RDONLY | O_DIRECTORY);
  if (!directory) root_.expect();
  return directory;
}

std::vector<std::string> PosixStorage::list_names(std::string_view prefix) {
  const auto directory = find_listed(prefix);
  if (!directory) return {};
  auto names = names_at(*directory, root_.path() + "/" + std::string(prefix));
  // What cannot be part of a key is not ours: lost+found, .snapshot, .nfs....
  std::erase_if(names, [&](const std::string& name) {
    return !is_key_part(name) || (prefix.empty() && name == temporary_root);
  });
  std::ranges::sort(names);
  return names;
}

void PosixStorage::list(std::string_view prefix,
                        const std::function<void(const ObjectInfo&)>& each) {
  const auto slash = prefix.rfind('/');
  const auto directory = slash == std::string_view::npos ? 0 : slash + 1;
  list_directory(prefix.substr(0, directory), prefix.substr(directory), each);
}

// `prefix`: whole parts. `begin`: of the names there.
void PosixStorage::list_directory(std::string_view prefix, std::string_view begin,
                                  const std::function<void(const ObjectInfo&)>& each) {
  // Ascending order of whole keys is not that of names: "a-b" sorts before
  // "a/x" but after "a". Comparing directories as "name/" sets that right.
  std::vector<ObjectInfo> entries;
  const auto names = list_names(prefix);
  const auto path = root_.path() + "/" + std::string(prefix);
  const auto directory = find_listed(prefix);
  if (!directory) return;  // removed since
  for (const auto& name : names) {
    if (!name.starts_with(begin)) continue;
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
      list_directory(entry.key, {}, each);
    } else {
      each(entry);
    }
  }
}

// An object has its name only once its content is synced, so names are what is left to sync; the
// file systems as well, because what a failed fsync left undone a later one need not do. The
// root's was opened before anything was relied on: an error since then is reported to it.
void PosixStorage::settle(const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  std::set<std::string_view> directories;
  for (const auto& key : keys) {
    check_key(key);
    directories.insert(split_key(key).first);
  }
  std::map<std::uint64_t, FileDescriptor> file_systems;
  const auto add = [&](FileDescriptor&& file) {
    file_systems.try_emplace(attributes_of(file, root_.path()).device, std::move(file));
  };
  add(root_.held().copy());
  for (const auto directory : directories) {
    // What is gone is relied on by nobody.
    auto way = root_.find_way(directory);
    if (!way) continue;
    make_name_durable(*way, directory);
    add(std::move(way->back()));
  }
  for (const auto& [device, each] : file_systems) sync_file_system(each, root_.path());
  // They are where they are looked for.
  root_.expect();
}

// The name leads to the old bytes or to the new ones, whenever the machine stops: of two who
// repair one object at once the later rename wins, and both put bytes that are right.
Replaced PosixStorage::replace_damaged(std::string_view key, const ObjectContent& content,
                                       const IsWhole& is_whole) {
  const auto path = path_of(key);
  const auto [directory, name] = split_key(key);
  const auto there = find(key, whole_object);
  if (!there) return Replaced::absent;
  if (is_whole(*there)) return Replaced::is_whole;
  auto temporary = write_temporary(content);
  const auto way = root_.make_way(directory);
  if (::renameat(temporary.directory.get(), temporary.name.c_str(), way.back().get(),
                 name.c_str()) != 0) {
    throw system_error("replace \"" + path + "\"", errno);
  }
  // Whoever's it is by now.
  for (int tried = 0; tried < posix_tries_max; ++tried) {
    if (make_existing_durable(way, directory, name, path)) return Replaced::replaced;
  }
  throw vanishing(path);
}

std::uint64_t PosixStorage::remove_leftovers_of(const FileDescriptor& directory,
                                                const std::string& shown, Timestamp before) const {
  std::uint64_t bytes = 0;
  for (const auto& name : names_at(directory, shown)) {
    const auto status = find_status_at(directory, name);
    if (!status || !S_ISREG(status->st_mode) || !is_old(*status, before) ||
        !root_.is_ours_to_clear(*status) || ::unlinkat(directory.get(), name.c_str(), 0) != 0) {
      continue;
    }
    // With a second name it is an object, whose writer died behind its link().
    if (status->st_nlink == 1) bytes += static_cast<std::uint64_t>(status->st_size);
  }
  return bytes;
}

std::uint64_t PosixStorage::remove_leftovers(Timestamp before) {
  const auto way = root_.find_way(temporary_root);
  if (!way) return 0;
  const auto& temporaries = way->back();
  const auto path = root_.path() + "/" + std::string(temporary_root);
  std::uint64_t bytes = 0;
  for (const auto& name : names_at(temporaries, path)) {
    // What is no directory, a link above all, is nothing that a run left.
    const auto status = find_status_at(temporaries, name);
    if (!status || !S_ISDIR(status->st_mode) || !root_.is_ours_to_clear(*status)) continue;
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
    const auto way = root_.find_way(directory);
    if (!way) continue;
    const auto path = root_.path() + (directory.empty() ? "" : "/") + directory;
    for (const auto& name : names) (void)unlink_at(way->back(), name, joined(path, name));
    sync_file(way->back(), path);
  }
}

}  // namespace walvault
