#include "datadir/data_directory_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <set>

#include "base/error.h"
#include "datadir/file_tree.h"

namespace walvault {

namespace fs = boost::filesystem;

DataDirectoryWriter::DataDirectoryWriter(std::string root, Existing existing,
                                         std::optional<FileOwner> owner)
    : root_(std::move(root)), existing_(existing), owner_(owner) {
  const ActingAs acting(owner_);
  make_directory_tree(root_, 0700);
  set_root_mode(0700);
}

std::string DataDirectoryWriter::path_of(const std::string& relative) const {
  for (const auto& [link, directory] : redirections_) {
    if (relative.starts_with(link)) return directory + "/" + relative.substr(link.size());
  }
  return root_ + "/" + relative;
}

void DataDirectoryWriter::redirect(std::string link, std::string directory) {
  redirections_.emplace_back(std::move(link) + "/", std::move(directory));
}

void DataDirectoryWriter::make_parents(const std::string& relative) const {
  const ActingAs acting(owner_);
  make_directory_tree(parent_directory(path_of(relative)), 0700);
}

void DataDirectoryWriter::make_way(const std::string& path, mode_t kind) const {
  struct stat status {};
  if (existing_ == Existing::none || ::lstat(path.c_str(), &status) != 0) return;
  // A file of several names may be somebody's copy.
  const bool is_shared = S_ISREG(status.st_mode) && status.st_nlink > 1;
  if ((status.st_mode & S_IFMT) != kind || is_shared) remove_tree(path);
}

void DataDirectoryWriter::make_directory(const std::string& relative, mode_t mode) {
  const ActingAs acting(owner_);
  const auto path = path_of(relative);
  const bool is_linked_wal = relative == "pg_wal" && fs::is_symlink(path) && fs::is_directory(path);
  if (!is_linked_wal) make_way(path, S_IFDIR);
  make_directory_tree(path, 0700);
  set_mode(path, mode, 0700);
}

void DataDirectoryWriter::set_root_mode(mode_t mode) {
  const ActingAs acting(owner_);
  if (::chmod(root_.c_str(), mode) != 0) {
    throw system_error("set the mode of \"" + root_ + "\"", errno);
  }
}

void DataDirectoryWriter::make_symlink(const std::string& relative, const std::string& target) {
  const ActingAs acting(owner_);
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
  const ActingAs acting(owner_);
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
  const ActingAs acting(owner_);
  // Inner before outer: a directory may lock its content away.
  for (auto it = later_modes_.rbegin(); it != later_modes_.rend(); ++it) {
    if (::chmod(it->first.c_str(), it->second) != 0) {
      throw system_error("set the mode of \"" + it->first + "\"", errno);
    }
  }
  later_modes_.clear();
}

FileDescriptor DataDirectoryWriter::open_for_writing(const std::string& relative) const {
  const ActingAs acting(owner_);
  return open_file(path_of(relative), O_RDWR);
}

void DataDirectoryWriter::write_file(const std::string& relative, ByteView content, mode_t mode) {
  (void)make_file(relative, 0, mode);
  write_all(open_for_writing(relative), content, path_of(relative));
}

void DataDirectoryWriter::replace_file(const std::string& relative, ByteView content,
                                       mode_t mode) const {
  const ActingAs acting(owner_);
  replace_file_durably(path_of(relative), content, mode);
}

// One syncfs a file system does what an fsync of each of its files would (and reports write errors
// since Linux 5.8), in a fraction of the time for many small files. It reports what failed since
// the descriptor was opened that it is asked through: so that is one from before the first write.
void sync_all(const std::vector<const HeldDirectory*>& directories) {
  std::set<std::uint64_t> synced;
  for (const auto* const directory : directories) {
    if (synced.insert(directory->device()).second) {
      directory->sync();
    } else {
      directory->expect_in_place();
      sync_name(directory->path());
    }
  }
}

}  // namespace walvault
