#include "basebackup/backup_command.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/connection_options.h"
#include "app/log.h"
#include "app/places.h"
#include "app/program_reporter.h"
#include "app/progress.h"
#include "app/results/backup_result.h"
#include "app/results/expiry_result.h"
#include "base/format.h"
#include "basebackup/base_backup.h"
#include "basebackup/changes.h"
#include "basebackup/server_claim.h"
#include "repository/tree_writer.h"
#include "server/catalogue_reader.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t label_bytes_max = 1000;
constexpr std::chrono::hours fast_checkpoint_patience{1};
constexpr std::chrono::hours spread_checkpoint_patience{25};

// So often the server is asked for changes only.
constexpr int changes_tries = 3;
constexpr std::chrono::seconds retry_patience{60};
constexpr std::chrono::seconds retry_pause{1};

struct Options {
  std::optional<std::string> pg;
  std::string label;
  std::optional<std::string> keep_for;
  std::string checkpoint = "fast";
  std::optional<std::string> max_rate;
  std::optional<std::string> wal;
  std::optional<std::string> via;
  bool checksum_all = false;
  std::optional<std::string> jobs;
  std::string wal_timeout = "10min";
  bool accept = false;
};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

BaseBackupRequest request_of(const Options& options, const Config& config) {
  BaseBackupRequest request;
  if (options.label.size() > label_bytes_max ||
      options.label.find_first_of("\r\n") != std::string::npos) {
    throw Error(ErrorKind::usage, "this label cannot be used",
                "A label is one line of at most " + std::to_string(label_bytes_max) + " bytes.");
  }
  if (options.max_rate) {
    const auto kilobytes = parse_size(*options.max_rate, "--max-rate") / 1024;
    if (kilobytes < 32 || kilobytes > 1'048'576) {
      throw Error(ErrorKind::usage, "\"" + *options.max_rate + "\" is not a value for --max-rate",
                  "PostgreSQL allows 32kB to 1GB a second.");
    }
    request.max_rate_kilobytes = static_cast<std::uint32_t>(kilobytes);
  }
  request.label = options.label;
  request.fast_checkpoint =
      parse_choice(options.checkpoint, "--checkpoint", {"fast", "spread"}) == "fast";
  request.accepts_unlinked_wal = options.accept;
  request.wal_timeout = parse_duration(options.wal_timeout, "--wal-timeout");
  request.compression = config.data_compression;
  request.delta_depth = config.delta_depth();
  request.weighs_deltas = config.weighs_deltas();
  request.uploads = config.profile().pack_uploads;
  request.pack_bytes = config.profile().pack_bytes;
  request.wal_compression = config.wal_compression;
  request.jobs = config.worker_threads(options.jobs);
  request.host = host_name();
  if (options.keep_for) {
    request.keep = parse_backup_keep(*options.keep_for, "--keep-for", system_clock().now());
  }
  return request;
}

bool streams_wal(const Options& options, ReplicationConnection& server) {
  if (!options.wal) {
    const bool archives = archives_wal(server);
    if (!archives) log_info("the server does not archive: its WAL is streamed");
    return !archives;
  }
  return parse_choice(*options.wal, "--wal", {"archive", "stream"}) == "stream";
}

// While its places are taken by connections that are about to end.
std::unique_ptr<ReplicationConnection> connect_again(const ConnectOptions& options) {
  const auto deadline = system_clock().steady() + retry_patience;
  while (true) {
    try {
      return connect_replication(options);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable || system_clock().steady() >= deadline) throw;
    }
    system_clock().sleep_for(retry_pause);
  }
}

struct Expired {
  ordered_json document;
  std::string text;
};

bool reads_files(const Options& options) {
  return options.via && parse_choice(*options.via, "--via", {"protocol", "files"}) == "files";
}

// As the configuration wants it. The backup is complete whatever becomes of this.
Expired expire_after(Program& program, const Repository& repository, const BackupInfo& info) {
  const auto settings = program.config().of_cluster(info.cluster);
  // Those from before may be the last that are whole.
  if (!settings.expire || !info.is_whole()) return {};
  try {
    const auto now = system_clock().now();
    const auto plan = plan_expiry(repository, info.cluster, settings.retention, now, true);
    const auto result =
        carry_out_expiry(repository, info.cluster, plan, program.writer(), now, check_cancelled);
    return {.document = expiry_json(plan, &result), .text = expiry_text(plan, &result)};
  } catch (const Error& error) {
    log_warning("the backup is complete, but what the policy does not keep could not be deleted: " +
                one_line(error));
    program.set_exit_code(exit_code(error.kind()));
    return {};
  }
}

// A server, and the backups that are tried of it.
class BackupTries {
 public:
  BackupTries(Program& program, const Options& options, const WalArchive& archive,
              const ConnectOptions& connect, BaseBackupRequest request)
      : program_(program),
        archive_(archive),
        connect_(connect),
        server_(connect_replication(connect)),
        request_(std::move(request)) {
    expect_server_apart(program.config(), server_->show("data_directory"));
    if (streams_wal(options, *server_)) {
      request_.connect_for_wal = [&] { return connect_replication(connect_); };
    }
    request_.reads_all_files = options.checksum_all;
    if (reads_files(options)) {
      request_.connect_for_files = [&] { return connect_for_files(); };
    } else {
      request_.connect_for_changes = [&] { return connect_sql(connect_); };
    }
  }
  BackupTries(const BackupTries&) = delete;
  BackupTries& operator=(const BackupTries&) = delete;

