#include "storage/local_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include <boost/filesystem.hpp>
#include <ctime>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

constexpr std::string_view magic = "walvault cache 1";
constexpr std::size_t content_bytes_max = 16u << 20;
constexpr std::size_t name_bytes_max = 2048;
constexpr std::size_t digits = 40;
// A file's time says when it was last of use, to the hour.
constexpr std::int64_t use_seconds = 3600;
// What a process that was killed left behind is older.
constexpr std::int64_t unfinished_seconds = 3600;
constexpr unsigned keeps_between_trims = 64;
constexpr int levels_max = 4;  // of directories that are made

void make_directories(const std::string& directory) {
  std::vector<std::string> missing{directory};
  while (missing.size() < levels_max && !find_status(missing.back())) {
    missing.push_back(parent_directory(missing.back()));
  }
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) (void)::mkdir(it->c_str(), 0700);
}

}  // namespace

std::string LocalCache::path_of(std::string_view name) const {
  return directory_ + "/" + sha256(as_bytes(name)).hex().substr(0, digits);
}

std::optional<Bytes> LocalCache::read(const std::string& path, std::string_view name) const {
  const auto bytes = read_file(path, content_bytes_max + name_bytes_max + 256);
  ByteReader in(bytes, "a file of the cache");
  if (in.string(magic.size()) != magic || in.string(name_bytes_max) != name) {
    return std::nullopt;
  }
  const auto digest = Digest::read(in);
  const auto content = in.raw(in.left());
  if (sha256(content) != digest) return std::nullopt;
  return Bytes(content.begin(), content.end());
}

std::optional<Bytes> LocalCache::find(std::string_view name) const try {
  if (directory_.empty()) return std::nullopt;
  const auto path = path_of(name);
  const auto status = find_status(path);
  if (!status || status->st_uid != ::geteuid()) return std::nullopt;
  auto content = read(path, name);
  if (content && std::time(nullptr) - status->st_mtim.tv_sec > use_seconds) {
    (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  }
  return content;
} catch (const Error&) {
  return std::nullopt;
}

std::optional<Bytes> LocalCache::find_recent(std::string_view name, Timestamp now,
                                             std::chrono::seconds within) const try {
  if (directory_.empty()) return std::nullopt;
  const auto path = path_of(name);
  const auto status = find_status(path);
  if (!status || status->st_uid != ::geteuid()) return std::nullopt;
  const Timestamp kept(std::chrono::seconds(status->st_mtim.tv_sec));
  if (kept > now || now - kept > within) return std::nullopt;
  return read(path, name);
} catch (const Error&) {
  return std::nullopt;
}

void LocalCache::keep(std::string_view name, ByteView content) const try {
  if (directory_.empty() || content.size() > content_bytes_max || name.size() > name_bytes_max) {
    return;
  }
  make_directories(directory_);
  ByteWriter out;
  out.string(magic);
  out.string(name);
  out.raw(sha256(content).view());
  out.raw(content);
  // Another process may write the same at the same time: the last one counts.
  static std::atomic<unsigned> count{0};
  const auto path = path_of(name);
  const auto number = count++;
  const auto unfinished =
      path + ".part-" + std::to_string(::getpid()) + "-" + std::to_string(number);
  {
    const auto file = open_file(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    write_all(file, out.bytes(), unfinished);
  }
  if (::rename(unfinished.c_str(), path.c_str()) != 0) ::unlink(unfinished.c_str());
  if (number % keeps_between_trims == 0) trim();
} catch (const Error&) {
  // It is asked for again, then.
}

// By what the files' times say; those of other processes vanish meanwhile.
void LocalCache::trim() const {
  struct File {
    std::int64_t used = 0;
    std::uint64_t bytes = 0;
    std::string path;
  };
  std::vector<File> files;
  std::uint64_t bytes = 0;
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  boost::system::error_code failure;
  for (fs::directory_iterator it(directory_, failure), end; !failure && it != end;
       it.increment(failure)) {
    auto path = it->path().string();
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (path.find(".part-") != std::string::npos &&
        now - status.st_mtim.tv_sec > unfinished_seconds) {
      ::unlink(path.c_str());
      continue;
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    bytes += size;
    files.push_back({.used = status.st_mtim.tv_sec, .bytes = size, .path = std::move(path)});
  }
  if (bytes <= bytes_max_) return;
  std::ranges::sort(files, {}, &File::used);
  // Some room, so that not each one that is kept sorts them all.
  const auto wanted = bytes_max_ / 4 * 3;
  for (const auto& file : files) {
    if (bytes <= wanted) return;
    ::unlink(file.path.c_str());
    bytes -= file.bytes;
  }
}

}  // namespace walvault
