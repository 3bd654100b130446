#include "basebackup/file_backup.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/ordered_workers.h"
#include "base/rate_limit.h"
#include "basebackup/backup_session.h"
#include "basebackup/file_part.h"
#include "codec/crc32c.h"
#include "datadir/live_directory.h"
#include "postgres/data_page.h"
#include "postgres/manifest_writer.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// What is read at once; whole pages.
constexpr std::uint64_t part_bytes = 1u << 20;
constexpr unsigned readers_max = 16;

constexpr int control_file_looks = 20;
constexpr std::uint64_t control_file_bytes_max = 65536;

FileEntry entry_of(const std::string& path, const FileAttributes& attributes) {
  FileEntry entry;
  entry.path = path;
  entry.mode = attributes.mode;
  // Rounded down, times before 1970 too.
  entry.mtime =
      std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(attributes.modified))
          .count();
  entry.size = attributes.size;
  return entry;
}

// nullopt: the file is gone, or is none any more.
std::optional<FileDescriptor> open_live_file(const std::string& location) {
  const int fd = ::open(location.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0) return FileDescriptor(fd);
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return std::nullopt;
  throw system_error("open \"" + location + "\"", errno);
}

class FileBackup {
 public:
  FileBackup(const ClusterIdentity& identity, SqlConnection& sql, Clock& clock, TreeWriter& tree,
             const FileBackupRequest& request, const FileBackupEvents& events,
             const Reporter& reporter, const Meter& meter)
      : identity_(identity),
        session_(sql, identity.postgres_major),
        clock_(clock),
        tree_(tree),
        request_(request),
        events_(events),
        reporter_(reporter),
        meter_(meter),
        rate_(clock, std::uint64_t{request.max_rate_kilobytes.value_or(0)} * 1024) {
    tree_.begin_stream(std::string(manifest_stream));
    tree_.begin_stream(std::string(attributes_stream), !request.is_known_damaged);
    manifest_.emplace(identity.postgres_major, identity.system_identifier, [this](ByteView bytes) {
      tree_.append_to_stream(std::string(manifest_stream), bytes);
    });
  }

  BackupContent run() {
    // What cannot be read is better found before the server is asked to checkpoint.
    const auto before = read_control_file().second;
    const LiveDirectory directory(request_.data_directory,
                                  {.major = identity_.postgres_major,
                                   .catalog_version = before.catalog_version,
                                   .statistics_directory = request_.statistics_directory});
    began_ = clock_.now();
    start_ = session_.start(request_.label, request_.fast_checkpoint);
    const auto control = read_control_file().second;
    // The checkpoint that the backup begins with has just been written there.
    if (control.redo < start_ || control.system_identifier != identity_.system_identifier) {
      throw Error(ErrorKind::conflict,
                  "\"" + request_.data_directory + "\" is not the server's data directory",
                  "The backup starts at " + start_.text() + "; the last checkpoint there is " +
                      control.redo.text() + ", of system identifier " +
                      std::to_string(control.system_identifier) + ".",
                  "Run the backup where the server runs, or take it with --via protocol.");
    }
    has_checksums_ = control.data_checksum_version != 0 && control.block_bytes == data_page_bytes;
    segment_blocks_ = control.relation_segment_blocks;
    survey(directory);
    read_files(directory);

    BackupContent content;
    content.control = store_control_file();
    auto end = session_.stop();
    content.label = parse_backup_label(end.label);
    content.stop = {.lsn = end.stop, .timeline = content.label.timeline};
    keep_note(content, backup_label_note, std::move(end.label));
    expect_tablespaces(directory, end.tablespace_map);
    if (!end.tablespace_map.empty()) {
      keep_note(content, tablespace_map_note, std::move(end.tablespace_map));
    }
    manifest_->finish(content.stop.timeline, content.label.start, end.stop);
    tree_.end_stream(std::string(manifest_stream));
    tree_.end_stream(std::string(attributes_stream));
    if (unchanged_ > 0) {
      reporter_.info(std::to_string(unchanged_) + " of " + std::to_string(files_) +
                     " files were not written to since the backup before, and not read");
    }
    return content;
  }

 private:
  // ---- the caller's thread

