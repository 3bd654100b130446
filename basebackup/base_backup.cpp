#include "basebackup/base_backup.h"

#include <exception>

#include "app/version.h"
#include "archiving/push.h"
#include "archiving/server_history.h"
#include "base/error.h"
#include "basebackup/backup_source.h"
#include "basebackup/lender.h"
#include "basebackup/own_wal.h"
#include "basebackup/server_claim.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/archived_history.h"
#include "catalog/recovery/left_timelines.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"
#include "repository/tree_writer.h"
#include "repository/unfinished.h"
#include "repository/writer_session.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// So many runs that did not come to their end are looked at.
constexpr std::size_t unfinished_max = 2;
// The segment before a backup may have been filled at this moment. Less than wal_sender_timeout.
constexpr std::chrono::seconds archiver_patience{20};

// A restore takes the newest timeline: this backup is not on it.
void warn_of_newer_timelines(const WalArchive& archive, ReplicationConnection& server,
                             const Reporter& reporter) {
  const auto own = server.identify_system().timeline;
  if (is_abandoned(archive, own)) {
    const auto number = std::to_string(own.value);
    reporter.warn("timeline " + number +
                  ", on which this server is, was abandoned: no restore "
                  "follows it. If this server is the cluster's: walvault timeline abandon " +
                  number + " --undo");
  }
  const auto newer = newer_timelines(archive, own);
  if (newer.empty()) return;
  const auto newest = std::to_string(newer.back().value);
  reporter.warn("timeline " + newest + " is archived, newer than this server's own, " +
                std::to_string(own.value) +
                ": another server archives under this name, and a restore without --timeline "
                "follows that one. walvault check says what to do");
}

// It goes on with a history of which every moment was to be restorable, and now only its backups
// are: a copy that took the original's place, as a rule.
void warn_of_no_archiving(const WalArchive& archive, ReplicationConnection& server,
                          const Reporter& reporter) {
  if (archives_wal(server)) return;
  const auto own = server.identify_system().timeline;
  const auto list = list_backups(archive.repository(), archive.identity().name);
  if (!is_archived_between_backups({archive, list.backups}, own)) return;
  reporter.warn(
      "this server goes on with the archived history and archives nothing: what is committed "
      "behind this backup cannot be restored. If it took the original's place: walvault archiving "
      "keep --pgdata DIR on its host, then restart it");
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
  archive.keep_ledger(SegmentName::before(info.timeline, info.stop, archive.identity().geometry),
                      segments_max);
} catch (const Error&) {
}

// One backup, step by step. What its steps have in common are its members.
class BackupRun {
 public:
  BackupRun(const WalArchive& archive, ReplicationConnection& server, RandomId writer, Clock& clock,
            const BaseBackupRequest& request, const Reporter& reporter, const Meter& meter)
      : archive_(archive),
        server_(server),
        writer_(writer),
        clock_(clock),
        request_(request),
        reporter_(reporter),
        meter_(meter) {}

  BackupInfo run() {
    claim();
    (void)archive_server_history(archive_, server_, clock_,
                                 {.compression = request_.compression, .threads = 1});
    warn_of_newer_timelines(archive_, server_, reporter_);
    warn_of_no_archiving(archive_, server_, reporter_);
    describe();
    const auto session = begin_session();
    const AbandonOnError abandon(session);
    tell_what_is_lent(session);
    auto root = store_files(session);
    expect_own_wal(archive_, info_, clock_, request_.wal_timeout, streamer(), reporter_);
    commit(session, std::move(root));
    keep_ledger(archive_, info_);
    return std::move(info_);
  }

 private:
  [[nodiscard]] const Repository& repository() const { return archive_.repository(); }
  [[nodiscard]] WalStreamer* streamer() { return streamer_ ? &*streamer_ : nullptr; }

  void claim() {
    const bool streams_wal = static_cast<bool>(request_.connect_for_wal);
    expect_registered_server(archive_.identity(), server_, streams_wal);
    // The slot is made before the backup's checkpoint, so that the server keeps
    // every byte of WAL from there on.
    if (streams_wal) {
      wal_server_ = request_.connect_for_wal();
      // The slot reserves from a checkpoint before that.
      kept_from_ = wal_server_->identify_system().flushed;
    }
    // Before the claim, which ends with a command that is refused.
    info_.data_directory = server_.show("data_directory").value_or("");
    slot_ = claim_slot();
  }

  [[nodiscard]] std::string claim_slot() {
    return claim_server(archive_, server_, wal_server_.get(), clock_, request_.claim_patience,
                        reporter_);
  }

  void describe() {
    info_.start_time = clock_.now();
    began_ = clock_.steady();
    lender_ = find_lender(archive_);
    info_.id = make_backup_id(info_.start_time, writer_);
    info_.cluster = archive_.identity().name;
    info_.identity_number = archive_.identity().number;
    info_.label = request_.label;
    info_.server_version = server_.server_version();
    info_.writer_version = version_text();
    // Above all of them: backups that were copied here may have higher ones than the newest.
    info_.sequence = lender_.highest_sequence + 1;
    if (server_.is_local()) info_.host = request_.host;
  }

  [[nodiscard]] std::string root_key() const { return backup_root_key(info_.cluster, info_.id); }

  [[nodiscard]] WriterSession begin_session() const {
    return {repository(),
            clock_,
            writer_,
            root_key(),
            lender_.root_key(),
            find_unfinished(repository(), prefix_of(ObjectPlace::backups, info_.cluster),
                            lender_.parent ? lender_.root_key() : "", unfinished_max)};
  }