  // Until it comes, from some try on with everything.
  [[nodiscard]] BackupInfo take() {
    auto writer = program_.writer();
    for (int tried = 1;; ++tried) {
      try {
        return take_once(writer);
      } catch (const UnusableParent& error) {
        log_warning(one_line(error) + " The server sends everything.");
        request_.reads_all_files = true;
      } catch (const ChangesOutdated& error) {
        log_info(one_line(error) + " The backup begins again.");
        if (tried >= changes_tries) request_.reads_all_files = true;
      }
      // The one before is in the middle of a backup that nobody reads on, which the server
      // notices behind the file at hand.
      server_.reset();
      server_ = connect_again(connect_);
      request_.claim_patience = retry_patience;
      writer = system_randomness().id();
    }
  }

 private:
  // It waits for the backup's checkpoint.
  [[nodiscard]] std::unique_ptr<SqlConnection> connect_for_files() const {
    auto patient = connect_;
    patient.stall_timeout =
        request_.fast_checkpoint ? fast_checkpoint_patience : spread_checkpoint_patience;
    return connect_sql(patient);
  }

  [[nodiscard]] BackupInfo take_once(const RandomId& writer) {
    Progress progress("backup", 0, program_.shows_progress());
    return take_base_backup(archive_, *server_, writer, system_clock(), request_,
                            program_reporter(),
                            {.total = [&](std::uint64_t bytes) { progress.set_total(bytes); },
                             .done = [&](std::uint64_t bytes) { progress.add(bytes); }});
  }

  Program& program_;
  const WalArchive& archive_;
  const ConnectOptions& connect_;
  std::unique_ptr<ReplicationConnection> server_;
  BaseBackupRequest request_;
};

// Lines; empty: there is none.
std::string damage_text(const BackupInfo& info) {
  std::string text;
  if (!info.damaged_pages.empty()) {
    text +=
        "DAMAGED PAGES: pages were found whose checksum fails, and they are in the "
        "backup as they are:\n";
    for (const auto& each : info.damaged_pages) text += "  " + each + "\n";
    text += "Find the relations with pg_amcheck, and keep the backups from before.\n";
  }
  if (!info.skipped_files.empty()) {
    text += "NOT WHOLE: data was moved and a link put in its place. It is not in the backup:\n";
    for (const auto& each : info.skipped_files) text += "  " + each + "\n";
    text +=
        "PostgreSQL's backups follow no links but those of tablespaces. Stop the server, move the "
        "data back (or into a tablespace), and take a new backup.\n";
  }
  return text;
}

std::string result_text(const BackupInfo& info) {
  return "Backup " + info.id + " of " + info.cluster + " is complete.\n" +
         "  WAL:   " + info.start.text() + " to " + info.stop.text() + ", timeline " +
         std::to_string(info.timeline.value) + "\n  Size:  " + format_size(info.size_bytes) +
         " in " + std::to_string(info.files) + " files, " + format_size(info.new_bytes) +
         " new, stored in " + format_size(info.stored_bytes) +
         "\n  Time:  " + format_duration(info.duration) + "\nRestorable from " +
         to_local_text(info.stop_time) + " on.\n";
}

void run_backup(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  auto request = request_of(options, config);
  const auto cluster = config.cluster();
  expect_repositories_sound(config);
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository,
                           get_cluster(opened.repository, cluster, ErrorKind::conflict));
  const ConnectOptions connect{.conninfo = conninfo_for(config, cluster, options.pg),
                               .check_cancelled = check_cancelled};
  // It holds the claim on the server, until the names are stored and what is to go has gone.
  BackupTries tries(program, options, archive, connect, std::move(request));
  const auto info = tries.take();

  // For walvault find. A replication user need not be allowed to read it.
  const auto unnamed =
      store_catalogue(opened.repository, archive.identity(), connect, system_clock().now());
  if (!unnamed.empty()) log_info("the names of relations could not be read: " + unnamed);

  const auto expired = expire_after(program, opened.repository, info);
  if (!info.is_whole()) program.set_exit_code(exit_code(ErrorKind::corrupt));
  ordered_json document = {{"backup", backup_json(info)}};
  if (!expired.document.is_null()) document["expire"] = expired.document;
  program.print(document, result_text(info) + damage_text(info) + expired.text);
}

}  // namespace

void add_backup_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("backup", "Takes a base backup of a running server",
                                   [&program, options] { run_backup(program, *options); });
  command.option("--pg", options->pg, "How to connect to the server (a libpq connection string)");
  command.option("--label", options->label, "A name for the backup, as in: before the migration");
  command.option("--keep-for", options->keep_for,
                 "How long to keep it whatever the retention policy says: 90d, or forever");
  command.option("--checkpoint", options->checkpoint, "fast (now) or spread (gentle, slower)");
  command.option("--max-rate", options->max_rate,
                 "The most that is sent or read in a second: 100MB");
  command.option(
      "--wal", options->wal,
      "archive (the server archives its WAL) or stream (walvault receives it over a second "
      "connection). Default: what the server's settings suggest");
  command.option("--via", options->via,
                 "protocol (the server sends its files) or files (walvault reads them directly, in "
                 "parallel, and skips files that did not change). Default: protocol");
  command.flag(
      "--checksum-all", options->checksum_all,
      "Read every file, or have the server send it, even if it is known not to have changed");
  command.option("--jobs", options->jobs, "How many threads to use");
  command.flag("--accept", options->accept,
               "With --wal stream: take its WAL though nothing shows that it goes on with what is "
               "archived");
  command.option("--wal-timeout", options->wal_timeout,
                 "How long to wait for the backup's WAL to be archived");
}

}  // namespace walvault
