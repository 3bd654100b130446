#include "basebackup/backup_source.h"

#include "base/error.h"
#include "basebackup/backup_receiver.h"
#include "basebackup/changes.h"
#include "basebackup/file_backup.h"
#include "postgres/data_path.h"

namespace walvault {
namespace {

constexpr std::chrono::seconds server_look_pause{30};

// The server's clock is seen once, cut to whole seconds, and with a delay.
constexpr std::chrono::seconds clock_skew_unseen{2};

constexpr int no_statistics_directory_since = 150000;

// From this version on a server can send what changed since an earlier backup.
constexpr int incremental_since_version = 170000;

// Within what a backup's record has room for.
class RecordTexts {
 public:
  explicit RecordTexts(std::size_t count_max) : count_max_(count_max) {}

  void add(const std::string& text) {
    if (texts_.size() < count_max_) {
      texts_.push_back(text.substr(0, record_text_bytes_max));
    } else {
      ++left_out_;
    }
  }

  [[nodiscard]] bool empty() const { return texts_.empty(); }

  [[nodiscard]] std::vector<std::string> take() {
    if (left_out_ > 0) texts_.back() = "and " + std::to_string(left_out_ + 1) + " more";
    return std::move(texts_);
  }

 private:
  const std::size_t count_max_;
  std::vector<std::string> texts_;
  std::uint64_t left_out_ = 0;
};

// Of what is neither file nor directory, and what of it makes the backup less than whole.
void skip(const BackupSource& source, const std::string& path, RecordTexts& skipped) {
  source.reporter.warn("\"" + path + "\" is neither file nor directory, and in no backup");
  if (holds_data(path)) skipped.add(path);
}

// How far the server's clock is ahead of this machine's, as far as that can be
// told: zero, or at least the difference. PostgreSQL compares a target time
// with the server's times, so the backup's end has to be one of those, and
// rather late than early.
std::chrono::microseconds clock_offset(std::optional<std::int64_t> label_time,
                                       Timestamp label_received, const Reporter& reporter) {
  if (!label_time) return {};
  const auto offset = Timestamp(std::chrono::seconds(*label_time)) - label_received;
  if (offset <= std::chrono::seconds(0) && offset >= -clock_skew_unseen) return {};
  reporter.warn("the server's clock is about " +
                std::to_string(std::chrono::round<std::chrono::seconds>(offset).count()) +
                " s ahead of this machine's; the backup's end is recorded in the server's time");
  return offset + std::chrono::seconds(1);
}

// Of a file that was not written to since, the parent has the content; unless the files
// there were another server's, or a timeline's before.
void find_known_files(const BackupSource& source, FileBackupRequest& files) {
  if (source.request.reads_all_files || source.parent == nullptr ||
      source.session.parent() == nullptr) {
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
    files.known = {source.archive.repository(), *source.session.parent()};
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    source.reporter.warn("every file is read: " + one_line(error));
    files.is_known_damaged = true;
  }
}

void tell_that_everything_comes(const BackupSource& source, const std::string& why) {
  source.reporter.info("the server sends everything, not only what changed since the backup " +
                       source.parent->id + ": " + why);
}

// The server sends what changed since the parent, or everything: nullptr.
BackupContent receive(BackupSource& source, ChangesSince* changes, bool& has_begun) {
  BackupReceiver receiver(source.tree,
                          changes != nullptr ? std::optional(changes->form()) : std::nullopt);
  auto label_received = source.info.start_time;
  RecordTexts warnings(damage_texts_max);
  RecordTexts skipped(skipped_texts_max);
  const auto end = source.server.base_backup(
      {.label = source.label(),
       .fast_checkpoint = source.request.fast_checkpoint,
       .max_rate_kilobytes = source.request.max_rate_kilobytes,
       .incremental = changes != nullptr},
      {.start =
           [&](WalPosition position, std::uint64_t bytes) {
             has_begun = true;
             if (changes != nullptr) {
               changes->check_begun(position);
               source.reporter.info("the server sends what changed since the backup " +
                                    source.parent->id);
             }
             source.start(position, bytes);
           },
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
             source.meter.done(bytes.size());
           },
       .archive_end = [&] { receiver.end_archive(); },
       .manifest_data = [&](ByteView bytes) { receiver.manifest_data(bytes); },
       .warning =
           [&](const std::string& text) {
             source.reporter.warn("the server warns: " + text);
             warnings.add(text);
           },
       .skipped =
           [&](const std::string& path) {
             // Before that the server only adds up what there is, and says the same.
             if (has_begun) skip(source, path, skipped);
           }});
  auto content = receiver.finish(end.position);
  if (end.has_damaged_pages) {
    if (warnings.empty()) warnings.add("the server does not say which");
    source.info.damaged_pages = warnings.take();
  }
  source.info.skipped_files = skipped.take();
  source.info.stop_time =
      source.clock.now() + clock_offset(content.label_time, label_received, source.reporter);
  return content;
}

// What the server needs to send only what changed since the parent; empty: it sends
// everything, and it was said why.
std::unique_ptr<ChangesSince> ask_for_changes(BackupSource& source) {
  const auto& request = source.request;
  const auto* const tree = source.session.parent();
  if (!request.connect_for_changes || request.reads_all_files || source.parent == nullptr ||
      tree == nullptr || source.server.server_version() < incremental_since_version) {
    return nullptr;
  }
  auto changes = std::make_unique<ChangesSince>(source.archive, source.server, source.session,
                                                *source.parent, *tree, request.connect_for_changes);
  auto why = source.tree.parent_damage().empty() ? changes->why_everything() : "it is damaged";
  if (why.empty()) {
    try {
      changes->upload();
      return changes;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable && error.kind() != ErrorKind::corrupt) throw;
      why = one_line(error);
    }
  }
  tell_that_everything_comes(source, why);
  // A refusal ends the server's session with its slot.
  source.claim_again();
  return nullptr;
}

}  // namespace