  // As it is on disk; it is written in place, so that it may have to be looked at again.
  std::pair<FileAttributes, ControlFile> read_control_file() {
    const auto location = request_.data_directory + "/" + std::string(control_file_path);
    for (int look = 1;; ++look) {
      const int fd = ::open(location.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) {
        throw Error(ErrorKind::usage, "the data directory cannot be read",
                    system_error("open \"" + location + "\"", errno).message() + ".",
                    "Run the backup as the server's user on the machine where it runs, or take it "
                    "with --via protocol.");
      }
      const FileDescriptor file(fd);
      const auto attributes = attributes_of(file, location);
      control_content_.resize(std::min(attributes.size, control_file_bytes_max));
      control_content_.resize(read_at(file, control_content_, 0, location));
      try {
        return {attributes, parse_control_file(control_content_)};
      } catch (const Error&) {
        if (look >= control_file_looks) throw;
      }
      clock_.sleep_for(torn_page_pause);
    }
  }

  // How much there is, and whether the files' times can be relied upon.
  void survey(const LiveDirectory& directory) {
    std::uint64_t bytes = 0;
    std::int64_t latest = 0;
    directory.walk(
        [&](const LiveEntry& entry) {
          reporter_.check_cancelled();
          if (entry.is_directory) return;
          bytes += entry.attributes.size;
          latest = std::max(latest, entry.attributes.modified);
        },
        [](const std::string&) {});
    if (!request_.known.empty()) {
      const auto now = clock_.now();
      const auto now_ns = std::chrono::nanoseconds(now.time_since_epoch()).count();
      if (now < request_.known_since) {
        read_all("the clock is earlier than the time of the previous backup");
      } else if (latest > now_ns) {
        read_all("a file was written to in the future");
      }
    }
    events_.started(start_, bytes);
  }

  void read_all(const std::string& why) {
    reads_all_ = true;
    reporter_.warn("every file is read: " + why);
  }

  void read_files(const LiveDirectory& directory) {
    const auto readers = std::clamp(request_.jobs, 1u, readers_max);
    OrderedWorkers<FilePart> workers(
        {.threads = readers, .in_flight_max = 2 * std::size_t{readers} + 2},
        [this](FilePart& part, unsigned) {
          if (part.kind == FilePart::Kind::bytes) read_part(part, start_, clock_);
        },
        [this](FilePart& part) { deliver(part); });
    directory.walk(
        [&](const LiveEntry& entry) {
          reporter_.check_cancelled();
          if (entry.is_directory) {
            workers.submit({.kind = FilePart::Kind::directory, .entry = entry});
            return;
          }
          if (!reads_all_ &&
              request_.known.contains(fingerprint_of(entry.path, entry.attributes))) {
            workers.submit({.kind = FilePart::Kind::unchanged, .entry = entry});
            return;
          }
          const auto file = open(entry.path, entry.location);
          if (!file) return;
          for_each_part(file, [&](FilePart part) {
            reporter_.check_cancelled();
            rate_.take(part.length, reporter_.check_cancelled);
            workers.submit(std::move(part));
          });
        },
        events_.skipped);
    workers.finish();
  }

  std::shared_ptr<const OpenedFile> open(const std::string& path, const std::string& location) {
    auto opened = std::make_shared<OpenedFile>();
    auto file = open_live_file(location);
    if (!file) return nullptr;
    opened->file = std::move(*file);
    opened->path = path;
    opened->location = location;
    opened->attributes = attributes_of(opened->file, location);
    if (has_checksums_) {
      opened->first_block = first_block_of(path, segment_blocks_);
    }
    return opened;
  }

  // An empty file is one part of no bytes.
  template <typename Each>
  static void for_each_part(const std::shared_ptr<const OpenedFile>& file, Each&& each) {
    std::uint64_t offset = 0;
    do {
      const auto length = std::min(part_bytes, file->attributes.size - offset);
      each(FilePart{.file = file, .offset = offset, .length = length});
      offset += length;
    } while (offset < file->attributes.size);
  }

  // The very last of the files: what is in the others is not newer than it says.
  ControlFile store_control_file() {
    const auto [attributes, control] = read_control_file();
    auto entry = entry_of(std::string(control_file_path), attributes);
    entry.size = control_content_.size();
    tree_.begin_file(entry);
    tree_.append(control_content_);
    manifest_->add(entry.path, entry.size, entry.mtime, tree_.end_file());
    return control;
  }

