#include "basebackup/base_backup.h"

#include <algorithm>
#include <exception>

#include "app/version.h"
#include "archiving/push.h"
#include "base/error.h"
#include "base/format.h"
#include "basebackup/backup_source.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/recovery_plan.h"
#include "catalog/wal/wal_chain.h"
#include "catalog/wal/wal_expiry.h"
#include "postgres/checkpoint_record.h"
#include "postgres/wal_page.h"
#include "repository/damaged_packs.h"
#include "repository/tree_copier.h"
#include "repository/tree_writer.h"
#include "repository/writer_session.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wal_poll_first{50};
constexpr milliseconds wal_poll_max{1000};

constexpr milliseconds claim_poll{250};

// So many runs that did not come to their end are looked at.
constexpr std::size_t unfinished_max = 2;

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
  const auto deadline = clock.steady() + timeout;
  auto pause = wal_poll_first;
  bool noted = false;
  while (true) {
    while (segment <= last && archive.has_segment(segment)) ++segment.number;
    if (segment > last) return;
    listener.check_cancelled();
    if (streamer != nullptr) streamer->check();
    if (clock.steady() >= deadline) {
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

// The newest backup of another cluster that has the same system identifier: a copy of
// this one, or what this one was copied from.
std::optional<BackupInfo> find_relative(const WalArchive& archive) {
  const auto& repository = archive.repository();
  std::optional<BackupInfo> newest;
  for (const auto& name : repository.storage().list_names("clusters/")) {
    try {
      const auto other = find_cluster(repository, name);
      if (!other || other->system_identifier != archive.identity().system_identifier) continue;
      auto list = list_backups(repository, name);
      if (list.backups.empty()) continue;
      if (newest && newest->start_time >= list.backups.back().start_time) continue;
      newest = std::move(list.backups.back());
    } catch (const Error& error) {
      // What is the matter with another cluster must not stop this one's first backup.
      if (error.kind() == ErrorKind::internal) throw;
    }
  }
  return newest;
}

// The backup of this cluster that was begun last and is not complete: from its
// writer's pin.
std::string running_backup(const WalArchive& archive) {
  const auto& repository = archive.repository();
  const auto prefix = "backups/" + archive.identity().name + "/";
  std::optional<Pin> newest;
  for (auto& stored : list_pins(repository)) {
    auto& pin = stored.pin;
    if (pin.root_key.starts_with(prefix) && pin.created != copied_for_ever &&
        (!newest || pin.created > newest->created) && is_live(repository, pin)) {
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
                         ReplicationConnection* wal_server, Clock& clock, milliseconds patience,
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
  const auto deadline = clock.steady() + patience;
  while (!claimed()) {
    listener.check_cancelled();
    if (clock.steady() >= deadline) {
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

// What is found damaged is marked, so that the next try does not borrow of it.
BackupContent receive(BackupSource& source) {
  try {
    return receive_from_server(source);
  } catch (const UnusableParent& error) {
    if (error.pack()) {
      mark_damaged(source.archive.repository(), *error.pack(), PackDamage::content,
                   source.clock.now());
    }
    throw;
  }
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

// So that who looks at the whole archive reads few objects. Derived, and nobody's to wait
// for: where much lacks, others make it.
void keep_ledger(const WalArchive& archive, const BackupInfo& info) try {
  constexpr std::size_t segments_max = 32;
  archive.keep_ledger(
      SegmentName::before(info.timeline, info.stop, archive.identity().segment_bytes),
      segments_max);
} catch (const Error&) {
}

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
  // Before the claim, which ends with a command that is refused.
  const auto data_directory = server.show("data_directory").value_or("");
  const auto claim = [&] {
    return claim_server(archive, server, wal_server.get(), clock, request.claim_patience, listener);
  };
  const auto slot = claim();
  archive_timeline_history(archive, server, clock, request);
  const auto began = clock.now();
  const auto began_steady = clock.steady();
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
  info.data_directory = data_directory;

  const auto root_key = backup_root_key(info.cluster, info.id);
  const auto relative = parent ? std::nullopt : find_relative(archive);
  const auto& lender = parent ? parent : relative;
  const auto lender_key = lender ? backup_root_key(lender->cluster, lender->id) : std::string();
  const WriterSession session(repository, clock, writer, root_key, lender_key,
                              find_unfinished(repository, "backups/" + info.cluster + "/",
                                              parent ? lender_key : "", unfinished_max));
  const AbandonOnError abandon(session);
  if (parent && session.parent() != nullptr) info.parent_id = parent->id;
  if (relative && session.parent() != nullptr) {
    listener.note("what the cluster " + relative->cluster + " has in its backup " + relative->id +
                  " is not stored again");
  }
  if (!session.unfinished().empty()) {
    listener.note("what a backup had stored that did not come to its end is not stored again");
  }

  std::optional<WalStreamer> streamer;
  if (streams_wal) {
    streamer.emplace(archive, *wal_server, slot, clock,
                     PushOptions{.compression = request.wal_compression, .threads = 1});
  }

  TreeWriter tree(session, {.compression = request.compression,
                            .jobs = request.jobs,
                            .delta_depth = request.delta_depth,
                            .weighs_deltas = request.weighs_deltas,
                            .uploads = request.uploads,
                            .data_pack = {.bytes_max = request.pack_bytes},
                            .unfinished_bytes_min = request.unfinished_bytes_min});
  BackupSource source{.archive = archive,
                      .server = server,
                      .clock = clock,
                      .request = request,
                      .listener = listener,
                      .parent = parent ? &*parent : nullptr,
                      .session = session,
                      .streamer = streamer ? &*streamer : nullptr,
                      .tree = tree,
                      .info = info,
                      .claim_again = [&] {
                        if (!wal_server) (void)claim();
                      }};
  auto content = request.connect_for_files ? read_data_directory(source) : receive(source);
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
        "a backup before this one is damaged; what could not be read of it was stored "
        "anew: " +
        tree.parent_damage());
  }
  // Before the commit: a mark without this backup costs space, this backup without the
  // mark would have the next one rely on the pack as well.
  for (const auto& pack : tree.damaged_bases()) {
    listener.warning(pack.key() +
                     " is damaged, and this backup relies on what else is in it. The "
                     "next one stores that anew. What it costs tells: walvault verify");
    mark_damaged(archive.repository(), pack, PackDamage::content, clock.now());
  }
  if (const auto packs = session.damaged_packs_of_parent(); packs > 0) {
    listener.warning(std::to_string(packs) + " packs of the backup " + lender->id + " of " +
                     lender->cluster +
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
  info.duration = std::chrono::duration_cast<milliseconds>(clock.steady() - began_steady);
  // Before the commit: no expiry sees the one without the other.
  if (request.keep) put_backup_keep(repository, info.cluster, info.id, *request.keep);
  root.head = encode_backup_info(info);
  // Everything that the root refers to is durable by now: the commit.
  session.commit(encode_root(root, root_key));
  keep_ledger(archive, info);
  return info;
}

}  // namespace walvault
