#include "restore/restore_command.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/log.h"
#include "app/progress.h"
#include "base/file.h"
#include "base/format.h"
#include "restore/restore.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

constexpr int prefetch_version_min = 150000;              // the first with recovery_prefetch
constexpr std::size_t restore_point_name_bytes_max = 63;  // MAXFNAMELEN - 1

struct Options {
  std::string pgdata;
  std::optional<std::string> to;
  std::optional<std::string> to_lsn;
  std::optional<std::string> to_xid;
  std::optional<std::string> to_name;
  bool to_immediate = false;
  bool exclusive = false;
  std::optional<std::string> backup;
  std::string timeline = "latest";
  std::vector<std::string> tablespaces;
  std::optional<std::string> action;
  std::optional<std::string> archiving;
  std::optional<std::string> jobs;
  bool dry_run = false;
};

RecoveryTarget target_of(const Options& options) {
  RecoveryTarget target;
  target.inclusive = !options.exclusive;
  int targets = 0;
  if (options.to) {
    ++targets;
    target.kind = TargetKind::time;
    target.asked = *options.to;
    target.time = parse_timestamp(*options.to);
  }
  if (options.to_lsn) {
    ++targets;
    target.kind = TargetKind::lsn;
    target.asked = *options.to_lsn;
    const auto lsn = Lsn::parse(*options.to_lsn);
    if (!lsn) {
      throw Error(ErrorKind::usage, "\"" + *options.to_lsn + "\" is not a WAL position", {},
                  "Write it as PostgreSQL does, for example 0/3000148.");
    }
    target.lsn = *lsn;
  }
  if (options.to_xid) {
    ++targets;
    target.kind = TargetKind::xid;
    target.asked = *options.to_xid;
    const auto* const end = options.to_xid->data() + options.to_xid->size();
    const auto [stop, failure] = std::from_chars(options.to_xid->data(), end, target.xid);
    if (failure != std::errc{} || stop != end || static_cast<std::uint32_t>(target.xid) < 3) {
      throw Error(ErrorKind::usage, "\"" + *options.to_xid + "\" is not a transaction id", {},
                  "Write the number that txid_current() or pg_current_xact_id() gives.");
    }
  }
  if (options.to_name) {
    ++targets;
    target.kind = TargetKind::name;
    target.asked = *options.to_name;
    target.name = *options.to_name;
    if (target.name.empty() || target.name.size() > restore_point_name_bytes_max ||
        target.name.find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorKind::usage, "\"" + target.name + "\" cannot name a restore point",
                  "PostgreSQL allows 1 to 63 bytes on one line.");
    }
  }
  if (options.to_immediate) {
    ++targets;
    target.kind = TargetKind::immediate;
  }
  if (targets > 1) {
    throw Error(ErrorKind::usage, "there can be only one target",
                "--to, --to-lsn, --to-xid, --to-name and --to-immediate exclude each other.");
  }
  if (options.exclusive && target.kind != TargetKind::time && target.kind != TargetKind::lsn &&
      target.kind != TargetKind::xid) {
    throw Error(ErrorKind::usage, "--exclusive goes with --to, --to-lsn or --to-xid only");
  }
  return target;
}

std::string action_of(const Options& options, const RecoveryTarget& target) {
  if (!options.action) return "promote";
  if (*options.action != "promote" && *options.action != "pause" && *options.action != "shutdown") {
    throw Error(ErrorKind::usage, "\"" + *options.action + "\" is no action after recovery",
                "promote, pause and shutdown are known.");
  }
  if (target.kind == TargetKind::latest && *options.action != "promote") {
    throw Error(ErrorKind::usage, "--action " + *options.action + " needs a target",
                "Without one, recovery ends with the WAL, and PostgreSQL promotes.",
                "Give a target such as --to or --to-lsn.");
  }
  return *options.action;
}

std::vector<TablespaceMapping> mappings_of(const Options& options) {
  std::vector<TablespaceMapping> mappings;
  for (const auto& text : options.tablespaces) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw Error(ErrorKind::usage, "\"" + text + "\" is not a tablespace mapping", {},
                  "Write --tablespace /old/location=/new/location.");
    }
    mappings.push_back({.from = text.substr(0, equals), .to = text.substr(equals + 1)});
  }
  return mappings;
}