  // Those that the server knew when the backup began, and whose files were read.
  static void expect_tablespaces(const LiveDirectory& directory, ByteView map) {
    for (const auto& tablespace : parse_tablespace_map(map)) {
      const auto oid = std::to_string(tablespace.oid);
      if (std::ranges::find(directory.tablespaces(), oid) != directory.tablespaces().end())
        continue;
      throw Error(ErrorKind::unavailable, "a tablespace was made while the backup began",
                  "\"" + tablespace.location + "\" was not read.", "Run the backup again.");
    }
  }

  void keep_note(BackupContent& content, std::string_view name, Bytes bytes) {
    const auto now = std::chrono::floor<std::chrono::seconds>(clock_.now());
    manifest_->add(std::string(name), bytes.size(), now.time_since_epoch().count(), crc32c(bytes));
    content.notes[std::string(name)] = std::move(bytes);
  }

  // ---- the delivering thread

  void deliver(FilePart& part) {
    switch (part.kind) {
      case FilePart::Kind::directory: {
        auto entry = entry_of(part.entry.path, part.entry.attributes);
        entry.kind = EntryKind::directory;
        entry.size = 0;
        tree_.add(std::move(entry));
        break;
      }
      case FilePart::Kind::unchanged: take_unchanged(part.entry); break;
      case FilePart::Kind::bytes: take(part); break;
    }
  }

  void take(const FilePart& part) {
    const auto& file = *part.file;
    if (part.offset == 0) {
      tree_.begin_file(entry_of(file.path, file.attributes));
      is_sound_ = true;
    }
    // Such a file is looked at again by the next backup, whatever its times.
    if (part.has_torn_pages || !part.damaged_blocks.empty()) is_sound_ = false;
    for (const auto block : part.damaged_blocks) {
      events_.damaged_page("checksum verification failed in \"" + file.path + "\", block " +
                           std::to_string(block));
    }
    tree_.append(part.content);
    meter_.done(part.content.size());
    if (!part.is_last()) return;
    list(file.path, file.attributes, tree_.end_file(),
         is_sound_ && would_show_writes(file.attributes, began_));
  }

  void take_unchanged(const LiveEntry& entry) {
    const auto crc = tree_.reuse_file(entry_of(entry.path, entry.attributes));
    if (crc) {
      ++unchanged_;
      meter_.done(entry.attributes.size);
      list(entry.path, entry.attributes, *crc, true);
      return;
    }
    // What the parent has of it may not be borrowed: it is read after all, here.
    const auto file = open(entry.path, entry.location);
    if (!file) return;
    for_each_part(file, [&](FilePart part) {
      read_part(part, start_, clock_);
      take(part);
    });
  }

  void list(const std::string& path, const FileAttributes& attributes, std::uint32_t crc,
            bool is_known) {
    ++files_;
    manifest_->add(path, attributes.size, entry_of(path, attributes).mtime, crc);
    if (is_known) {
      tree_.append_to_stream(std::string(attributes_stream), fingerprint_of(path, attributes));
    }
  }

  const ClusterIdentity& identity_;
  BackupSession session_;
  Clock& clock_;
  TreeWriter& tree_;
  const FileBackupRequest& request_;
  const FileBackupEvents& events_;
  const Reporter& reporter_;
  const Meter& meter_;
  RateLimit rate_;

  Timestamp began_;  // before the server was asked to begin
  Lsn start_;
  bool has_checksums_ = false;
  std::uint32_t segment_blocks_ = 0;
  bool reads_all_ = false;
  Bytes control_content_;

  // The delivering thread, and the caller's when that has ended.
  std::optional<ManifestWriter> manifest_;
  bool is_sound_ = true;  // the file at hand, as far as it was read
  std::uint64_t files_ = 0;
  std::uint64_t unchanged_ = 0;
};

}  // namespace

BackupContent back_up_files(const ClusterIdentity& identity, SqlConnection& sql, Clock& clock,
                            TreeWriter& tree, const FileBackupRequest& request,
                            const FileBackupEvents& events, const Reporter& reporter,
                            const Meter& meter) {
  return FileBackup(identity, sql, clock, tree, request, events, reporter, meter).run();
}

}  // namespace walvault
