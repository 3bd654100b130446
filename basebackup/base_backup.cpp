#include "basebackup/base_backup.h"

#include <algorithm>
#include <exception>

#include "app/version.h"
#include "archive_command/push.h"
#include "base/error.h"
#include "base/format.h"
#include "basebackup/backup_receiver.h"
#include "basebackup/file_backup.h"
#include "basebackup/wal_streamer.h"
#include "catalog/recovery_plan.h"
#include "catalog/wal_chain.h"
#include "catalog/wal_expiry.h"
#include "postgres/checkpoint_record.h"
#include "postgres/wal_page.h"
#include "repository/damaged_packs.h"
#include "repository/tree_writer.h"
#include "repository/writer_session.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wal_poll_first{50};
constexpr milliseconds wal_poll_max{1000};

// A backup whose process was killed has its claim until the server notices
// that its client is gone: at once while it sends, but not during a checkpoint.
constexpr milliseconds claim_patience{5000};
constexpr milliseconds claim_poll{250};

constexpr std::chrono::seconds server_look_pause{30};

// The server's clock is seen once, cut to whole seconds, and with a delay.
constexpr std::chrono::seconds clock_skew_unseen{2};

bool archiving_is_off(ReplicationConnection& server) {
  return server.show("archive_mode").value_or("on") == "off";
}

void check_server(const ClusterIdentity& registered, ReplicationConnection& server,
                  bool streams_wal) {
  const auto major = server.server_version() / 10000;
  if (major < postgres_major_min || major > postgres_major_max) {
    throw Error(ErrorKind::usage, "PostgreSQL " + std::to_string(major) + " is not supported",
                "This version of walvault knows the majors " + std::to_string(postgres_major_min) +
                    " to " + std::to_string(postgres_major_max) + ".");
  }
  const auto identity = server.identify_system();
  if (identity.system_identifier != registered.system_identifier ||
      major != registered.postgres_major) {
    throw Error(ErrorKind::conflict, "this server is not the cluster " + registered.name,
                "Registered: system identifier " + std::to_string(registered.system_identifier) +
                    ", PostgreSQL " + std::to_string(registered.postgres_major) +
                    "; the server: " + std::to_string(identity.system_identifier) +
                    ", PostgreSQL " + std::to_string(major) + ".",
                "Check --cluster and --pg. After pg_upgrade: walvault cluster upgrade " +
                    registered.name + " --pg CONNINFO");
  }
  // Asked before anything is copied: without archiving the WAL that makes the
  // copy consistent would never come.
  if (!streams_wal && archiving_is_off(server)) {
    throw Error(ErrorKind::usage, "the server does not archive its WAL",
                "archive_mode is off, and a backup without its WAL cannot be restored.",
                "Use --wal stream; or put archive_mode = on and archive_command = "
                "'walvault-archive --cluster " +
                    registered.name + " %p' into postgresql.conf and restart the server.");
  }
}

// Waits until every segment from start to stop is in the repository.
void wait_for_wal(const WalArchive& archive, const BackupInfo& info, Clock& clock,
                  milliseconds timeout, const WalStreamer* streamer,
                  const BaseBackupListener& listener) {
  const auto segment_bytes = archive.identity().segment_bytes;
  auto segment = SegmentName::containing(info.timeline, info.start, segment_bytes);
  const auto last = SegmentName::before(info.timeline, info.stop, segment_bytes);
  const auto deadline = clock.now() + timeout;
  auto pause = wal_poll_first;
  bool noted = false;
  while (true) {
    while (segment <= last && archive.has_segment(segment)) ++segment.number;
    if (segment > last) return;
    listener.check_cancelled();
    if (streamer != nullptr) streamer->check();
    if (clock.now() >= deadline) {
      throw Error(
          ErrorKind::unavailable, "WAL that the backup needs did not arrive in the repository",
          "Waited " + format_duration(timeout) + " for segment " + segment.text(segment_bytes) +
              " (up to " + last.text(segment_bytes) + "). No backup was recorded.",
          streamer != nullptr
              ? "A standby ends no segment by itself: run SELECT pg_switch_wal() on the primary "
                "towards the end of the backup."
              : "Look at pg_stat_archiver and the server's log: archive_command has to be "
                "walvault-archive into this repository, under --cluster " +
                    archive.identity().name + ".");
    }
    if (!noted && pause > wal_poll_first) {
      noted = true;
      listener.note("waiting for WAL up to " + info.stop.text() +
                    (streamer != nullptr ? " to be streamed" : " to be archived"));
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, wal_poll_max);
  }
}

