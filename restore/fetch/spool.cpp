#include "restore/fetch/spool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/directory.h"
#include "base/error.h"
#include "base/file.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"
#include "codec/sha256.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

const std::string lock_name = "lock";
const std::string unfinished_prefix = "part-";
constexpr std::size_t id_digits = 32;
constexpr std::uint64_t spool_bytes_max = 1u << 30;
// A process that nobody waits for must not live for ever.
constexpr unsigned fill_seconds_max = 300;

// All but the directories that this program holds itself: a repository's root is never opened
// twice. What a server left open is not closed on exec, what is opened here is.
void close_inherited_files() {
  constexpr int files_max = 65536;
  const auto limit = ::sysconf(_SC_OPEN_MAX);
  const auto end = limit < 0 ? files_max : static_cast<int>(std::min<long>(limit, files_max));
  for (int fd = STDERR_FILENO + 1; fd < end; ++fd) {
    struct stat status {};
    const int flags = ::fcntl(fd, F_GETFD);
    const bool is_own = flags >= 0 && (flags & FD_CLOEXEC) != 0;
    const bool is_held = is_own && ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    if (flags >= 0 && !is_held) ::close(fd);
  }
  ::closefrom(end);
}

// What a segment is called here: other repositories and clusters that were
// restored to the same place have other names for theirs.
std::string id_of(const WalArchive& archive, const std::string& key) {
  return sha256(as_bytes(archive.repository().id() + "/" + key)).hex().substr(0, id_digits);
}

std::string file_name(const std::string& id, std::uint32_t crc) {
  return id + "-" + to_upper_hex(crc);
}