unsigned jobs_of(const Options& options, const Config& config) {
  if (!options.jobs) return config.worker_threads();
  unsigned jobs = 0;
  const auto* const end = options.jobs->data() + options.jobs->size();
  const auto [stop, failure] = std::from_chars(options.jobs->data(), end, jobs);
  if (failure != std::errc{} || stop != end || jobs < 1 || jobs > 256) {
    throw Error(ErrorKind::usage, "\"" + *options.jobs + "\" is not a value for --jobs",
                "A number from 1 to 256 is expected.");
  }
  return jobs;
}

std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  std::array<char, PATH_MAX> current{};
  if (::getcwd(current.data(), current.size()) == nullptr) return path;
  return std::string(current.data()) + "/" + path;
}

std::string without_last_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// The program that lies beside this one.
std::string fetch_program() {
  std::array<char, PATH_MAX> path{};
  const auto length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length <= 0) return "walvault-fetch";
  return parent_directory(std::string(path.data(), static_cast<std::size_t>(length))) +
         "/walvault-fetch";
}

// What PostgreSQL runs. A percent sign of a path would be taken for one of
// PostgreSQL's own.
std::string restore_command(const Config& config, const std::string& cluster) {
  std::string command = shell_quoted(fetch_program());
  if (!config.path.empty()) command += " --config " + shell_quoted(absolute(config.path));
  command += " --repo " + shell_quoted(config.repository()) + " --cluster " + cluster;
  std::string escaped;
  for (const char c : command) {
    escaped.push_back(c);
    if (c == '%') escaped.push_back(c);
  }
  return escaped + " %f %p";
}

// A restored server keeps the archive_command it was backed up with, and would
// write into the original's history unless it is the original.
bool takes_the_originals_place(const BackupInfo& backup, const std::string& pgdata) {
  std::array<char, 256> host{};
  return !backup.host.empty() && ::gethostname(host.data(), host.size() - 1) == 0 &&
         backup.host == host.data() && backup.data_directory == pgdata;
}

bool archiving_of(const Options& options, const BackupInfo& backup, const std::string& pgdata) {
  if (!options.archiving) return takes_the_originals_place(backup, pgdata);
  if (*options.archiving == "keep") return true;
  if (*options.archiving == "off") return false;
  throw Error(ErrorKind::usage, "\"" + *options.archiving + "\" is not a value for --archiving",
              "keep and off are known.");
}

ordered_json plan_json(const RecoveryPlan& plan, std::uint64_t segment_bytes) {
  const auto& target = plan.target;
  const auto name = [&](const SegmentName& segment) {
    return plan.wal.segments == 0 ? ordered_json(nullptr)
                                  : ordered_json(segment.text(segment_bytes));
  };
  const auto optional = [](bool is_there, auto&& value) {
    return is_there ? ordered_json(value) : ordered_json(nullptr);
  };
  return {{"backup", plan.backup.id},
          {"timeline", plan.timeline.value},
          {"target",
           {{"asked", target.asked},
            {"lsn", optional(target.kind == TargetKind::lsn, target.lsn.text())},
            {"xid", optional(target.kind == TargetKind::xid, target.xid)},
            {"time", optional(target.kind == TargetKind::time, to_rfc3339(target.time))},
            {"inclusive", target.inclusive},
            {"time_proved", false}}},
          {"segments", plan.wal.segments},
          {"wal_bytes", plan.wal.segments * segment_bytes},
          {"first_segment", name(plan.wal.first)},
          {"last_segment", name(plan.wal.last)},
          {"data_bytes", plan.backup.size_bytes}};
}

std::string target_text(const RecoveryTarget& target) {
  const std::string how = target.inclusive ? "" : ", stopping just before";
  switch (target.kind) {
    case TargetKind::latest: return "the end of the archived WAL";
    case TargetKind::time:
      return to_local_text(target.time) + " (" + to_rfc3339(target.time) + ")" + how;
    case TargetKind::lsn: return "WAL position " + target.lsn.text() + how;
    case TargetKind::xid: return "transaction " + target.asked + how;
    case TargetKind::name: return "restore point \"" + target.name + "\"";
    case TargetKind::immediate: return "the end of the backup";
  }
  return {};
}

std::string plan_text(const RecoveryPlan& plan, std::uint64_t segment_bytes) {
  std::string text =
      "Plan:\n  Backup:   " + plan.backup.id + ", taken " + to_local_text(plan.backup.start_time) +
      ", " + format_size(plan.backup.size_bytes) + "\n  Target:   " + target_text(plan.target) +
      "\n  Timeline: " + std::to_string(plan.timeline.value) + "\n";
  if (plan.wal.segments > 0) {
    text += "  WAL:      " + std::to_string(plan.wal.segments) + " segments without a gap, " +
            plan.wal.first.text(segment_bytes) + " to " + plan.wal.last.text(segment_bytes) + "\n";
  }
  return text;
}

