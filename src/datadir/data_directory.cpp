#include "datadir/data_directory.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "datadir/running_server.h"
#include "postgres/control_file.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

// A file, a link or a whole directory.
void remove_all(const std::string& path) {
  boost::system::error_code failure;
  fs::remove_all(path, failure);
  if (failure) throw system_error("remove \"" + path + "\"", failure.value());
}

void remove_content(const std::string& path) {
  for (const auto& name : names_in(path)) {
    if (name != "lost+found") remove_all(joined(path, name));
  }
}

Error not_vacant(const std::string& path, const std::string& what, const std::string& name) {
  return {ErrorKind::conflict, what + " \"" + path + "\" is not empty",
          "It holds for example \"" + name + "\".", "Name a directory that is missing or empty."};
}

// What PG_VERSION says: 15. Something that no name begins with when it is not
// there.
std::string version_in(const std::string& data_directory) {
  const auto path = data_directory + "/PG_VERSION";
  if (!find_status(path)) return "/";
  const auto content = read_file(path, 64);
  auto text = std::string(as_text(content));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

std::string joined(const std::string& directory, const std::string& name) {
  return directory + "/" + name;
}

std::vector<std::string> names_in(const std::string& path) {
  if (!find_status(path)) return {};
  boost::system::error_code failure;
  fs::directory_iterator it(path, failure);
  // It went in the meantime.
  if (failure == boost::system::errc::no_such_file_or_directory) return {};
  if (failure) throw system_error("list \"" + path + "\"", failure.value());
  std::vector<std::string> names;
  for (; it != fs::directory_iterator(); it.increment(failure)) {
    if (failure) throw system_error("list \"" + path + "\"", failure.value());
    names.push_back(it->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> tablespaces_in(const std::string& data_directory) {
  std::vector<std::string> found;
  const auto links = data_directory + "/pg_tblspc";
  for (const auto& name : names_in(links)) {
    boost::system::error_code failure;
    const auto target = fs::read_symlink(joined(links, name), failure);
    if (!failure && target.is_absolute()) found.push_back(target.string());
  }
  return found;
}

bool is_data_directory(const std::string& path) {
  return ::access((path + "/PG_VERSION").c_str(), F_OK) == 0 &&
         ::access((path + "/global").c_str(), F_OK) == 0;
}

bool is_tablespace_version(std::string_view name) {
  if (!name.starts_with("PG_")) return false;
  name.remove_prefix(3);
  const auto border = name.find('_');
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return border != std::string_view::npos && is_number(name.substr(0, border)) &&
         is_number(name.substr(border + 1));
}

std::optional<std::string> current_data_directory() {
  std::array<char, PATH_MAX> current{};
  if (::getcwd(current.data(), current.size()) == nullptr) return std::nullopt;
  const std::string directory = current.data();
  if (directory == "/" || !find_status(std::string(control_file_path)) ||
      !find_status("PG_VERSION")) {
    return std::nullopt;
  }
  return directory;
}

std::uint64_t bytes_below(const std::string& path) {
  std::uint64_t sum = 0;
  for (const auto& name : names_in(path)) {
    const auto inner = joined(path, name);
    struct stat status {};
    if (name == "lost+found" || ::lstat(inner.c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) sum += bytes_below(inner);
    if (S_ISREG(status.st_mode)) sum += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return sum;
}

void remove_control_file(const std::string& path) {
  const auto control = path + "/" + std::string(control_file_path);
  if (!find_status(control)) return;
  if (::unlink(control.c_str()) != 0) throw system_error("remove \"" + control + "\"", errno);
  sync_directory(path + "/global");
}

void remove_what_does_not_belong(
    const std::string& path, int major,
    const std::vector<std::pair<std::uint32_t, std::string>>& tablespaces,
    const std::function<bool(const std::string&)>& belongs) {
  const std::function<void(const std::string&, const std::string&)> look_into =
      [&](const std::string& relative, const std::string& absolute) {
        for (const auto& name : names_in(absolute)) {
          const auto inner = joined(absolute, name);
          const auto inner_relative = relative.empty() ? name : joined(relative, name);
          // A file system of its own comes with it.
          if ((relative.empty() || relative == "pg_wal") && name == "lost+found") continue;
          const bool is_link = fs::is_symlink(inner);
          if (is_link && relative == "pg_tblspc") {
            const bool stays = std::ranges::any_of(tablespaces, [&](const auto& tablespace) {
              return std::to_string(tablespace.first) == name;
            });
            if (!stays) remove_all(inner);
          } else if (!belongs(inner_relative)) {
            remove_all(inner);
          } else if (fs::is_directory(inner) && (!is_link || inner_relative == "pg_wal")) {
            look_into(inner_relative, inner);
          }
        }
      };
  look_into("", path);
  const auto own_prefix = "PG_" + std::to_string(major) + "_";
  for (const auto& [oid, location] : tablespaces) {
    for (const auto& name : names_in(location)) {
      if (!name.starts_with(own_prefix)) continue;
      const auto relative = "pg_tblspc/" + std::to_string(oid) + "/" + name;
      const auto inner = joined(location, name);
      if (belongs(relative)) {
        look_into(relative, inner);
      } else {
        remove_all(inner);
      }
    }
  }
}

void remove_other_tablespaces(const std::string& path, int major,
                              const std::vector<std::string>& kept) {
  const auto own_prefix = "PG_" + std::to_string(major) + "_";
  for (const auto& location : tablespaces_in(path)) {
    if (std::ranges::find(kept, location) != kept.end()) continue;
    for (const auto& name : names_in(location)) {
      if (name.starts_with(own_prefix)) remove_all(joined(location, name));
    }
  }
}

void unlink_wal(const std::string& path) {
  const auto wal = path + "/pg_wal";
  if (!fs::is_symlink(wal)) return;
  if (::unlink(wal.c_str()) != 0) throw system_error("remove \"" + wal + "\"", errno);
}

void clear_data_directory(const std::string& path, std::optional<int> tablespaces_of_major) {
  remove_control_file(path);
  // Of a tablespace only this cluster's own: beside PG_15_202209061 there may
  // be the directory that pg_upgrade made for another major. An interrupted
  // restore may have left no PG_VERSION.
  const auto own_prefix = "PG_" + version_in(path) + "_";
  const auto new_prefix = "PG_" + std::to_string(tablespaces_of_major.value_or(0)) + "_";
  const auto tablespaces = tablespaces_of_major ? tablespaces_in(path) : std::vector<std::string>{};
  for (const auto& tablespace : tablespaces) {
    for (const auto& name : names_in(tablespace)) {
      if (!name.starts_with(own_prefix) && !name.starts_with(new_prefix)) continue;
      remove_all(joined(tablespace, name));
    }
  }
  for (const auto& name : names_in(path)) {
    const auto inner = joined(path, name);
    if (name == "lost+found") continue;
    if (name == "pg_wal" && fs::is_symlink(inner) && fs::is_directory(inner)) {
      remove_content(inner);
      continue;
    }
    remove_all(inner);
  }
}

void expect_vacant(const std::string& path, const std::string& what) {
  if (!path.starts_with('/')) {
    throw Error(ErrorKind::usage, what + " \"" + path + "\" is not an absolute path", {},
                "Write it from the root on, starting with '/'.");
  }
  const auto status = find_status(path);
  if (!status) return;
  if (!S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::conflict, what + " \"" + path + "\" is not a directory");
  }
  expect_stopped(path);
  for (const auto& name : names_in(path)) {
    if (name == "lost+found") continue;  // a file system of its own comes with it
    throw not_vacant(path, what, name);
  }
}

std::uint64_t free_bytes_at(const std::string& path) {
  auto existing = path;
  while (!find_status(existing)) existing = parent_directory(existing);
  struct statvfs status {};
  if (::statvfs(existing.c_str(), &status) != 0) {
    throw system_error("look at the file system of \"" + existing + "\"", errno);
  }
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

void make_directory_tree(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return;
  if (errno != ENOENT) throw system_error("make the directory \"" + path + "\"", errno);
  make_directory_tree(parent_directory(path), 0755);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    throw system_error("make the directory \"" + path + "\"", errno);
  }
}

DataDirectoryWriter::DataDirectoryWriter(std::string root, Existing existing)
    : root_(std::move(root)), existing_(existing) {
  make_directory_tree(root_, 0700);
  set_root_mode(0700);
}

std::string DataDirectoryWriter::path_of(const std::string& relative) const {
  return root_ + "/" + relative;
}

void DataDirectoryWriter::make_way(const std::string& path, mode_t kind) const {
  struct stat status {};
  if (existing_ == Existing::none || ::lstat(path.c_str(), &status) != 0) return;
  // A file of several names may be somebody's copy.
  const bool is_shared = S_ISREG(status.st_mode) && status.st_nlink > 1;
  if ((status.st_mode & S_IFMT) != kind || is_shared) remove_all(path);
}

void DataDirectoryWriter::make_directory(const std::string& relative, mode_t mode) {
  const auto path = path_of(relative);
  const bool is_linked_wal = relative == "pg_wal" && fs::is_symlink(path) && fs::is_directory(path);
  if (!is_linked_wal) make_way(path, S_IFDIR);
  make_directory_tree(path, 0700);
  set_mode(path, mode, 0700);
}

void DataDirectoryWriter::set_root_mode(mode_t mode) {
  if (::chmod(root_.c_str(), mode) != 0) {
    throw system_error("set the mode of \"" + root_ + "\"", errno);
  }
}

void DataDirectoryWriter::make_symlink(const std::string& relative, const std::string& target) {
  const auto path = path_of(relative);
  if (existing_ == Existing::none) {
    if (::symlink(target.c_str(), path.c_str()) == 0) return;
    throw system_error("make the link \"" + path + "\"", errno);
  }
  // One link takes the other's place: an interruption leaves either.
  make_way(path, S_IFLNK);
  const auto made = path + ".walvault";
  ::unlink(made.c_str());
  if (::symlink(target.c_str(), made.c_str()) != 0 || ::rename(made.c_str(), path.c_str()) != 0) {
    throw system_error("make the link \"" + path + "\"", errno);
  }
}

std::uint64_t DataDirectoryWriter::make_file(const std::string& relative, std::uint64_t size,
                                             mode_t mode) {
  const auto path = path_of(relative);
  make_way(path, S_IFREG);
  std::uint64_t before = 0;
  if (existing_ == Existing::reuse) {
    const auto status = find_status(path);
    if (status) {
      before = static_cast<std::uint64_t>(status->st_size);
      // Its owner may not have been allowed to write it.
      (void)::chmod(path.c_str(), 0600);
    }
  }
  const int exclusive = existing_ == Existing::none ? O_EXCL : O_NOFOLLOW;
  const auto file = open_file(path, O_WRONLY | O_CREAT | exclusive, 0600);
  set_mode(path, mode, 0600);
  if (size != before && ::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    throw system_error("make \"" + path + "\"", errno);
  }
  return std::min(before, size);
}

void DataDirectoryWriter::set_mode(const std::string& path, mode_t mode, mode_t needed) {
  // Exactly the mode it had, whatever the umask; a file that its owner may not
  // write (a key of mode 0400) gets it when all is written.
  if ((mode & needed) != needed) later_modes_.emplace_back(path, mode);
  if (::chmod(path.c_str(), mode | needed) != 0) {
    throw system_error("set the mode of \"" + path + "\"", errno);
  }
}

void DataDirectoryWriter::apply_modes() {
  // Inner before outer: a directory may lock its content away.
  for (auto it = later_modes_.rbegin(); it != later_modes_.rend(); ++it) {
    if (::chmod(it->first.c_str(), it->second) != 0) {
      throw system_error("set the mode of \"" + it->first + "\"", errno);
    }
  }
  later_modes_.clear();
}

FileDescriptor DataDirectoryWriter::open_for_writing(const std::string& relative) const {
  return open_file(path_of(relative), O_RDWR);
}

void DataDirectoryWriter::write_file(const std::string& relative, ByteView content, mode_t mode) {
  (void)make_file(relative, 0, mode);
  write_all(open_for_writing(relative), content, path_of(relative));
}

void DataDirectoryWriter::sync_all(const std::vector<std::string>& directories) {
  // One syncfs a file system does what an fsync of each of its files would
  // (and reports write errors since Linux 5.8), in a fraction of the time for
  // many small files.
  std::set<dev_t> synced;
  for (const auto& directory : directories) {
    const auto file = open_file(directory, O_RDONLY | O_DIRECTORY);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) {
      throw system_error("look at \"" + directory + "\"", errno);
    }
    if (!synced.insert(status.st_dev).second) continue;
    sync_file_system(file, directory);
    sync_name(directory);
  }
}

}  // namespace walvault