std::uint64_t room_at(const FileDescriptor& directory) {
  struct statvfs status {};
  if (::fstatvfs(directory.get(), &status) != 0) return 0;
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

bool is_hex(std::string_view text, std::string_view digits) {
  return text.find_first_not_of(digits) == std::string_view::npos;
}

// Whether a name is one that a spool gives: nothing else is ever deleted in one.
bool is_own_name(std::string_view name) {
  if (name == lock_name) return true;
  constexpr std::string_view digits = "0123456789abcdef";
  if (name.starts_with(unfinished_prefix)) {
    name.remove_prefix(unfinished_prefix.size());
    return name.size() == id_digits && is_hex(name, digits);
  }
  return name.size() == id_digits + 9 && is_hex(name.substr(0, id_digits), digits) &&
         name[id_digits] == '-' && is_hex(name.substr(id_digits + 1), "0123456789ABCDEF");
}

std::optional<std::string> find(const FileDescriptor& directory, const std::string& id) {
  for (const auto& name : names_at(directory, "the spool")) {
    if (is_own_name(name) && name.starts_with(id + "-")) return name;
  }
  return std::nullopt;
}

// nullopt: there is none, or none of exactly this size.
std::optional<std::uint32_t> checksum_at(const FileDescriptor& directory, const std::string& name,
                                         std::uint64_t bytes) {
  const auto file = find_file_at(directory, name, O_RDONLY);
  // It may have been put there while others could.
  if (!file || !is_own_file(*file)) return std::nullopt;
  constexpr std::size_t step_bytes = 256u << 10;  // fits into a processor's cache
  Bytes buffer(step_bytes);
  std::uint32_t crc = 0;
  std::uint64_t offset = 0;
  while (const auto length = read_at(*file, buffer, offset, name)) {
    crc = crc32c(ByteView(buffer).first(length), crc);
    offset += length;
  }
  return offset == bytes ? std::optional(crc) : std::nullopt;
}

// Whether nobody has removed the spool since the lock was opened.
bool is_lock_of(const FileDescriptor& lock, const FileDescriptor& directory) {
  struct stat own {};
  const auto named = find_status_at(directory, lock_name);
  return named && ::fstat(lock.get(), &own) == 0 && own.st_dev == named->st_dev &&
         own.st_ino == named->st_ino;
}

void write_position(const FileDescriptor& lock, const SegmentName& delivered) {
  ByteWriter out;
  out.u32(delivered.timeline.value);
  out.u64(delivered.number);
  write_all_at(lock, out.bytes(), 0, lock_name);
}

SegmentName read_position(const FileDescriptor& lock) {
  Bytes bytes(12);
  bytes.resize(read_at(lock, bytes, 0, lock_name));
  ByteReader in(bytes, "the position of a spool");
  const TimelineId timeline{in.u32()};
  return {.timeline = timeline, .number = in.u64()};
}

// For a process whose parent must not hear of it: of the signals that would end it all but
// those that its own faults raise, and the two that nobody can catch.
void exit_quietly_on_signals() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    switch (signal) {
      case SIGKILL:
      case SIGSTOP:
      case SIGSEGV:
      case SIGBUS:
      case SIGFPE:
      case SIGILL:
      case SIGABRT:
      case SIGTRAP:
      case SIGSYS: continue;
      case SIGPIPE:
      case SIGCHLD: action.sa_handler = signal == SIGPIPE ? SIG_IGN : SIG_DFL; break;
      default: action.sa_handler = [](int) { ::_exit(0); };
    }
    (void)::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// A file that is nothing until it is finished, and gone unless it is: what is left
// over would take room that the server needs. That it cannot be written is no error.
class UnfinishedFile {
 public:
  UnfinishedFile(const FileDescriptor& directory, std::string name)
      : directory_(directory), name_(std::move(name)) {
    is_whole_ = try_to([&] {
      auto file = find_file_at(directory_, name_, O_WRONLY | O_CREAT | O_TRUNC);
      if (file) file_ = std::move(*file);
    });
  }
  ~UnfinishedFile() {
    if (!name_.empty()) ::unlinkat(directory_.get(), name_.c_str(), 0);
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  void append(ByteView bytes) {
    is_whole_ = is_whole_ && try_to([&] { write_all(file_, bytes, name_); });
  }
  // False: there is no such file.
  [[nodiscard]] bool finish(const std::string& name) {
    const int at = directory_.get();
    if (!is_whole_ || ::renameat(at, name_.c_str(), at, name.c_str()) != 0) return false;
    name_.clear();
    return true;
  }

 private:
  [[nodiscard]] static bool try_to(const std::function<void()>& work) {
    try {
      work();
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  const FileDescriptor& directory_;
  std::string name_;
  FileDescriptor file_;
  bool is_whole_ = false;
};

}  // namespace

std::optional<Spool> Spool::of_current_directory(const std::string& destination) try {
  const auto directory = current_data_directory();
  if (!directory) return std::nullopt;
  const auto beside = find_status(parent_directory(*directory));
  const auto wanted = find_status(parent_directory(destination));
  // What cannot be renamed would be copied once more than without a spool.
  if (!beside || !wanted || beside->st_dev != wanted->st_dev) return std::nullopt;
  return Spool(*directory + ".walvault-spool");
} catch (const Error&) {
  return std::nullopt;
}

std::optional<FileDescriptor> Spool::hold(bool makes) const {
  return find_own_directory(AT_FDCWD, directory_, makes, true);
}

bool Spool::deliver(const WalArchive& archive, const std::string& key,
                    const std::string& destination) const try {
  const auto directory = hold();
  if (!directory) return false;
  const auto id = id_of(archive, key);
  const auto name = find(*directory, id);
  if (!name) return false;
  // It was not synced: a machine that went down may have left anything.
  const auto crc = checksum_at(*directory, *name, archive.identity().geometry.segment_bytes);
  if (!crc || *name != file_name(id, *crc)) {
    (void)unlink_at(*directory, *name, *name);
    return false;
  }
  ::unlink(destination.c_str());
  return ::renameat(directory->get(), name->c_str(), AT_FDCWD, destination.c_str()) == 0;
} catch (const Error&) {
  return false;
}

unsigned Spool::ready_behind(const WalArchive& archive, const SegmentName& delivered,
                             unsigned count) const try {
  const auto directory = hold();
  if (!directory) return 0;
  const auto geometry = archive.identity().geometry;
  unsigned ready = 0;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const SegmentName name{.timeline = delivered.timeline, .number = delivered.number + i};
    if (find(*directory, id_of(archive, archive.key_of(name.text(geometry))))) ++ready;
  }
  return ready;
} catch (const Error&) {
  return 0;
}

void Spool::fill(const ArchiveSource& archive, const SegmentName& delivered, unsigned count,
                 unsigned threads) const {
  const auto directory = hold(true);
  if (!directory) return;
  const auto lock = find_file_at(*directory, lock_name, O_RDWR | O_CREAT);
  if (!lock) return;
  write_position(*lock, delivered);
  // Whoever has the lock goes on for the others. It looks once more after it has
  // let go, because one may have been turned away just before.
  std::optional<SegmentName> done;
  while (read_position(*lock) != done && ::flock(lock->get(), LOCK_EX | LOCK_NB) == 0) {
    while (true) {
      const auto wanted = read_position(*lock);
      if (wanted == done) break;
      const auto goes_on = [&] { return is_lock_of(*lock, *directory); };
      fetch_behind(*directory, archive(), wanted, count, threads, goes_on);
      if (!goes_on()) return (void)::rmdir(directory_.c_str());
      done = wanted;
    }
    (void)::flock(lock->get(), LOCK_UN);
  }
}

// What is wanted once `delivered` is, and nothing else. REQUIRES: the lock.
void Spool::fetch_behind(const FileDescriptor& directory, const WalArchive& archive,
                         const SegmentName& delivered, unsigned count, unsigned threads,
                         const std::function<bool()>& goes_on) {
  const auto geometry = archive.identity().geometry;
  const auto wanted_max = std::min<std::uint64_t>(
      count, std::max<std::uint64_t>(1, spool_bytes_max / geometry.segment_bytes));
  struct Item {
    std::string key;
    std::string id;
    bool is_there = false;
  };
  std::vector<Item> items;
  for (std::uint64_t i = 1; i <= wanted_max; ++i) {
    const SegmentName name{.timeline = delivered.timeline, .number = delivered.number + i};
    const auto key = archive.key_of(name.text(geometry));
    items.push_back({.key = key, .id = id_of(archive, key)});
  }
  for (const auto& name : names_at(directory, "the spool")) {
    const bool keep = name == lock_name || std::ranges::any_of(items, [&](const Item& item) {
                        return name.starts_with(item.id + "-");
                      });
    if (!keep && is_own_name(name)) (void)unlink_at(directory, name, name);
  }
  std::erase_if(items, [&](const Item& item) { return find(directory, item.id).has_value(); });
  // The server that recovers writes there too: at most half of what is free is taken.
  const auto room = room_at(directory) / 2 / geometry.segment_bytes;
  if (items.size() > room) items.resize(static_cast<std::size_t>(room));
  // A large segment is held in memory whole.
  constexpr std::uint64_t parallel_bytes_max = 64u << 20;
  const auto workers_max = geometry.segment_bytes > parallel_bytes_max ? 1u : std::max(threads, 1u);
  std::atomic<bool> is_end = false;
  OrderedWorkers<Item> workers(
      {.threads = workers_max, .in_flight_max = workers_max},
      [&](Item& item, unsigned) {
        if (!goes_on()) return;
        const auto object = archive.repository().storage().find(item.key);
        if (!object) return;
        UnfinishedFile file(directory, unfinished_prefix + item.id);
        std::uint32_t crc = 0;
        std::uint64_t bytes = 0;
        decode_wal_object(archive.repository().codec(), *object, item.key, 1,
                          archive.repository().buffers(), [&](ByteView part) {
                            crc = crc32c(part, crc);
                            bytes += part.size();
                            file.append(part);
                          });
        item.is_there =
            bytes == geometry.segment_bytes && goes_on() && file.finish(file_name(item.id, crc));
      },
      [&](Item& item) {
        if (!item.is_there) is_end = true;
      });
  for (auto& item : items) {
    // Behind the first one that is not archived there is none as a rule.
    if (is_end) break;
    workers.submit(std::move(item));
  }
  workers.finish();
}

// Two processes, in a session of their own: one that fills, and one that waits for it.
// What outlives walvault-fetch becomes a child of process 1, which in a container is
// PostgreSQL; and PostgreSQL takes a child that died of a signal, or exited with anything
// but 0, for a crashed one of its own, and restarts. So whatever becomes of the one that
// fills, the one that waits sees it; and the one that waits hears no signal that can be blocked.
void Spool::fill_in_background(const ArchiveSource& archive, const SegmentName& delivered,
                               unsigned count, unsigned threads) const {
  // Nothing was started that a child would miss: no thread runs here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // One that comes between a fork and the handlers waits for them.
  (void)::sigprocmask(SIG_SETMASK, &all, &before);
  if (::fork() != 0) {
    (void)::sigprocmask(SIG_SETMASK, &before, nullptr);
    return;
  }
  // The server signals the groups of its processes, not those of others.
  (void)::setsid();
  // PostgreSQL's logger waits for whoever holds its pipe.
  const int nothing = ::open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)::dup2(nothing, fd);
  // Nor are files of the server, which older ones leave open, to be held on to.
  close_inherited_files();
  const auto filler = ::fork();
  if (filler != 0) {
    // It needs no signal, so all stay blocked here.
    while (filler > 0 && ::waitpid(filler, nullptr, 0) < 0 && errno == EINTR) continue;
    ::_exit(0);
  }
  exit_quietly_on_signals();
  try {
    ::alarm(fill_seconds_max);
    fill(archive, delivered, count, threads);
  } catch (...) {
    // Whatever is missing is fetched when it is asked for, and its trouble told.
  }
  ::_exit(0);
}

void Spool::remove() const try {
  const auto directory = hold();
  if (!directory) return;
  for (const auto& name : names_at(*directory, "the spool")) {
    if (is_own_name(name)) (void)unlink_at(*directory, name, name);
  }
  // A process that fills it misses its lock, ends, and tries this too. Fails where anything else is
  // in it.
  (void)::rmdir(directory_.c_str());
} catch (const Error&) {
  // Its files are harmless: nothing else is called as they are.
}

}  // namespace walvault
