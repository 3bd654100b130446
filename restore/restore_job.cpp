#include "restore/restore_job.h"

#include <limits.h>
#include <unistd.h>

#include <array>

#include "app/connection_options.h"
#include "app/hold_backup.h"
#include "app/places.h"
#include "archiving/server_notes.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/path.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/timeline_division.h"
#include "datadir/data_directory.h"
#include "restore/fetch/fetch_request.h"
#include "restore/fetch/recovery_pin.h"
#include "restore/plan_warnings.h"
#include "restore/replacement.h"
#include "restore/wal_on_the_way.h"

namespace walvault {
namespace {

constexpr int prefetch_version_min = 150000;  // the first with recovery_prefetch

std::string without_last_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// A program that lies beside this one.
std::string program_beside(const std::string& name) {
  std::array<char, PATH_MAX> path{};
  const auto length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length <= 0) return name;
  return parent_directory(std::string(path.data(), static_cast<std::size_t>(length))) + "/" + name;
}

// What PostgreSQL runs when it has recovered. Whatever becomes of it is no reason not to open the
// database: a program that is not there any more would be one for PostgreSQL.
std::string end_command() {
  return percent_escaped(shell_quoted(program_beside("walvault")) +
                         " recovery-ended --pgdata . || true");
}

// What PostgreSQL runs. A standby gets what follows from its primary, whatever was planned.
std::string restore_command(const Config& config, const ClusterIdentity& identity, bool standby) {
  FetchRequest request;
  request.identity = std::to_string(identity.number);
  request.standby = standby;
  if (!standby) request.plan = recovery_pin_name;
  return fetch_line(program_beside("walvault-fetch"), config, identity.name, request);
}

// Of a stretch, what replay needs up to where it stops.
std::vector<WalRun> runs_up_to(const WalStretch& wal, Lsn stop, WalGeometry geometry) {
  std::vector<WalRun> runs;
  const auto last = geometry.number_of(stop);
  for (auto run : wal.runs) {
    if (run.first > last) break;
    run.segments = std::min(run.segments, last - run.first + 1);
    runs.push_back(run);
  }
  return runs;
}

RecoveryPin pin_of(const WalArchive& archive, const ProvedPlan& proved) {
  const auto& plan = proved.plan;
  const auto& identity = archive.identity();
  const auto view = archive.with(plan.branches);
  RecoveryPin pin{.repository_id = archive.repository().id(),
                  .repository_url = archive.repository().storage().url(),
                  .cluster = identity.name,
                  .identity = identity.number,
                  .system_identifier = identity.system_identifier,
                  .timeline = plan.timeline,
                  .branches = {},
                  .runs = runs_up_to(plan.wal, stop_position(proved), identity.geometry),
                  .partial = plan.wal.partial ? plan.wal.partial_object : std::string()};
  const auto pinned = [&](TimelineId timeline) {
    pin.branches.push_back({.timeline = timeline, .branch = view.branch_of(timeline)});
  };
  const auto history = view.history(plan.timeline);
  for (const auto& ancestor : history.ancestors()) pinned(ancestor.timeline);
  pinned(plan.timeline);
  return pin;
}

// Whether the backup was taken of a server at this place, by the names of both.
bool is_backed_up_here(const BackupInfo& backup, const std::string& pgdata) {
  std::array<char, 256> host{};
  return !backup.host.empty() && ::gethostname(host.data(), host.size() - 1) == 0 &&
         backup.host == host.data() && backup.data_directory == pgdata;
}

// A restored server keeps the archive_command it was backed up with, and would write into the
// original's history unless it is the original. It is if it comes to the place whose server
// archived the WAL, on that very machine. Names alone do not tell: a container with a copy may
// have those of its original. They count only where nobody noted for whom the WAL was archived.
// nullopt: it cannot be known.
std::optional<bool> takes_the_originals_place(const ProvedPlan& proved, const std::string& pgdata) {
  const auto note = find_archiver_note(pgdata);
  if (note && is_of_this_machine(*note) && proved.chain.archiver) {
    return note->id == *proved.chain.archiver;
  }
  if (!proved.chain.archiver && is_backed_up_here(proved.plan.backup, pgdata)) return true;
  return std::nullopt;
}

bool is_original(const RestoreOptions& options, std::optional<bool> takes_place,
                 const RestoreQuestions& questions) {
  if (options.role) return parse_choice(*options.role, "--as", {"original", "copy"}) == "original";
  if (options.archiving) {
    return parse_choice(*options.archiving, "--archiving", {"keep", "off"}) == "keep";
  }
  // A standby archives once it is promoted, when it goes on with the history.
  if (options.standby) return true;
  return takes_place ? *takes_place : questions.is_original().value_or(false);
}

std::string primary_conninfo_of(const RestoreOptions& options, const Config& config,
                                const std::string& cluster, const Reporter& reporter) {
  if (!options.standby) return {};
  try {
    return conninfo_for(config, cluster, options.pg);
  } catch (const Error&) {
    reporter.warn(
        "it is not known how to connect to the primary: the standby follows only the archive"
        " (--pg says how)");
    return {};
  }
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

// One that was asked for by its id. Before anything goes that would make way for it.
void expect_nothing_lost(BackupConditions& conditions, const BackupInfo& backup,
                         const Reporter& reporter) {
  const auto fault = conditions.fault_of(backup);
  if (fault.empty()) return;
  if (!fault.is_lost) {
    return reporter.warn("backup " + backup.id + ": " + fault.why + "; trying it anyway");
  }
  throw Error(ErrorKind::corrupt, "backup " + backup.id + " cannot be restored whole",
              "Of it, " + fault.why + ".",
              "Leave --backup out to have the newest one that can. walvault verify --backup " +
                  backup.id +
                  " says what is lost of this one, walvault extract reads single files.");
}

}  // namespace

RestoreJob::RestoreJob(const Config& config, const RestoreOptions& options,
                       const Reporter& reporter)
    : config_(config), options_(options), reporter_(reporter) {
  check_agreement(options);
  wanted_.target = target_of(options);
  wanted_.backup_id = options.backup;
  wanted_.timeline = options.timeline;
  wanted_.purpose = options.standby ? RecoveryPurpose::standby : RecoveryPurpose::target;
  request_.data_directory = without_last_slashes(absolute_path(options.pgdata));
  request_.mappings = mappings_of(options);
  request_.jobs = config.worker_threads(options.jobs);
  request_.replace = options.force || options.delta;
  request_.delta = options.delta;
  request_.settings.action = action_of(options, wanted_.target);

  // Before anything is touched, and whatever --yes says.
  auto touched = server_places(request_.data_directory);
  for (const auto& mapping : request_.mappings) {
    touched.push_back({.what = "a tablespace's directory", .path = absolute_path(mapping.to)});
  }
  expect_repositories_apart(config, touched);
  const auto status = find_status(request_.data_directory);
  const bool is_there = status && S_ISDIR(status->st_mode);
  if (!options.dry_run) request_.owner = owner_for(request_.data_directory);
  if (is_there && !options.dry_run) held_ = HeldDirectory(request_.data_directory);
  expect_owner();
  // Before the repository is asked for, which may be away.
  cluster_ = config.cluster();
}

// Whose path it was when that was looked at, need not be whose directory is held.
void RestoreJob::expect_owner() const {
  if (!held_ || !request_.owner || held_.owner() == *request_.owner) return;
  throw Error(ErrorKind::conflict,
              "\"" + request_.data_directory + "\" was exchanged while it was looked at",
              "It belongs to another user than a moment ago.",
              "Look at who may write to the directories above it, and try again.");
}

void RestoreJob::plan(const Repository& repository, const RestoreQuestions& questions) {
  repository_ = &repository;
  const auto identities = cluster_identities(repository, cluster_);
  if (request_.replace) {
    prepare_replacement(
        {.directory = request_.data_directory,
         .is_delta = options_.delta,
         .may_be_anything = options_.yes,
         .saves_wal = !options_.discard_wal,
         .dry_run = options_.dry_run},
        repository, identities,
        {.compression = config_.wal_compression, .threads = config_.worker_threads()}, reporter_);
  }
  choose(identities, questions);
  warn_of(*archive_, *proved_, reporter_);
  settle_recovery_settings(questions);
  check_places();
}

void RestoreJob::choose(const std::vector<ClusterIdentity>& identities,
                        const RestoreQuestions& questions) {
  const auto list = list_backups(*repository_, cluster_);
  for (const auto& key : list.damaged) {
    reporter_.warn("the backup " + key + " is damaged; it is left out");
  }
  archive_.emplace(*repository_, choose_identity(identities, list.backups, wanted_));
  BackupConditions conditions(*repository_, BackupConditions::Look::at_what_is_there);
  const FaultCheck faults{
      .of = [&](const BackupInfo& backup) { return conditions.fault_of(backup); },
      .passed_over =
          [&](const BackupInfo& backup, const BackupFault& fault) {
            reporter_.warn("backup " + backup.id + " is passed over: " + fault.why);
          },
      .tried_all_the_same =
          [&](const BackupInfo& backup, const BackupFault& fault) {
            reporter_.warn("no other backup will do, so " + backup.id +
                           " is tried anyway: " + fault.why);
          }};
  const auto prove = [&] {
    // What is only looked at may come from ledgers; what is relied on does not.
    proved_ = plan_proved_recovery(
        {options_.dry_run ? archive_->at_this_moment(false) : *archive_, list.backups}, wanted_,
        faults);
  };
  prove();
  if (options_.backup) expect_nothing_lost(conditions, proved_->plan.backup, reporter_);
  // Nobody chose: then it has to be clear which is meant.
  if (options_.timeline != "latest") return;
  const auto rivals = find_rivals(*archive_, *proved_);
  if (rivals.empty()) return;
  const auto choice = choice_between(*archive_, *proved_, rivals.front());
  if (options_.standby) throw not_known_which_to_follow(choice);
  const auto chosen = questions.which_timeline(choice);
  if (!chosen) throw two_timelines(choice);
  wanted_.timeline = std::to_string(chosen->value);
  if (*chosen != choice.chosen) prove();
}

void RestoreJob::settle_recovery_settings(const RestoreQuestions& questions) {
  const auto& plan = proved_->plan;
  auto& settings = request_.settings;
  settings.restore_command = restore_command(config_, archive_->identity(), options_.standby);
  if (!options_.standby) {
    settings.plan = encode_recovery_pin(pin_of(*archive_, *proved_));
    settings.end_command = end_command();
  }
  settings.target = stop_target(*proved_);
  settings.timeline = plan.timeline;
  settings.server_major = plan.backup.server_version / 10000;
  const auto takes_place = takes_the_originals_place(*proved_, request_.data_directory);
  takes_place_ = takes_place.value_or(false);
  settings.archiving = is_original(options_, takes_place, questions);
  settings.standby = options_.standby;
  settings.primary_conninfo = primary_conninfo_of(options_, config_, cluster_, reporter_);
  // Before a gap or damage, reading ahead would ask for the segment that cannot
  // be had, and end a recovery that stops short of it.
  const bool is_whole = !plan.wal.gap_follows && plan.wal.switches_from == TimelineId{} &&
                        proved_->chain.broken.empty();
  settings.reads_ahead = is_whole || plan.backup.server_version < prefetch_version_min;
  auto demands = recovery_demands(*proved_);
  settings.required = demands.settings;
  request_.created_tablespaces = std::move(demands.tablespaces);
}

void RestoreJob::check_places() {
  const auto& plan = proved_->plan;
  request_.replace_tablespaces = request_.replace && (options_.yes || takes_place_);
  std::vector<NamedPlace> locations;
  for (const auto& tablespace : check_destination(*archive_, plan, request_)) {
    locations.push_back({.what = "a tablespace's directory", .path = tablespace.location});
  }
  for (const auto& creation : request_.created_tablespaces) {
    locations.push_back({.what = "a tablespace's directory", .path = creation.location});
  }
  expect_repositories_apart(config_, locations);
}

// Before the first byte: a record of a restore that comes to nothing says nothing (LeftTimelines),
// while one that lacks leaves two timelines of which nobody knows which one is meant.
void RestoreJob::record_what_is_left() const try {
  // What root notes beside the directory, its server could not change.
  const auto archiver = ::geteuid() == 0
                            ? find_archiver_id(request_.data_directory)
                            : draw_archiver_id(request_.data_directory, system_randomness());
  for (const auto& left :
       timelines_left_by(*archive_, *proved_, archiver, repository_->clock().now())) {
    put_left_timeline(*repository_, archive_->identity(), left);
    reporter_.info("timeline " + std::to_string(left.timeline.timeline.value) + " is left at " +
                   left.at.text() + ": restores follow what this server archives");
  }
} catch (const Error& error) {
  // The repository may be open for reading alone.
  reporter_.warn("it is not recorded which timeline this restore leaves: " + one_line(error));
}

RestoreResult RestoreJob::carry_out(const RandomId& run, const std::function<void()>& begins,
                                    const std::function<void(std::uint64_t)>& written) {
  const auto& plan = proved_->plan;
  if (request_.owner) {
    reporter_.info("running as root: the restored files will belong to user " +
                   std::to_string(request_.owner->user) + ", as the directory or the one above it");
  }
  const auto pin = hold_backup(*repository_, run, plan.backup, reporter_);
  reporter_.info("reading the WAL that replay needs, to see that it is whole");
  if (!expect_readable(*archive_, *proved_, request_.jobs, options_.standby,
                       reporter_.check_cancelled)) {
    request_.settings.reads_ahead = plan.backup.server_version < prefetch_version_min;
  }
  begins();
  if (!held_) {
    const DataDirectory destination(request_.data_directory);
    held_ = destination.make_and_hold(request_.owner);
    expect_owner();
    // What was looked at before, and saved, is what goes: nothing.
    if (request_.replace) destination.expect_vacant("the destination");
  }
  // What was looked at is what is written to.
  held_.expect_in_place();
  if (request_.settings.archiving && !options_.standby) record_what_is_left();
  return restore_backup(*archive_, plan, request_, held_, reporter_, {.done = written});
}

}  // namespace walvault
