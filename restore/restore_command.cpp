#include "restore/restore_command.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/connection_options.h"
#include "app/hold_backup.h"
#include "app/log.h"
#include "app/places.h"
#include "app/progress.h"
#include "archiving/rescue.h"
#include "base/file.h"
#include "base/format.h"
#include "base/path.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/target_resolution.h"
#include "datadir/data_directory.h"
#include "datadir/directory_lock.h"
#include "datadir/running_server.h"
#include "postgres/control_file.h"
#include "restore/restore.h"
#include "restore/restore_options.h"
#include "restore/wal_on_the_way.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

constexpr int prefetch_version_min = 150000;  // the first with recovery_prefetch

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
std::string restore_command(const Config& config, const ClusterIdentity& identity,
                            const RecoveryPlan& plan, bool standby) {
  std::string command = shell_quoted(fetch_program());
  if (!config.path.empty()) command += " --config " + shell_quoted(absolute_path(config.path));
  command += " --repo " + shell_quoted(config.repository_text()) + " --cluster " + identity.name +
             " --identity " + std::to_string(identity.number);
  for (const auto& branch : plan.branches) command += " --branch " + branch.text();
  // A standby gets what follows from its primary.
  if (standby) {
    command += " --standby";
  } else if (plan.wal.partial) {
    command += " --partial " + plan.wal.partial_object;
  }
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

bool archiving_of(const RestoreOptions& options, const BackupInfo& backup,
                  const std::string& pgdata) {
  if (!options.archiving) {
    // A standby archives once it is promoted, when it goes on with the history.
    return options.standby || takes_the_originals_place(backup, pgdata);
  }
  if (*options.archiving == "keep") return true;
  if (*options.archiving == "off") return false;
  throw Error(ErrorKind::usage, "\"" + *options.archiving + "\" is not a value for --archiving",
              "keep and off are known.");
}

std::string primary_conninfo_of(const RestoreOptions& options, const Config& config,
                                const std::string& cluster) {
  if (!options.standby) return {};
  try {
    return conninfo_for(config, cluster, options.pg);
  } catch (const Error&) {
    log_warning(
        "it is not known how to connect to the primary: the standby follows the archive "
        "only (--pg says how)");
    return {};
  }
}

// What --force and --delta demand of the directory that they replace, and what of it
// is saved first.
void prepare_replacement(const RestoreOptions& options, const Repository& repository,
                         const std::vector<ClusterIdentity>& identities, const Config& config,
                         const std::string& directory) {
  auto names = names_in(directory);
  std::erase(names, "lost+found");
  if (names.empty()) return;
  expect_stopped(directory);
  const bool is_cluster = find_status(directory + "/" + std::string(control_file_path)).has_value();
  const auto identity = find_identity_of(identities, directory);
  std::vector<std::uint64_t> system_identifiers;
  system_identifiers.reserve(identities.size());
  for (const auto& each : identities) system_identifiers.push_back(each.system_identifier);
  const bool goes_on =
      options.delta && !is_cluster && is_unfinished_delta(directory, system_identifiers);
  if (options.delta && !goes_on && (!is_cluster || !identity)) {
    throw Error(ErrorKind::conflict,
                is_cluster ? "\"" + directory + "\" holds another database cluster"
                           : "\"" + directory + "\" is not empty and no database cluster",
                is_cluster
                    ? "Its system identifier is not one of cluster " + identities.back().name + "."
                    : "It has no global/pg_control.",
                "--delta makes a copy of this cluster into another state of it. Restore into an "
                "empty directory, or replace what is there with --force.");
  }
  if (!goes_on && (!is_cluster || !identity) && !options.yes) {
    throw Error(ErrorKind::conflict,
                is_cluster ? "\"" + directory + "\" holds another database cluster"
                           : "\"" + directory + "\" is not empty and no database cluster",
                is_cluster
                    ? "Its system identifier is not one of cluster " + identities.back().name + "."
                    : "It has no global/pg_control; an interrupted restore leaves it so.",
                "If all of it may go, add --yes.");
  }
  if (!identity || options.discard_wal || !find_status(directory + "/pg_wal")) return;
  if (options.dry_run) {
    log_info("the WAL that only " + directory + " holds would be archived first");
    return;
  }
  // A copy that was restored to try something has a timeline of its own, which
  // must not become the newest of the cluster's by the way.
  const WalArchive archive(repository, *identity);
  const auto archived = archive.timelines();
  const auto newest = newest_timeline_in(*identity, directory);
  if (newest && !archived.empty() && *newest > archived.back()) {
    throw Error(ErrorKind::conflict,
                "\"" + directory + "\" holds WAL of a timeline that is not archived: " +
                    std::to_string(newest->value),
                "The newest that is archived is " + std::to_string(archived.back().value) +
                    ". A copy that was restored beside the original has a timeline of its own.",
                "If what it wrote may go, add --discard-wal. If it is to become part of the "
                "cluster's history: walvault wal rescue --pgdata " +
                    directory);
  }
  // Before the plan is made: what it saves may be what the target needs.
  const auto rescued =
      rescue_wal(archive, directory, system_clock(),
                 {.compression = config.wal_compression, .threads = config.worker_threads()});
  for (const auto& file : rescued.archived) {
    if (!file.already_there) log_info("archived " + file.name + " of the old directory");
    if (!file.damage.empty()) {
      log_warning(file.name + " of the old directory is damaged: " + file.damage);
    }
  }
  if (rescued.failed.empty()) return;
  throw Error(ErrorKind::conflict,
              "WAL that only \"" + directory + "\" holds could not be archived",
              rescued.failed.front().name + ": " + rescued.failed.front().why,
              "Keep a copy of its pg_wal if it may be needed, and add --discard-wal.");
}

// What PostgreSQL is told: the very record, where there is one.
RecoveryTarget stop_target(const ProvedPlan& proved) {
  auto target = proved.plan.target;
  if (proved.stop.lsn) {
    target.kind = TargetKind::lsn;
    target.lsn = *proved.stop.lsn;
    target.inclusive = proved.stop.inclusive;
  } else if (target.kind != TargetKind::latest) {
    target.kind = TargetKind::immediate;
  }
  return target;
}

ordered_json plan_json(const ProvedPlan& proved, std::uint64_t segment_bytes) {
  const auto& plan = proved.plan;
  const auto& stop = proved.stop;
  const auto& target = plan.target;
  const auto name = [&](const SegmentName& segment) {
    return plan.wal.segments == 0 ? ordered_json(nullptr)
                                  : ordered_json(segment.text(segment_bytes));
  };
  const auto optional = [](bool is_there, auto&& value) {
    return is_there ? ordered_json(value) : ordered_json(nullptr);
  };
  return {
      {"backup", plan.backup.id},
      {"timeline", plan.timeline.value},
      {"target",
       {{"asked", target.asked},
        {"lsn", optional(stop.lsn.has_value(), stop.lsn.value_or(Lsn{}).text())},
        {"xid", optional(target.kind == TargetKind::xid, target.xid)},
        {"time", optional(target.kind == TargetKind::time, to_rfc3339(target.time))},
        {"inclusive", target.inclusive},
        {"stops", optional(stop.lsn.has_value(), stop.inclusive ? "behind" : "before")},
        {"time_proved", stop.time_proved}}},
      {"segments", plan.wal.segments},
      {"wal_bytes", plan.wal.segments * segment_bytes},
      {"first_segment", name(plan.wal.first)},
      {"last_segment", name(plan.wal.last)},
      {"partial_segment", optional(plan.wal.partial.has_value(),
                                   plan.wal.partial.value_or(SegmentName{}).text(segment_bytes))},
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

// Where that is in the WAL.
std::string stop_text(const RecoveryStop& stop) {
  if (!stop.lsn) return {};
  std::string text = std::string("  Stops:    ") + (stop.inclusive ? "behind" : "before") +
                     " the record at " + stop.lsn->text();
  if (stop.transaction) {
    text += ", the " +
            std::string(stop.transaction->end == TransactionEnd::commit ? "commit" : "abort") +
            " of transaction " + std::to_string(stop.transaction->xid) + " at " +
            to_rfc3339(stop.transaction->time);
  }
  return text + "\n";
}

std::string plan_text(const ProvedPlan& proved, std::uint64_t segment_bytes) {
  const auto& plan = proved.plan;
  std::string text =
      "Plan:\n  Backup:   " + plan.backup.id + ", taken " + to_local_text(plan.backup.start_time) +
      ", " + format_size(plan.backup.size_bytes) + "\n  Target:   " + target_text(plan.target) +
      "\n" + stop_text(proved.stop) + "  Timeline: " + std::to_string(plan.timeline.value) + "\n";
  if (plan.wal.segments > 0) {
    text += "  WAL:      " + std::to_string(plan.wal.segments) + " segments without a gap, " +
            plan.wal.first.text(segment_bytes) + " to " + plan.wal.last.text(segment_bytes) + "\n";
  }
  if (plan.wal.partial) {
    text += "            and of " + plan.wal.partial->text(segment_bytes) +
            " what its server wrote, up to " + plan.wal.end.text() + "\n";
  }
  return text;
}

// One that was asked for by its id. Before anything goes that would make way for it.
void expect_nothing_lost(BackupConditions& conditions, const BackupInfo& backup) {
  const auto fault = conditions.fault_of(backup);
  if (fault.empty()) return;
  if (!fault.is_lost) {
    return log_warning("backup " + backup.id + ": " + fault.why + "; it is tried all the same");
  }
  throw Error(ErrorKind::corrupt, "backup " + backup.id + " cannot be restored whole",
              "Of it, " + fault.why + ".",
              "Leave --backup out to have the newest one that can. walvault verify --backup " +
                  backup.id +
                  " tells what is lost of this one, walvault extract gets single files.");
}

void run_restore(Program& program, const RestoreOptions& options) {
  catch_signals();
  const auto& config = program.config();
  check_agreement(options);
  PlanRequest wanted;
  wanted.target = target_of(options);
  wanted.backup_id = options.backup;
  wanted.timeline = options.timeline;
  RestoreRequest request;
  request.data_directory = without_last_slashes(absolute_path(options.pgdata));
  request.mappings = mappings_of(options);
  request.jobs = jobs_of(options, config);
  request.replace = options.force || options.delta;
  request.delta = options.delta;
  request.settings.action = action_of(options, wanted.target);

  // Before anything is touched, and whatever --yes says.
  auto touched = server_places(request.data_directory);
  for (const auto& mapping : request.mappings) {
    touched.push_back({.what = "a tablespace's directory", .path = absolute_path(mapping.to)});
  }
  expect_repositories_apart(config, touched);
  const auto lock = [&] { return DirectoryLock(request.data_directory); };
  const auto status = find_status(request.data_directory);
  const bool is_there = status && S_ISDIR(status->st_mode);
  auto held = is_there && !options.dry_run ? lock() : DirectoryLock();

  const auto cluster = config.cluster();
  const auto opened = program.open_repository(Caching::content);
  const auto identities = cluster_identities(opened.repository, cluster);
  if (request.replace) {
    prepare_replacement(options, opened.repository, identities, config, request.data_directory);
  }
  const auto list = list_backups(opened.repository, cluster);
  for (const auto& key : list.damaged)
    log_warning("the backup " + key + " is damaged; it is left out");
  const WalArchive archive(opened.repository, choose_identity(identities, list.backups, wanted));
  // What is only looked at may come from ledgers; what is relied on does not.
  BackupConditions conditions(opened.repository, BackupConditions::Look::at_what_is_there);
  const auto proved = plan_proved_recovery(
      options.dry_run ? archive.at_this_moment(false) : archive, list.backups, wanted,
      options.standby,
      {.of = [&](const BackupInfo& backup) { return conditions.fault_of(backup); },
       .passed_over =
           [](const BackupInfo& backup, const BackupFault& fault) {
             log_warning("backup " + backup.id + " is passed over: " + fault.why);
           },
       .tried_all_the_same =
           [](const BackupInfo& backup, const BackupFault& fault) {
             log_warning("no other backup will do, so " + backup.id +
                         " is tried all the same: " + fault.why);
           }});
  const auto& plan = proved.plan;
  if (options.backup) expect_nothing_lost(conditions, plan.backup);
  if (plan.target.kind == TargetKind::time && !proved.stop.time_proved) {
    log_warning("no transaction after " + to_rfc3339(plan.target.time) +
                " is archived: replay goes to the end of the archived WAL, and whether an earlier "
                "transaction is still to come is not known");
  }
  if (!plan.backup.damaged_pages.empty()) {
    log_warning("the backup " + plan.backup.id +
                " has damaged pages that the server found when it was taken: " +
                plan.backup.damaged_pages.front());
  }

  request.settings.restore_command =
      restore_command(config, archive.identity(), plan, options.standby);
  request.settings.target = stop_target(proved);
  request.settings.timeline = plan.timeline;
  request.settings.server_major = plan.backup.server_version / 10000;
  request.settings.archiving = archiving_of(options, plan.backup, request.data_directory);
  request.replace_tablespaces =
      request.replace &&
      (options.yes || takes_the_originals_place(plan.backup, request.data_directory));
  request.settings.standby = options.standby;
  request.settings.primary_conninfo = primary_conninfo_of(options, config, cluster);
  // Before a gap or damage, reading ahead would ask for the segment that cannot
  // be had, and end a recovery that stops short of it.
  const bool is_whole = !plan.wal.gap_follows && plan.wal.switches_from == TimelineId{} &&
                        proved.chain.broken.empty();
  request.settings.reads_ahead = is_whole || plan.backup.server_version < prefetch_version_min;
  std::vector<NamedPlace> locations;
  for (const auto& tablespace : check_destination(archive, plan, request)) {
    locations.push_back({.what = "a tablespace's directory", .path = tablespace.location});
  }
  expect_repositories_apart(config, locations);

  const auto segment_bytes = archive.identity().segment_bytes;
  const ordered_json plan_document = plan_json(proved, segment_bytes);
  if (options.dry_run) {
    program.print({{"plan", plan_document}, {"restored", false}},
                  plan_text(proved, segment_bytes) + "Nothing was written (--dry-run).\n");
    return;
  }
  if (::geteuid() == 0) {
    log_warning(
        "running as root: the restored files will belong to root, and a server refuses to "
        "start as root; chown them to the server's user");
  }
  const auto pin = hold_backup(opened.repository, program.writer(), plan.backup);
  log_info("reading the WAL that replay needs, to see that it is whole");
  if (!expect_readable(archive, proved, request.jobs, options.standby, check_cancelled)) {
    request.settings.reads_ahead = plan.backup.server_version < prefetch_version_min;
  }
  const auto began = std::chrono::steady_clock::now();
  Progress progress("restore", plan.backup.size_bytes - plan.backup.zero_bytes,
                    program.shows_progress());
  if (!held) {
    make_directory_tree(request.data_directory, 0700);
    held = lock();
    // What was looked at before, and saved, is what goes: nothing.
    if (request.replace) expect_vacant(request.data_directory, "the destination");
  }
  const auto result = restore_backup(archive, plan, request, held,
                                     {.written = [&](std::uint64_t bytes) { progress.add(bytes); },
                                      .check_cancelled = check_cancelled});
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  program.print(
      {{"plan", plan_document},
       {"restored", true},
       {"data_directory", request.data_directory},
       {"archiving", request.settings.archiving},
       {"standby", request.settings.standby},
       {"files", result.files},
       {"kept_bytes", result.kept_bytes},
       {"duration_s", static_cast<double>(duration.count()) / 1000}},
      plan_text(proved, segment_bytes) + "Restored " + std::to_string(result.files) + " files, " +
          format_size(result.bytes) + ", into " + request.data_directory + " in " +
          format_duration(duration) + ".\n" +
          (options.delta ? format_size(result.kept_bytes) + " of that were there already.\n" : "") +
          "Start the server to let it " + (options.standby ? "follow its primary" : "recover") +
          ": pg_ctl -D " + request.data_directory + " start\n" +
          (request.settings.archiving
               ? ""
               : "It is a copy: archiving, logical replication workers and synchronous standbys "
                 "are "
                 "off there.\nWhen it is to take the original's place: ALTER SYSTEM RESET "
                 "archive_mode; ALTER SYSTEM RESET max_logical_replication_workers; ALTER SYSTEM "
                 "RESET synchronous_standby_names; then restart.\n"));
}

}  // namespace

void add_restore_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<RestoreOptions>();
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
  command.option("--timeline", options->timeline,
                 "latest, current, a number, or a branch that was set aside: 2-0");
  command.option("--tablespace", options->tablespaces,
                 "OLD=NEW: where a tablespace goes (repeatable)");
  command.option("--action", options->action, "At the target: promote, pause or shutdown");
  command.option("--archiving", options->archiving, "keep or off: whether the new server archives");
  command.option("--jobs", options->jobs, "How many threads work");
  command.flag("--standby", options->standby, "Make a standby, which follows its primary");
  command.option("--pg", options->pg, "What a standby connects to (a libpq connection string)");
  command.flag("--force", options->force,
               "Replace what is in the directory; its WAL is saved first");
  command.flag("--delta", options->delta,
               "Make what is in the directory into the backup: only what differs is written, and "
               "what does not belong is removed; its WAL is saved first");
  command.flag("--discard-wal", options->discard_wal,
               "With --force or --delta: do not save its WAL");
  command.flag("--yes", options->yes, "With --force: replace what is no directory of this cluster");
  command.flag("--dry-run", options->dry_run, "Print the plan and write nothing");
}

}  // namespace walvault
