#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"

namespace walvault {

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

FileDescriptor FileDescriptor::copy() const {
  const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw system_error("copy a file descriptor", errno);
  return FileDescriptor(fd);
}

FileDescriptor open_file(const std::string& path, int flags, mode_t mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw system_error("open \"" + path + "\"", errno);
  return FileDescriptor(fd);
}

std::optional<FileDescriptor> find_file(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd >= 0) return FileDescriptor(fd);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error("open \"" + path + "\"", errno);
}

FileAttributes attributes_in(const struct stat& status) {
  const auto nanoseconds = [](const struct timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<std::uint64_t>(status.st_size),
          .modified = nanoseconds(status.st_mtim),
          .changed = nanoseconds(status.st_ctim),
          .mode = status.st_mode & 07777u};
}

FileAttributes attributes_of(const FileDescriptor& file, const std::string& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw system_error("look at \"" + path + "\"", errno);
  return attributes_in(status);
}

std::optional<struct stat> find_status(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw system_error("look at \"" + path + "\"", errno);
}

void write_all(const FileDescriptor& file, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    const auto written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("write \"" + path + "\"", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void write_all_at(const FileDescriptor& file, ByteView bytes, std::uint64_t offset,
                  const std::string& path) {
  while (!bytes.empty()) {
    const auto written =
        ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("write \"" + path + "\"", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

std::size_t read_at(const FileDescriptor& file, std::span<std::uint8_t> buffer,
                    std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const auto count = ::pread(file.get(), buffer.data() + done, buffer.size() - done,
                               static_cast<off_t>(offset + done));
    if (count < 0) {
      if (errno == EINTR) continue;
      throw system_error("read \"" + path + "\"", errno);
    }
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Bytes read_file(const std::string& path, std::uint64_t bytes_max) {
  const auto file = open_file(path, O_RDONLY);
  Bytes content;
  // Grows by what is read, so that a file which lies about its size (procfs,
  // one that is being appended to) is read all the same.
  while (true) {
    const auto before = content.size();
    const auto step = std::max<std::size_t>(before, 16384);
    content.resize(before + step);
    const auto count = read_at(file, std::span(content).subspan(before), before, path);
    content.resize(before + count);
    if (content.size() > bytes_max) {
      throw Error(ErrorKind::corrupt, "\"" + path + "\" is too large",
                  "At most " + std::to_string(bytes_max) + " bytes are expected.");
    }
    if (count < step) return content;
  }
}

namespace {

// Never transient: a second one would succeed and prove nothing.
Error failed_sync(const std::string& what, int number) {
  const auto error = system_error(what, number);
  return {error.kind(), error.message(), error.detail(), error.hint()};
}

}  // namespace

void sync_file(const FileDescriptor& file, const std::string& path) {
  if (::fsync(file.get()) != 0) throw failed_sync("sync \"" + path + "\"", errno);
}

void sync_file_system(const FileDescriptor& file, const std::string& path) {
  if (::syncfs(file.get()) != 0) {
    throw failed_sync("sync the file system of \"" + path + "\"", errno);
  }
}

void sync_directory(const std::string& path) {
  sync_file(open_file(path, O_RDONLY | O_DIRECTORY), path);
}

void sync_name(const std::string& path) {
  const auto above = parent_directory(path);
  const int fd = ::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return sync_file(FileDescriptor(fd), above);
  if (errno != EACCES) throw system_error("open \"" + above + "\"", errno);
  const auto status = find_status(path);
  const auto status_above = find_status(above);
  // The place of another file system has had its name before.
  if (!status || !status_above || status->st_dev != status_above->st_dev) return;
  sync_file_system(open_file(path, O_RDONLY), path);
}

void replace_file_durably(const std::string& path, ByteView content, mode_t mode) {
  const auto temporary = path + ".walvault-new";
  const auto file = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(file, content, temporary);
  sync_file(file, temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    throw system_error("rename \"" + temporary + "\" to \"" + path + "\"", errno);
  }
  sync_directory(parent_directory(path));
}

std::string parent_directory(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace walvault
