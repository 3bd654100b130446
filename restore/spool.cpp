#include "restore/spool.h"

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

// What a segment is called here: other repositories and clusters that were
// restored to the same place have other names for theirs.
std::string id_of(const WalArchive& archive, const std::string& key) {
  return sha256(as_bytes(archive.repository().id() + "/" + key)).hex().substr(0, id_digits);
}

std::string file_name(const std::string& id, std::uint32_t crc) {
  return id + "-" + to_upper_hex(crc);
}

std::uint64_t room_at(const std::string& directory) {
  struct statvfs status {};
  if (::statvfs(directory.c_str(), &status) != 0) return 0;
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

// Of a process that nobody waits for but who must not hear of it.
void exit_quietly_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { ::_exit(0); };
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2}) {
    ::sigaction(signal, &action, nullptr);
  }
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// A file that is nothing until it is finished, and gone unless it is: what is left
// over would take room that the server needs. That it cannot be written is no error.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(std::string path) : path_(std::move(path)) {
    is_whole_ = try_to([&] { file_ = open_file(path_, O_WRONLY | O_CREAT | O_TRUNC); });
  }
  ~UnfinishedFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  void append(ByteView bytes) {
    is_whole_ = is_whole_ && try_to([&] { write_all(file_, bytes, path_); });
  }
  // False: there is no such file.
  [[nodiscard]] bool finish(const std::string& name) {
    if (!is_whole_ || ::rename(path_.c_str(), name.c_str()) != 0) return false;
    path_.clear();
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

  std::string path_;
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

bool Spool::is_own(bool makes) const {
  return find_own_directory(AT_FDCWD, directory_, makes).has_value();
}

std::optional<std::string> Spool::find(const std::string& id) const {
  if (!is_own()) return std::nullopt;
  for (const auto& name : names_in(directory_)) {
    if (name.starts_with(id + "-")) return name;
  }
  return std::nullopt;
}

bool Spool::deliver(const WalArchive& archive, const std::string& key,
                    const std::string& destination) const try {
  const auto id = id_of(archive, key);
  const auto name = find(id);
  if (!name) return false;
  const auto path = directory_ + "/" + *name;
  // It was not synced: a machine that went down may have left anything.
  const auto crc = checksum_of_file(path, archive.identity().segment_bytes);
  if (!crc || *name != file_name(id, *crc)) {
    ::unlink(path.c_str());
    return false;
  }
  ::unlink(destination.c_str());
  return ::rename(path.c_str(), destination.c_str()) == 0;
} catch (const Error&) {
  return false;
}

unsigned Spool::ready_behind(const WalArchive& archive, const SegmentName& delivered,
                             unsigned count) const {
  const auto segment_bytes = archive.identity().segment_bytes;
  unsigned ready = 0;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const SegmentName name{.timeline = delivered.timeline, .number = delivered.number + i};
    if (find(id_of(archive, archive.key_of(name.text(segment_bytes))))) ++ready;
  }
  return ready;
}

void Spool::fill(const ArchiveSource& archive, const SegmentName& delivered, unsigned count,
                 unsigned threads) const {
  if (!is_own(true)) return;
  const auto lock = open_file(directory_ + "/" + lock_name, O_RDWR | O_CREAT);
  write_position(lock, delivered);
  // Whoever has the lock goes on for the others. It looks once more after it has
  // let go, because one may have been turned away just before.
  std::optional<SegmentName> done;
  while (read_position(lock) != done && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    while (true) {
      const auto wanted = read_position(lock);
      if (wanted == done) break;
      fetch_behind(archive(), wanted, count, threads);
      done = wanted;
    }
    (void)::flock(lock.get(), LOCK_UN);
  }
}

void Spool::write_position(const FileDescriptor& lock, const SegmentName& delivered) const {
  ByteWriter out;
  out.u32(delivered.timeline.value);
  out.u64(delivered.number);
  write_all_at(lock, out.bytes(), 0, directory_ + "/" + lock_name);
}

SegmentName Spool::read_position(const FileDescriptor& lock) const {
  Bytes bytes(12);
  bytes.resize(read_at(lock, bytes, 0, directory_ + "/" + lock_name));
  ByteReader in(bytes, "the position of a spool");
  const TimelineId timeline{in.u32()};
  return {.timeline = timeline, .number = in.u64()};
}