void run_restore(Program& program, const Options& options) {
  program.catch_signals();
  const auto& config = program.config();
  PlanRequest wanted;
  wanted.target = target_of(options);
  wanted.backup_id = options.backup;
  wanted.timeline = options.timeline;
  RestoreRequest request;
  request.data_directory = without_last_slashes(absolute(options.pgdata));
  request.mappings = mappings_of(options);
  request.jobs = jobs_of(options, config);
  request.settings.action = action_of(options, wanted.target);

  const auto cluster = config.cluster();
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository, get_cluster(opened.repository, cluster));
  const auto list = list_backups(opened.repository, cluster);
  for (const auto& key : list.damaged)
    log_warning("the backup " + key + " is damaged; it is left out");
  const auto plan = plan_recovery(archive, list.backups, wanted);

  request.settings.restore_command = restore_command(config, cluster);
  request.settings.target = plan.target;
  request.settings.timeline = plan.timeline;
  request.settings.archiving = archiving_of(options, plan.backup, request.data_directory);
  // Before a gap, reading ahead would ask for the segment that is missing, and
  // end a recovery that stops short of it.
  request.settings.reads_ahead =
      !plan.wal.gap_follows || plan.backup.server_version < prefetch_version_min;
  (void)check_destination(archive, plan, request);

  const auto segment_bytes = archive.identity().segment_bytes;
  const ordered_json plan_document = plan_json(plan, segment_bytes);
  if (options.dry_run) {
    program.print({{"plan", plan_document}, {"restored", false}},
                  plan_text(plan, segment_bytes) + "Nothing was written (--dry-run).\n");
    return;
  }
  if (::geteuid() == 0) {
    log_warning(
        "running as root: the restored files will belong to root, and a server refuses to "
        "start as root; chown them to the server's user");
  }
  const auto began = std::chrono::steady_clock::now();
  Progress progress("restore", plan.backup.size_bytes - plan.backup.zero_bytes,
                    program.shows_progress());
  const auto result = restore_backup(archive, plan, request,
                                     {.written = [&](std::uint64_t bytes) { progress.add(bytes); },
                                      .check_cancelled = Program::check_cancelled});
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  program.print(
      {{"plan", plan_document},
       {"restored", true},
       {"data_directory", request.data_directory},
       {"archiving", request.settings.archiving},
       {"files", result.files},
       {"duration_s", static_cast<double>(duration.count()) / 1000}},
      plan_text(plan, segment_bytes) + "Restored " + std::to_string(result.files) + " files, " +
          format_size(result.bytes) + ", into " + request.data_directory + " in " +
          format_duration(duration) + ".\nStart the server to let it recover: pg_ctl -D " +
          request.data_directory + " start\n" +
          (request.settings.archiving
               ? ""
               : "Archiving is off there. When it is to take the original's place: ALTER SYSTEM "
                 "RESET archive_mode, then restart.\n"));
}

}  // namespace

void add_restore_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("restore", "Writes a data directory that recovers to a moment",
                                   [&program, options] { run_restore(program, *options); });
  command.required_option("--pgdata", options->pgdata, "The directory to restore into");
  command.option("--to", options->to, "A time with its zone: '2026-11-21 10:41:00+00'");
  command.option("--to-lsn", options->to_lsn, "A WAL position: 0/3000148");
  command.option("--to-xid", options->to_xid, "A transaction id");
  command.option("--to-name", options->to_name, "A restore point");
  command.flag("--to-immediate", options->to_immediate, "As soon as the backup is consistent");
  command.flag("--exclusive", options->exclusive, "Stop just before the target, not just after");
  command.option("--backup", options->backup, "The backup to start from; else the best one");
  command.option("--timeline", options->timeline, "latest, current or a number");
  command.option("--tablespace", options->tablespaces,
                 "OLD=NEW: where a tablespace goes (repeatable)");
  command.option("--action", options->action, "At the target: promote, pause or shutdown");
  command.option("--archiving", options->archiving, "keep or off: whether the new server archives");
  command.option("--jobs", options->jobs, "How many threads work");
  command.flag("--dry-run", options->dry_run, "Print the plan and write nothing");
}

}  // namespace walvault