// The WAL is there by name; that this server wrote it, its own checkpoint in it
// tells. A demoted primary that goes on archiving, or another promotion onto
// the same timeline, fills the archive with segments of the same names.
void check_wal_is_the_servers(const WalArchive& archive, const BackupInfo& info) {
  const auto& control = info.control;
  if (control.checkpoint < info.start || control.checkpoint >= info.stop) return;
  const auto segment_bytes = archive.identity().segment_bytes;
  auto segment = SegmentName::containing(info.timeline, control.checkpoint, segment_bytes);
  const auto name = segment.text(segment_bytes);
  auto wal = archive.find_file(name);
  // A record may cross into the next segment, which is there if this one does.
  constexpr std::uint64_t record_bytes_max = 4096;
  if (wal && segment.end(segment_bytes).value - control.checkpoint.value < record_bytes_max) {
    ++segment.number;
    const auto next = archive.find_file(segment.text(segment_bytes));
    if (next) wal->insert(wal->end(), next->begin(), next->end());
  }
  if (wal && holds_checkpoint(*wal, control)) return;
  const auto timeline = std::to_string(info.timeline.value);
  throw Error(ErrorKind::conflict, "the archived WAL is not what this server wrote",
              "Segment " + name + " does not hold the server's checkpoint at " +
                  control.checkpoint.text() + ". No backup was recorded.",
              "Another server archives as cluster " + archive.identity().name +
                  ": end that. If both were promoted onto timeline " + timeline +
                  " and this one is to go on: walvault timeline set-aside " + timeline);
}

// A backup that its own WAL does not make consistent is none, though every
// segment of that is there.
void check_wal_is_whole(const WalArchive& archive, const BackupInfo& info) {
  const auto course = course_of(archive, {.timeline = info.timeline, .branch = info.branch});
  const auto chain =
      prove_chain(course.archive, wal_from(course.archive, course.history, info.start),
                  [](const ChainSegment&) {});
  if (chain.end >= info.stop) return;
  if (chain.broken.empty()) {
    throw Error(ErrorKind::unavailable, "WAL that the backup needs is gone from the repository",
                "It was there up to " + info.stop.text() + "; now it ends at " + chain.end.text() +
                    ". No backup was recorded.",
                "Run the backup again.");
  }
  throw Error(ErrorKind::corrupt, "the archived WAL of the backup is damaged",
              "Segment " + chain.broken_in.text(archive.identity().segment_bytes) + ": " +
                  chain.broken + ". It is needed up to " + info.stop.text() +
                  ". No backup was recorded.",
              "Run the backup again. If that happens again, the server's pg_wal is damaged, or "
              "archive_command is not handed what the server wrote.");
}

// Recovery onto a timeline needs its history file, which a server that was
// promoted before it archived here never offers. If another history is archived
// under that id, two servers were promoted onto it, and this one's WAL would be
// taken for the other's: Error{conflict}.
void archive_timeline_history(const WalArchive& archive, ReplicationConnection& server,
                              Clock& clock, const BaseBackupRequest& request) {
  const auto timeline = server.identify_system().timeline;
  if (timeline.value == 1) return;
  (void)push_timeline_history(archive, timeline, server.timeline_history(timeline), clock,
                              {.compression = request.compression, .threads = 1});
}