void BackupSource::start(WalPosition position, std::uint64_t bytes) {
  info.start = position.lsn;
  info.timeline = position.timeline;
  info.branch = archive.branch_of(position.timeline);
  if (streamer != nullptr) streamer->start(position);
  meter.total(bytes);
}

std::string BackupSource::label() const {
  return request.label.empty() ? "walvault " + info.id : request.label;
}

BackupContent receive_from_server(BackupSource& source) {
  bool has_begun = false;
  if (const auto changes = ask_for_changes(source)) {
    try {
      return receive(source, changes.get(), has_begun);
    } catch (const Error& error) {
      // Summaries that are missing, or damaged.
      const bool is_refused =
          error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::corrupt;
      if (has_begun || !is_refused) throw;
      tell_that_everything_comes(source, error.detail());
      source.claim_again();
    }
  }
  return receive(source, nullptr, has_begun);
}

BackupContent read_data_directory(BackupSource& source) {
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
    throw Error(ErrorKind::usage, "the server does not say where its data directory is", {},
                "GRANT pg_read_all_settings to the user of the connection, or use --via protocol.");
  }
  FileBackupRequest files;
  files.data_directory = *data_directory;
  files.label = source.label();
  files.fast_checkpoint = request.fast_checkpoint;
  files.max_rate_kilobytes = request.max_rate_kilobytes;
  files.jobs = request.jobs;
  // Asking for what there is not would end the claim.
  if (server.server_version() < no_statistics_directory_since) {
    files.statistics_directory = server.show("stats_temp_directory").value_or("");
  }
  find_known_files(source, files);
  const auto sql = request.connect_for_files();
  if (sql->query("SELECT pg_catalog.current_setting('data_directory', true)").at(0).at(0) !=
      *data_directory) {
    throw Error(ErrorKind::conflict, "the connections lead to different servers", {},
                "Name one host and port in the connection string.");
  }
  // Both are idle while files are read, and what becomes of the server is told early.
  auto asked = source.clock.steady();
  const auto look_at_server = [&] {
    if (source.clock.steady() - asked < server_look_pause) return;
    asked = source.clock.steady();
    (void)server.identify_system();
    (void)sql->query("SELECT 1");
  };
  RecordTexts damaged(damage_texts_max);
  RecordTexts skipped(skipped_texts_max);
  auto content = back_up_files(
      source.archive.identity(), *sql, source.clock, source.tree, files,
      {.started =
           [&](Lsn start, std::uint64_t bytes) {
             source.start({.lsn = start, .timeline = server.identify_system().timeline}, bytes);
           },
       .damaged_page = [&](const std::string& text) { damaged.add(text); },
       .skipped = [&](const std::string& path) { skip(source, path, skipped); }},
      {.info = source.reporter.info,
       .warn = source.reporter.warn,
       .check_cancelled =
           [&] {
             source.reporter.check_cancelled();
             if (source.streamer != nullptr) source.streamer->check();
             look_at_server();
           }},
      source.meter);
  // A standby may have followed another server meanwhile.
  const auto timeline = server.identify_system().timeline;
  if (timeline != source.info.timeline) content.stop.timeline = timeline;
  source.info.damaged_pages = damaged.take();
  source.info.skipped_files = skipped.take();
  source.info.stop_time = source.clock.now();
  return content;
}

}  // namespace walvault
