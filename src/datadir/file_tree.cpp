#include "datadir/file_tree.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cerrno>

#include "base/error.h"
#include "base/file.h"

namespace walvault {

namespace fs = boost::filesystem;

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

void remove_tree(const std::string& path) {
  boost::system::error_code failure;
  fs::remove_all(path, failure);
  if (failure) throw system_error("remove \"" + path + "\"", failure.value());
}

}  // namespace walvault
