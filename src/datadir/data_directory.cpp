#include "datadir/data_directory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <climits>

#include "base/error.h"
#include "base/file.h"
#include "datadir/file_tree.h"
#include "datadir/running_server.h"
#include "postgres/control_file.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

void remove_content(const std::string& path) {
  for (const auto& name : names_in(path)) {
    if (name != "lost+found") remove_tree(joined(path, name));
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

bool DataDirectory::is_there() const { return find_status(path_).has_value(); }

std::vector<std::string> DataDirectory::tablespaces() const {
  std::vector<std::string> found;
  const auto links = path_ + "/pg_tblspc";
  for (const auto& name : names_in(links)) {
    boost::system::error_code failure;
    const auto target = fs::read_symlink(joined(links, name), failure);
    if (!failure && target.is_absolute()) found.push_back(target.string());
  }
  return found;
}

bool DataDirectory::is_of_a_cluster() const {
  return ::access((path_ + "/PG_VERSION").c_str(), F_OK) == 0 &&
         ::access((path_ + "/global").c_str(), F_OK) == 0;
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

void DataDirectory::remove_control_file() const {
  const auto control = path_ + "/" + std::string(control_file_path);
  if (!find_status(control)) return;
  if (::unlink(control.c_str()) != 0) throw system_error("remove \"" + control + "\"", errno);
  sync_directory(path_ + "/global");
}

void DataDirectory::remove_what_does_not_belong(
    int major, const std::vector<std::pair<std::uint32_t, std::string>>& tablespaces,
    const std::function<bool(const std::string&)>& belongs) const {
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
            if (!stays) remove_tree(inner);
          } else if (!belongs(inner_relative)) {
            remove_tree(inner);
          } else if (fs::is_directory(inner) && (!is_link || inner_relative == "pg_wal")) {
            look_into(inner_relative, inner);
          }
        }
      };
  look_into("", path_);
  const auto own_prefix = "PG_" + std::to_string(major) + "_";
  for (const auto& [oid, location] : tablespaces) {
    for (const auto& name : names_in(location)) {
      if (!name.starts_with(own_prefix)) continue;
      const auto relative = "pg_tblspc/" + std::to_string(oid) + "/" + name;
      const auto inner = joined(location, name);
      if (belongs(relative)) {
        look_into(relative, inner);
      } else {
        remove_tree(inner);
      }
    }
  }
}

void DataDirectory::remove_other_tablespaces(int major,
                                             const std::vector<std::string>& kept) const {
  const auto own_prefix = "PG_" + std::to_string(major) + "_";
  for (const auto& location : tablespaces()) {
    if (std::ranges::find(kept, location) != kept.end()) continue;
    for (const auto& name : names_in(location)) {
      if (name.starts_with(own_prefix)) remove_tree(joined(location, name));
    }
  }
}

std::optional<std::string> DataDirectory::linked_wal() const {
  boost::system::error_code failure;
  const auto target = fs::read_symlink(path_ + "/pg_wal", failure);
  if (failure || !target.is_absolute() || !fs::is_directory(target, failure)) return std::nullopt;
  return target.string();
}

void DataDirectory::unlink_wal() const {
  const auto wal = path_ + "/pg_wal";
  if (!fs::is_symlink(wal)) return;
  if (::unlink(wal.c_str()) != 0) throw system_error("remove \"" + wal + "\"", errno);
}

void DataDirectory::clear(std::optional<int> tablespaces_of_major) const {
  remove_control_file();
  // Of a tablespace only this cluster's own: beside PG_15_202209061 there may
  // be the directory that pg_upgrade made for another major. An interrupted
  // restore may have left no PG_VERSION.
  const auto own_prefix = "PG_" + version_in(path_) + "_";
  const auto new_prefix = "PG_" + std::to_string(tablespaces_of_major.value_or(0)) + "_";
  const auto linked = tablespaces_of_major ? tablespaces() : std::vector<std::string>{};
  for (const auto& tablespace : linked) {
    for (const auto& name : names_in(tablespace)) {
      if (!name.starts_with(own_prefix) && !name.starts_with(new_prefix)) continue;
      remove_tree(joined(tablespace, name));
    }
  }
  for (const auto& name : names_in(path_)) {
    const auto inner = joined(path_, name);
    if (name == "lost+found") continue;
    if (name == "pg_wal" && fs::is_symlink(inner) && fs::is_directory(inner)) {
      remove_content(inner);
      continue;
    }
    remove_tree(inner);
  }
}

void DataDirectory::expect_stopped() const { walvault::expect_stopped(path_); }

HeldDirectory DataDirectory::make_and_hold(const std::optional<FileOwner>& owner) const {
  const ActingAs acting(owner);
  make_directory_tree(path_, 0700);
  return HeldDirectory(path_);
}

void DataDirectory::expect_vacant(const std::string& what) const {
  if (!path_.starts_with('/')) {
    throw Error(ErrorKind::usage, what + " \"" + path_ + "\" is not an absolute path", {},
                "Write it from the root on, starting with '/'.");
  }
  const auto status = find_status(path_);
  if (!status) return;
  if (!S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::conflict, what + " \"" + path_ + "\" is not a directory");
  }
  expect_stopped();
  for (const auto& name : names_in(path_)) {
    if (name == "lost+found") continue;  // a file system of its own comes with it
    throw not_vacant(path_, what, name);
  }
}

}  // namespace walvault