// The newest backup: most of its content is in the new one too, even when it is
// from before pg_upgrade, which leaves most relations' files as they were.
std::optional<BackupInfo> find_parent(const WalArchive& archive) {
  auto list = list_backups(archive.repository(), archive.identity().name);
  if (list.backups.empty()) return std::nullopt;
  return std::move(list.backups.back());
}

// The backup of this cluster that was begun last and is not complete: from its
// writer's pin.
std::string running_backup(const WalArchive& archive) {
  const auto& repository = archive.repository();
  const auto prefix = "backups/" + archive.identity().name + "/";
  std::optional<Pin> newest;
  for (auto& stored : list_pins(repository)) {
    auto& pin = stored.pin;
    if (pin.root_key.starts_with(prefix) && (!newest || pin.created > newest->created) &&
        is_live(repository, pin)) {
      newest = std::move(pin);
    }
  }
  if (!newest) return "It has only just begun.";
  const auto id = newest->root_key.substr(prefix.size());
  return "It is " + id.substr(0, id.find('/')) + ", begun at " + to_rfc3339(newest->created) + ".";
}

// Claims the server for this backup, by a slot: it goes with its connection,
// however the backup ends, so that no stale claim is ever left behind. The
// repository's id is in its name because backups into several repositories do
// not disturb each other. A backup that streams WAL needs a slot anyway; one
// that does not runs without when there is none to spare.
std::string claim_server(const WalArchive& archive, ReplicationConnection& server,
                         ReplicationConnection* wal_server, Clock& clock,
                         const BaseBackupListener& listener) {
  auto slot = "walvault_backup_" + archive.repository().id().substr(0, 8);
  const auto claimed = [&] {
    if (wal_server != nullptr) return wal_server->create_temporary_slot(slot, SlotWal::kept);
    try {
      return server.create_temporary_slot(slot, SlotWal::not_kept);
    } catch (const Error& error) {
      listener.note("another backup of this cluster would not be noticed: " + error.detail());
      return true;
    }
  };
  const auto deadline = clock.now() + claim_patience;
  while (!claimed()) {
    listener.check_cancelled();
    if (clock.now() >= deadline) {
      throw Error(ErrorKind::unavailable,
                  "another backup of cluster " + archive.identity().name + " is running",
                  running_backup(archive),
                  "Wait until it has ended, then try again. If it was killed, the server ends its "
                  "session after the checkpoint that it waits for; which one that is: SELECT "
                  "active_pid FROM pg_replication_slots WHERE slot_name = '" +
                      slot + "'");
    }
    clock.sleep_for(claim_poll);
  }
  return slot;
}

// The server's warnings, within what a backup's record has room for.
class Warnings {
 public:
  void add(const std::string& text) {
    if (texts_.size() < damage_texts_max) {
      texts_.push_back(text.substr(0, damage_text_bytes_max));
    } else {
      ++left_out_;
    }
  }

  [[nodiscard]] bool empty() const { return texts_.empty(); }

  [[nodiscard]] std::vector<std::string> take() {
    if (texts_.empty()) texts_.emplace_back("the server does not say which");
    if (left_out_ > 0) texts_.back() = "and " + std::to_string(left_out_ + 1) + " more";
    return std::move(texts_);
  }

 private:
  std::vector<std::string> texts_;
  std::uint64_t left_out_ = 0;
};

// How far the server's clock is ahead of this machine's, as far as that can be
// told: zero, or at least the difference. PostgreSQL compares a target time
// with the server's times, so the backup's end has to be one of those, and
// rather late than early.
std::chrono::microseconds clock_offset(std::optional<std::int64_t> label_time,
                                       Timestamp label_received,
                                       const BaseBackupListener& listener) {
  if (!label_time) return {};
  const auto offset = Timestamp(std::chrono::seconds(*label_time)) - label_received;
  if (offset <= std::chrono::seconds(0) && offset >= -clock_skew_unseen) return {};
  listener.warning("the server's clock is about " +
                   std::to_string(std::chrono::round<std::chrono::seconds>(offset).count()) +
                   " s ahead of this machine's; the backup's end is recorded in the server's time");
  return offset + std::chrono::seconds(1);
}