// What is wanted once `delivered` is, and nothing else. REQUIRES: the lock.
void Spool::fetch_behind(const WalArchive& archive, const SegmentName& delivered, unsigned count,
                         unsigned threads) const {
  const auto segment_bytes = archive.identity().segment_bytes;
  const auto wanted_max =
      std::min<std::uint64_t>(count, std::max<std::uint64_t>(1, spool_bytes_max / segment_bytes));
  struct Item {
    std::string key;
    std::string id;
    bool is_there = false;
  };
  std::vector<Item> items;
  for (std::uint64_t i = 1; i <= wanted_max; ++i) {
    const SegmentName name{.timeline = delivered.timeline, .number = delivered.number + i};
    const auto key = archive.key_of(name.text(segment_bytes));
    items.push_back({.key = key, .id = id_of(archive, key)});
  }
  for (const auto& name : names_in(directory_)) {
    const bool keep = name == lock_name || std::ranges::any_of(items, [&](const Item& item) {
                        return name.starts_with(item.id + "-");
                      });
    if (!keep) ::unlink((directory_ + "/" + name).c_str());
  }
  std::erase_if(items, [&](const Item& item) { return find(item.id).has_value(); });
  // The server that recovers writes there too: at most half of what is free is taken.
  const auto room = room_at(directory_) / 2 / segment_bytes;
  if (items.size() > room) items.resize(static_cast<std::size_t>(room));
  // A large segment is held in memory whole.
  constexpr std::uint64_t parallel_bytes_max = 64u << 20;
  const auto workers_max = segment_bytes > parallel_bytes_max ? 1u : std::max(threads, 1u);
  std::atomic<bool> is_end = false;
  OrderedWorkers<Item> workers(
      {.threads = workers_max, .in_flight_max = workers_max},
      [&](Item& item, unsigned) {
        const auto object = archive.repository().storage().find(item.key);
        if (!object) return;
        UnfinishedFile file(directory_ + "/" + unfinished_prefix + item.id);
        std::uint32_t crc = 0;
        std::uint64_t bytes = 0;
        decode_wal_object(*object, item.key, 1, [&](ByteView part) {
          crc = crc32c(part, crc);
          bytes += part.size();
          file.append(part);
        });
        item.is_there =
            bytes == segment_bytes && file.finish(directory_ + "/" + file_name(item.id, crc));
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
// fills, the one that waits sees it, and both exit with 0 on every signal that can be caught.
void Spool::fill_in_background(const ArchiveSource& archive, const SegmentName& delivered,
                               unsigned count, unsigned threads) const {
  // Nothing was started that a child would miss: no thread runs here.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // A signal that comes between the fork and the handlers waits for them.
  (void)::sigprocmask(SIG_SETMASK, &all, &before);
  if (::fork() != 0) {
    (void)::sigprocmask(SIG_SETMASK, &before, nullptr);
    return;
  }
  exit_quietly_on_signals();
  // The server signals the groups of its processes, not those of others.
  (void)::setsid();
  // PostgreSQL's logger waits for whoever holds its pipe.
  const int nothing = ::open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)::dup2(nothing, fd);
  // Nor are files of the server, which older ones leave open, to be held on to.
  ::closefrom(STDERR_FILENO + 1);
  const auto filler = ::fork();
  if (filler != 0) {
    while (filler > 0 && ::waitpid(filler, nullptr, 0) < 0 && errno == EINTR) continue;
    ::_exit(0);
  }
  try {
    ::alarm(fill_seconds_max);
    fill(archive, delivered, count, threads);
  } catch (...) {
    // Whatever is missing is fetched when it is asked for, and its trouble told.
  }
  ::_exit(0);
}

void Spool::remove() const try {
  if (!is_own()) return;
  // By another name first, so that a process that fills it finds no place.
  const auto aside = directory_ + "." + std::to_string(::getpid());
  if (::rename(directory_.c_str(), aside.c_str()) != 0) return;
  if (!find_own_directory(AT_FDCWD, aside, false)) return;
  for (const auto& name : names_in(aside)) {
    auto path = aside;
    ::unlink(path.append("/").append(name).c_str());
  }
  ::rmdir(aside.c_str());
} catch (const Error&) {
  // Its files are harmless: nothing else is called as they are.
}

}  // namespace walvault
