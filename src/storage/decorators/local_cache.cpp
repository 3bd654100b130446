#include "storage/decorators/local_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <utility>

#include "base/directory.h"
#include "base/error.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr std::string_view magic = "walvault cache 1";
constexpr std::size_t content_bytes_max = 16u << 20;
constexpr std::size_t name_bytes_max = 2048;
constexpr std::size_t digits = 40;
constexpr std::string_view unfinished_mark = ".part-";
// A file's time says when it was last of use, to the hour.
constexpr std::int64_t use_seconds = 3600;
// What a process that was killed left behind is older.
constexpr std::int64_t unfinished_seconds = 3600;
constexpr unsigned keeps_between_trims = 64;

std::string name_of_file(std::string_view name) {
  return sha256(as_bytes(name)).hex().substr(0, digits);
}

std::int64_t seconds_of(Timestamp time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

}  // namespace

LocalCache::LocalCache(const std::string& directory, std::string_view place,
                       std::uint64_t bytes_max, Clock& clock)
    : directory_(directory),
      user_(std::to_string(::geteuid())),
      place_(name_of_file(place)),
      bytes_max_(bytes_max),
      clock_(&clock) {}

std::string LocalCache::path() const { return directory_ + "/" + user_ + "/" + place_; }

std::optional<FileDescriptor> LocalCache::open(bool makes) const {
  if (directory_.empty()) return std::nullopt;
  if (makes) {
    (void)::mkdir(parent_directory(directory_).c_str(), 0700);
    (void)::mkdir(directory_.c_str(), 0700);
  }
  const int fd = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const FileDescriptor top(fd);
  const auto own = find_own_directory(top.get(), user_, makes);
  return own ? find_own_directory(own->get(), place_, makes) : std::nullopt;
}

std::optional<LocalCache::Found> LocalCache::read(std::string_view name, bool notes_use) const try {
  const auto directory = open(false);
  if (!directory) return std::nullopt;
  const auto file_name = name_of_file(name);
  const int fd =
      ::openat(directory->get(), file_name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const FileDescriptor file(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<std::uint64_t>(status.st_size) > content_bytes_max + name_bytes_max + 256) {
    return std::nullopt;
  }
  Bytes bytes(static_cast<std::size_t>(status.st_size));
  if (read_at(file, bytes, 0, file_name) != bytes.size()) return std::nullopt;
  ByteReader in(bytes, "a file of the cache");
  if (in.string(magic.size()) != magic || in.string(name_bytes_max) != name) return std::nullopt;
  const auto digest = Digest::read(in);
  const auto content = in.raw(in.left());
  if (sha256(content) != digest) return std::nullopt;
  if (notes_use && seconds_of(clock_->now()) - status.st_mtim.tv_sec > use_seconds) {
    (void)::futimens(fd, nullptr);
  }
  return Found{.content = Bytes(content.begin(), content.end()), .modified = status.st_mtim.tv_sec};
} catch (const Error&) {
  return std::nullopt;
}

std::optional<Bytes> LocalCache::find(std::string_view name) const {
  auto found = read(name, true);
  if (!found) return std::nullopt;
  return std::move(found->content);
}

std::optional<Bytes> LocalCache::find_recent(std::string_view name,
                                             std::chrono::seconds within) const {
  const auto now = clock_->now();
  auto found = read(name, false);
  if (!found) return std::nullopt;
  const Timestamp kept(std::chrono::seconds(found->modified));
  if (kept > now || now - kept > within) return std::nullopt;
  return std::move(found->content);
}

void LocalCache::keep(std::string_view name, ByteView content) const try {
  if (content.size() > content_bytes_max || name.size() > name_bytes_max) return;
  const auto directory = open(true);
  if (!directory) return;
  ByteWriter out;
  out.string(magic);
  out.string(name);
  out.raw(sha256(content).view());
  out.raw(content);
  // Another process may write the same at the same time: the last one counts.
  static std::atomic<unsigned> count{0};
  const auto number = count++;
  const auto file_name = name_of_file(name);
  const auto unfinished = file_name + std::string(unfinished_mark) + std::to_string(::getpid()) +
                          "-" + std::to_string(number);
  const int at = directory->get();
  const int fd =
      ::openat(at, unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  bool is_written = true;
  try {
    write_all(FileDescriptor(fd), out.bytes(), unfinished);
  } catch (const Error&) {
    is_written = false;
  }
  if (!is_written || ::renameat(at, unfinished.c_str(), at, file_name.c_str()) != 0) {
    ::unlinkat(at, unfinished.c_str(), 0);
  }
  if (number % keeps_between_trims == 0) trim(*directory);
} catch (const Error&) {
  // It is asked for again, then.
}

// By what the files' times say; those of other processes vanish meanwhile.
void LocalCache::trim(const FileDescriptor& directory) const {
  const int copy = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(copy), &::closedir);
  if (!list) {
    ::close(copy);
    return;
  }
  // By when they were last of use.
  std::multimap<std::int64_t, std::pair<std::string, std::uint64_t>> files;
  std::uint64_t bytes = 0;
  const auto now = seconds_of(clock_->now());
  while (const auto* const entry = ::readdir(list.get())) {
    std::string name(static_cast<const char*>(entry->d_name));
    struct stat status {};
    if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode)) {
      continue;
    }
    if (name.find(unfinished_mark) != std::string::npos) {
      if (now - status.st_mtim.tv_sec > unfinished_seconds) {
        ::unlinkat(directory.get(), name.c_str(), 0);
      }
      continue;
    }
    if (name.size() != digits) continue;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    bytes += size;
    files.emplace(status.st_mtim.tv_sec, std::pair(name, size));
  }
  if (bytes <= bytes_max_) return;
  // Some room, so that not each one that is kept looks at them all.
  const auto wanted = bytes_max_ / 4 * 3;
  for (const auto& [used, file] : files) {
    if (bytes <= wanted) return;
    ::unlinkat(directory.get(), file.first.c_str(), 0);
    bytes -= file.second;
  }
}

}  // namespace walvault