// What the two ways have in common that the data directory may come by.
struct Source {
  const WalArchive& archive;
  ReplicationConnection& server;
  Clock& clock;
  const BaseBackupRequest& request;
  const BaseBackupListener& listener;
  const BackupInfo* parent;  // nullptr: none
  const WriterSession& session;
  WalStreamer* streamer;  // nullptr: the server archives
  TreeWriter& tree;
  BackupInfo& info;

  void start(WalPosition position, std::uint64_t bytes) {
    info.start = position.lsn;
    info.timeline = position.timeline;
    info.branch = archive.branch_of(position.timeline);
    if (streamer != nullptr) streamer->start(position);
    listener.started(bytes);
  }
  [[nodiscard]] std::string label() const {
    return request.label.empty() ? "walvault " + info.id : request.label;
  }
};

BackupContent receive(Source& source) {
  BackupReceiver receiver(source.tree);
  auto label_received = source.info.start_time;
  Warnings warnings;
  const auto end = source.server.base_backup(
      {.label = source.label(),
       .fast_checkpoint = source.request.fast_checkpoint,
       .max_rate_kilobytes = source.request.max_rate_kilobytes},
      {.start = [&](WalPosition position, std::uint64_t bytes) { source.start(position, bytes); },
       .archive =
           [&](const std::optional<Tablespace>& tablespace) {
             // backup_label is the first thing in the data directory's archive.
             if (!tablespace) label_received = source.clock.now();
             receiver.begin_archive(tablespace);
           },
       .archive_data =
           [&](ByteView bytes) {
             if (source.streamer != nullptr) source.streamer->check();
             receiver.archive_data(bytes);
             source.listener.received(bytes.size());
           },
       .archive_end = [&] { receiver.end_archive(); },
       .manifest_data = [&](ByteView bytes) { receiver.manifest_data(bytes); },
       .warning =
           [&](const std::string& text) {
             source.listener.warning("the server warns: " + text);
             warnings.add(text);
           }});
  auto content = receiver.finish();
  content.stop = end.position;
  if (end.has_damaged_pages) source.info.damaged_pages = warnings.take();
  source.info.stop_time =
      source.clock.now() + clock_offset(content.label_time, label_received, source.listener);
  return content;
}

// Of a file that was not written to since, the parent has the content; unless the files
// there were another server's, or a timeline's before.
void find_known_files(const Source& source, FileBackupRequest& files) {
  if (source.request.reads_all_files || source.parent == nullptr ||
      source.session.source() == nullptr) {
    return;
  }
  const auto& parent = *source.parent;
  if (parent.identity_number != source.info.identity_number ||
      parent.timeline != source.server.identify_system().timeline ||
      parent.host != source.info.host || parent.data_directory != files.data_directory ||
      source.server.show("full_page_writes") != "on") {
    return;
  }
  files.known_since = parent.stop_time;
  try {
    files.known = {source.archive.repository(), *source.session.source()};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    source.listener.warning("every file is read: " + error.message() + ": " + error.detail());
    files.is_known_damaged = true;
  }
}