  void tell_what_is_lent(const WriterSession& session) {
    if (lender_.parent && session.parent() != nullptr) info_.parent_id = lender_.parent->id;
    if (lender_.relative && session.parent() != nullptr) {
      reporter_.info("reusing chunks of cluster " + lender_.relative->cluster +
                     ", from its backup " + lender_.relative->id);
    }
    if (!session.unfinished().empty()) {
      reporter_.info("reusing chunks that an interrupted backup has stored");
    }
  }

  // What backups streamed for themselves lies apart from each other, and shares nothing.
  [[nodiscard]] bool relies_on_archive() {
    if (request_.accepts_unlinked_wal) return false;
    const auto list = list_backups(repository(), archive_.identity().name);
    return is_archived_between_backups({archive_, list.backups}, server_.identify_system().timeline,
                                       Ancestors::are_left_out);
  }

  [[nodiscard]] Root store_files(const WriterSession& session) {
    if (wal_server_) {
      streamer_.emplace(archive_, *wal_server_, slot_, clock_,
                        PushOptions{.compression = request_.wal_compression, .threads = 1});
      streamer_->keeps_from(kept_from_);
      if (relies_on_archive()) streamer_->wants_archived_before(archiver_patience);
    }
    TreeWriter tree(session, {.compression = request_.compression,
                              .jobs = request_.jobs,
                              .delta_depth = request_.delta_depth,
                              .weighs_deltas = request_.weighs_deltas,
                              .uploads = request_.uploads,
                              .data_pack = {.bytes_max = request_.pack_bytes},
                              .unfinished_bytes_min = request_.unfinished_bytes_min});
    BackupSource source{.archive = archive_,
                        .server = server_,
                        .clock = clock_,
                        .request = request_,
                        .reporter = reporter_,
                        .meter = meter_,
                        .parent = lender_.parent ? &*lender_.parent : nullptr,
                        .session = session,
                        .streamer = streamer(),
                        .tree = tree,
                        .info = info_,
                        .claim_again = [&] {
                          if (!wal_server_) (void)claim_slot();
                        }};
    auto content = request_.connect_for_files ? read_data_directory(source) : receive(source);
    take_over(content);
    auto root = tree.finish();
    root.notes = std::move(content.notes);
    const auto& totals = tree.totals();
    info_.files = totals.files;
    info_.size_bytes = totals.size_bytes;
    info_.zero_bytes = totals.zero_bytes;
    info_.new_bytes = totals.new_bytes;
    info_.stored_bytes = totals.stored_bytes;
    tell_of_damage(tree, session);
    return root;
  }

  void take_over(const BackupContent& content) {
    info_.stop = content.stop.lsn;
    info_.control = content.control;
    info_.from_standby = content.label.from_standby;
    if (content.stop.timeline == info_.timeline && content.label.start == info_.start) return;
    throw Error(ErrorKind::unavailable, "the server changed its timeline during the backup",
                "It began on " + std::to_string(info_.timeline.value) + " at " +
                    info_.start.text() + " and ended on " +
                    std::to_string(content.stop.timeline.value) + ".",
                "Run the backup again.");
  }

  // Before the commit: a mark without this backup costs space, this backup without the
  // mark would have the next one rely on the pack as well.
  void tell_of_damage(const TreeWriter& tree, const WriterSession& session) {
    if (!tree.parent_damage().empty()) {
      reporter_.warn(
          "an earlier backup is damaged; what could not be read of it was stored again: " +
          tree.parent_damage());
    }
    for (const auto& pack : tree.damaged_bases()) {
      reporter_.warn(pack.key() +
                     " is damaged, and this backup relies on what else is in it. The next backup "
                     "stores that again. To see what is lost: walvault verify");
      mark_damaged(repository(), pack, PackDamage::content, clock_.now());
    }
    if (const auto packs = session.damaged_packs_of_parent(); packs > 0) {
      const auto& lender = *lender_.backup();
      reporter_.warn(std::to_string(packs) + " packs of the backup " + lender.id + " of " +
                     lender.cluster +
                     " are gone or damaged; what they held was stored again. To see what is lost: "
                     "walvault verify");
    }
  }

  void commit(const WriterSession& session, Root root) {
    reporter_.check_cancelled();
    info_.duration = std::chrono::duration_cast<milliseconds>(clock_.steady() - began_);
    // Before the commit: no expiry sees the one without the other.
    if (request_.keep) put_backup_keep(repository(), info_.cluster, info_.id, *request_.keep);
    root.head = encode_backup_info(info_);
    // Everything that the root refers to is durable by now: the commit.
    session.commit(encode_root(repository().codec(), root, root_key()));
  }

  const WalArchive& archive_;
  ReplicationConnection& server_;
  const RandomId writer_;
  Clock& clock_;
  const BaseBackupRequest& request_;
  const Reporter& reporter_;
  const Meter& meter_;

  std::unique_ptr<ReplicationConnection> wal_server_;  // nullptr: the server archives
  std::string slot_;
  SteadyTime began_;
  Lender lender_;
  BackupInfo info_;
  Lsn kept_from_;
  std::optional<WalStreamer> streamer_;
};

}  // namespace

BackupInfo take_base_backup(const WalArchive& archive, ReplicationConnection& server,
                            RandomId writer, Clock& clock, const BaseBackupRequest& request,
                            const Reporter& reporter, const Meter& meter) {
  return BackupRun(archive, server, writer, clock, request, reporter, meter).run();
}

}  // namespace walvault
