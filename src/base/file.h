// File descriptors that close themselves, and system calls that either do all
// of what was asked or throw Error{unavailable} naming the path.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace walvault {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release();
  // Another one of the same file. Error{unavailable}.
  [[nodiscard]] FileDescriptor copy() const;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC. `open_file` throws when it fails; `find_file` gives
// nullopt when there is nothing of that name.
[[nodiscard]] FileDescriptor open_file(const std::string& path, int flags, mode_t mode = 0600);
[[nodiscard]] std::optional<FileDescriptor> find_file(const std::string& path, int flags);

// What tells whether a file was written to, and all that a backup records of it.
struct FileAttributes {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // nanoseconds since 1970
  std::int64_t changed = 0;   // likewise
  std::uint32_t mode = 0;     // permission bits

  bool operator==(const FileAttributes&) const = default;
};

[[nodiscard]] FileAttributes attributes_in(const struct stat& status);
[[nodiscard]] FileAttributes attributes_of(const FileDescriptor& file, const std::string& path);

// stat(2) that follows links; nullopt when there is nothing.
[[nodiscard]] std::optional<struct stat> find_status(const std::string& path);

void write_all(const FileDescriptor& file, ByteView bytes, const std::string& path);
void write_all_at(const FileDescriptor& file, ByteView bytes, std::uint64_t offset,
                  const std::string& path);

// Reads until `buffer` is full or the file ends; returns the bytes read.
[[nodiscard]] std::size_t read_at(const FileDescriptor& file, std::span<std::uint8_t> buffer,
                                  std::uint64_t offset, const std::string& path);

// The whole file; Error{corrupt} when it is longer than `bytes_max`.
[[nodiscard]] Bytes read_file(const std::string& path, std::uint64_t bytes_max);

// fsync(2). After a failure the kernel may have dropped the dirty pages, so
// the caller must never trust the file again, only write a new one.
void sync_file(const FileDescriptor& file, const std::string& path);
void sync_directory(const std::string& path);

// syncfs(2) of the file system that `file` lies on; a failure is as final as that of sync_file.
void sync_file_system(const FileDescriptor& file, const std::string& path);

// Makes the name of `path`, which exists, durable: syncs the directory above it; where
// that may be searched and not read (mode 0711), the file system that holds both.
void sync_name(const std::string& path);

// Replaces `path` as a whole: written beside it, synced, renamed, the
// directory synced. A crash leaves the old content or the new.
void replace_file_durably(const std::string& path, ByteView content, mode_t mode);

// The directory that `path` lies in; "." for a bare name.
[[nodiscard]] std::string parent_directory(const std::string& path);

}  // namespace walvault