BackupContent read_files(Source& source) {
  auto& server = source.server;
  const auto& request = source.request;
  if (!server.is_local()) {
    throw Error(ErrorKind::usage, "the server's files are not on this machine",
                "--via files reads the data directory, and the connection is to another host.",
                "Run the backup where the server runs and connect by its socket, or use --via "
                "protocol.");
  }
  const auto data_directory = server.show("data_directory");
  if (!data_directory) {
    throw Error(ErrorKind::usage, "the server does not tell where its data directory is", {},
                "GRANT pg_read_all_settings to the user of the connection, or use --via protocol.");
  }
  FileBackupRequest files;
  files.data_directory = *data_directory;
  files.label = source.label();
  files.fast_checkpoint = request.fast_checkpoint;
  files.max_rate_kilobytes = request.max_rate_kilobytes;
  files.jobs = request.jobs;
  files.statistics_directory = server.show("stats_temp_directory").value_or("");
  find_known_files(source, files);
  const auto sql = request.connect_for_files();
  if (sql->query("SELECT pg_catalog.current_setting('data_directory', true)").at(0).at(0) !=
      *data_directory) {
    throw Error(ErrorKind::conflict, "the connections lead to different servers", {},
                "Name one host and port in the connection string.");
  }
  // Both are idle while files are read, and what becomes of the server is told early.
  auto asked = source.clock.now();
  const auto look_at_server = [&] {
    if (source.clock.now() - asked < server_look_pause) return;
    asked = source.clock.now();
    (void)server.identify_system();
    (void)sql->query("SELECT 1");
  };
  Warnings warnings;
  auto content = back_up_files(
      source.archive.identity(), *sql, source.clock, source.tree, files,
      {.started =
           [&](Lsn start, std::uint64_t bytes) {
             source.start({.lsn = start, .timeline = server.identify_system().timeline}, bytes);
           },
       .received = source.listener.received,
       .note = source.listener.note,
       .warning = source.listener.warning,
       .damaged_page = [&](const std::string& text) { warnings.add(text); },
       .check =
           [&] {
             source.listener.check_cancelled();
             if (source.streamer != nullptr) source.streamer->check();
             look_at_server();
           }});
  // A standby may have followed another server meanwhile.
  const auto timeline = server.identify_system().timeline;
  if (timeline != source.info.timeline) content.stop.timeline = timeline;
  if (!warnings.empty()) source.info.damaged_pages = warnings.take();
  source.info.stop_time = source.clock.now();
  return content;
}

// Unless the backup is committed, nothing of it need be kept.
class AbandonOnError {
 public:
  explicit AbandonOnError(const WriterSession& session) : session_(session) {}
  AbandonOnError(const AbandonOnError&) = delete;
  AbandonOnError& operator=(const AbandonOnError&) = delete;
  ~AbandonOnError() {
    if (std::uncaught_exceptions() > before_) session_.abandon();
  }

 private:
  const WriterSession& session_;
  const int before_ = std::uncaught_exceptions();
};

}  // namespace

bool archives_wal(ReplicationConnection& server) {
  // A setting that may not be seen is taken for set: what matters is whether
  // the WAL arrives.
  if (archiving_is_off(server)) return false;
  return !server.show("archive_command").value_or("?").empty() ||
         !server.show("archive_library").value_or("").empty();
}

BackupInfo take_base_backup(const WalArchive& archive, ReplicationConnection& server,
                            RandomId writer, Clock& clock, const BaseBackupRequest& request,
                            const BaseBackupListener& listener) {
  const bool streams_wal = static_cast<bool>(request.connect_for_wal);
  check_server(archive.identity(), server, streams_wal);
  // The slot is made before the backup's checkpoint, so that the server keeps
  // every byte of WAL from there on.
  const auto wal_server = streams_wal ? request.connect_for_wal() : nullptr;
  const auto slot = claim_server(archive, server, wal_server.get(), clock, listener);
  archive_timeline_history(archive, server, clock, request);
  const auto began = clock.now();
  const auto& repository = archive.repository();
  const auto parent = find_parent(archive);

  BackupInfo info;
  info.id = make_backup_id(began, writer);
  info.cluster = archive.identity().name;
  info.identity_number = archive.identity().number;
  info.label = request.label;
  info.start_time = began;
  info.server_version = server.server_version();
  info.writer_version = version_text;
  info.sequence = parent ? parent->sequence + 1 : 1;
  if (server.is_local()) info.host = request.host;
  info.data_directory = server.show("data_directory").value_or("");

  const auto root_key = backup_root_key(info.cluster, info.id);
  const WriterSession session(repository, clock, writer, root_key,
                              parent ? backup_root_key(info.cluster, parent->id) : "");
  const AbandonOnError abandon(session);
  if (session.source() != nullptr) info.parent_id = parent->id;

  std::optional<WalStreamer> streamer;
  if (streams_wal) {
    streamer.emplace(archive, *wal_server, slot, clock,
                     PushOptions{.compression = request.wal_compression, .threads = 1});
  }

  TreeWriter tree(session, {.compression = request.compression,
                            .jobs = request.jobs,
                            .delta_depth = request.delta_depth});
  Source source{.archive = archive,
                .server = server,
                .clock = clock,
                .request = request,
                .listener = listener,
                .parent = parent ? &*parent : nullptr,
                .session = session,
                .streamer = streamer ? &*streamer : nullptr,
                .tree = tree,
                .info = info};
  auto content = request.connect_for_files ? read_files(source) : receive(source);
  info.stop = content.stop.lsn;
  info.control = content.control;
  info.from_standby = content.label.from_standby;
  if (content.stop.timeline != info.timeline || content.label.start != info.start) {
    throw Error(ErrorKind::unavailable, "the server changed its timeline during the backup",
                "It began on " + std::to_string(info.timeline.value) + " at " + info.start.text() +
                    " and ended on " + std::to_string(content.stop.timeline.value) + ".",
                "Run the backup again.");
  }

  auto root = tree.finish();
  root.notes = std::move(content.notes);
  const auto totals = tree.totals();
  if (!tree.parent_damage().empty()) {
    listener.warning(
        "the backup " + info.parent_id +
        " is damaged; what could not be read of it was stored anew: " + tree.parent_damage());
  }
  // Before the commit: a mark without this backup costs space, this backup without the
  // mark would have the next one rely on the pack as well.
  for (const auto& pack : tree.damaged_bases()) {
    listener.warning(pack.key() +
                     " is damaged, and this backup relies on what else is in it. The "
                     "next one stores that anew. What it costs tells: walvault verify");
    mark_damaged(archive.repository(), pack, PackDamage::content, clock.now());
  }
  if (session.damaged_packs() > 0) {
    listener.warning(std::to_string(session.damaged_packs()) + " packs of the backup " +
                     info.parent_id +
                     " are gone or damaged; what they held was stored anew. What that costs tells: "
                     "walvault verify");
  }
  info.files = totals.files;
  info.size_bytes = totals.size_bytes;
  info.zero_bytes = totals.zero_bytes;
  info.new_bytes = totals.new_bytes;
  info.stored_bytes = totals.stored_bytes;

  wait_for_wal(archive, info, clock, request.wal_timeout, streamer ? &*streamer : nullptr,
               listener);
  check_wal_is_the_servers(archive, info);
  // In this order, behind the pin: docs/guarantees.md, "Deleting beside running
  // backups".
  if (is_expiring(archive, {.timeline = info.timeline, .branch = info.branch}, info.start,
                  info.stop)) {
    throw Error(ErrorKind::unavailable, "WAL that the backup needs is being expired",
                "It starts at " + info.start.text() +
                    ", before a backup that was complete when "
                    "it began. No backup was recorded.",
                "Run the backup again.");
  }
  check_wal_is_whole(archive, info);
  listener.check_cancelled();
  info.duration = std::chrono::duration_cast<milliseconds>(clock.now() - began);
  // Before the commit: no expiry sees the one without the other.
  if (request.keep) put_backup_keep(repository, info.cluster, info.id, *request.keep);
  root.head = encode_backup_info(info);
  // Everything that the root refers to is durable by now: the commit.
  session.commit(encode_root(root, root_key));
  return info;
}

}  // namespace walvault
