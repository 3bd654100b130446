#include "restore/fetch/fetch_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/program.h"
#include "base/format.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/rival_timeline.h"
#include "catalog/recovery/timeline_division.h"
#include "restore/fetch/fetch.h"
#include "restore/fetch/fetch_request.h"
#include "restore/fetch/spool.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// PostgreSQL takes 1 to 125 for "there is no such file: recovery ends here"
// and goes on to open the database. So everything that is not a proved absence
// has to be above: 200 stops recovery, loudly.
constexpr int exit_absent = 1;
constexpr int exit_failed = 200;

// A standby turns to streaming, so it is not kept waiting for long.
constexpr std::chrono::seconds standby_patience{10};

// Segments are on their way to an object store several at a time: what lies behind a gap
// may have been faster.
constexpr std::chrono::seconds gap_patience{30};

// Of one try; tries are repeated here.
constexpr milliseconds storage_patience{1000};

constexpr unsigned threads_max = 4;
constexpr milliseconds pause_max{5000};

// A repository that is not there is one that is not mounted, more likely than
// not: worth waiting for.
OpenRepository open_mounted(Program& program) {
  try {
    return program.open_repository(Caching::none, storage_patience);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    throw Error(ErrorKind::unavailable, error.message(), error.detail(),
                "Check that its file system is mounted.");
  }
}

// A cluster that was upgraded since has another identity by now, whose WAL is
// not what a recovery of the old one needs.
ClusterIdentity identity_of(const Repository& repository, const std::string& cluster,
                            const FetchRequest& request) {
  if (!request.identity) return get_cluster(repository, cluster);
  const auto number = parse_number(*request.identity, "--identity", 1, UINT32_MAX);
  return get_cluster_identity(repository, cluster, static_cast<std::uint32_t>(number));
}

// Another repository has come to the place, or another cluster to the number.
void expect_pinned_repository(const RecoveryPin& pin, const WalArchive& archive) {
  if (!pin.is_there()) return;
  const auto& repository = archive.repository();
  if (repository.id() == pin.repository_id &&
      archive.identity().system_identifier == pin.system_identifier) {
    return;
  }
  throw Error(ErrorKind::conflict,
              "this recovery was planned from another repository than the one at " +
                  repository.storage().url(),
              "Planned from repository " + pin.repository_id + " (" + pin.repository_url +
                  "), cluster " + pin.cluster + " with system identifier " +
                  std::to_string(pin.system_identifier) + "; found repository " + repository.id() +
                  ", system identifier " + std::to_string(archive.identity().system_identifier) +
                  ".",
              "Mount the right one, or restore again from this one.");
}

// The archive as a recovery has it. Where nobody planned: of a timeline that was set aside, that
// branch through which the newest history goes, if there is one that was not abandoned.
WalArchive view_of(const WalArchive& archive, const RecoveryPin& pin) {
  const bool is_planned = pin.is_there() || !pin.branches.empty();
  if (is_planned || !archive.has_branches_aside()) return archive.with(pin.branches);
  const auto timelines = archive.timelines();
  const LeftTimelines left(archive);
  for (auto it = timelines.rbegin(); it != timelines.rend(); ++it) {
    const TimelineBranch newest{.timeline = *it, .branch = archive.branch_of(*it)};
    if (!left.is_abandoned(newest)) return archive.view_of(newest);
  }
  return archive;
}

// The archive that is recovered from, and how.
struct Source {
  Source(Program& program, OpenRepository repository, const FetchRequest& request)
      : pin(pin_of(request)),
        opened(std::move(repository)),
        archive(view_of({opened.repository,
                         identity_of(opened.repository, program.config().cluster(), request)},
                        pin)),
        segment(SegmentName::parse(request.name, archive.identity().geometry)) {
    expect_pinned_repository(pin, archive);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  RecoveryPin pin;
  OpenRepository opened;
  WalArchive archive;
  std::optional<SegmentName> segment;  // nullopt: another file is asked for
};

// A standby follows the newest timeline that it finds, and asks for the older ones' segments where
// the newer one's are not archived yet. What these hold behind the place where they were left would
// lead it into a history that its primary does not have. nullopt: the segment ends before that; or
// its timeline grew when the newer one had begun, and which one its primary is on is not known.
std::optional<Lsn> left_by_the_newest(const WalArchive& archive, const SegmentName& segment) {
  const LeftTimelines left(archive);
  const auto timelines = archive.timelines();
  for (auto it = timelines.rbegin(); it != timelines.rend() && *it > segment.timeline; ++it) {
    if (left.is_dead_end(*it)) continue;
    const auto view = archive.view_of({.timeline = *it, .branch = archive.branch_of(*it)});
    const auto history = find_sound_history(view, *it);
    if (!history || view.branch_of(segment.timeline) != archive.branch_of(segment.timeline)) {
      continue;
    }
    const auto leaves = history->leaves(segment.timeline);
    if (!leaves || *leaves >= segment.end(archive.identity().geometry)) return std::nullopt;
    const auto began = find_begin(view, history->at(*leaves), *leaves);
    const bool grew_beside = began && grew_after(archive, segment.timeline, *leaves, *began);
    return grew_beside ? std::nullopt : leaves;
  }
  return std::nullopt;
}

unsigned ahead_of(const Config& config, const FetchRequest& request) {
  return request.prefetch
             ? static_cast<unsigned>(parse_number(*request.prefetch, "--prefetch", 0, prefetch_max))
             : config.segments_prefetched();
}

// A segment that was fetched ahead, without a look at the store: what the repository, the
// cluster and its branches are is what was read up to a minute ago. What lies in the spool
// under these was fetched by who had looked, and so is what follows.
bool deliver_without_a_look(Program& program, const FetchRequest& request) try {
  // Where it leaves a timeline is looked at.
  if (request.standby) return false;
  const auto& config = program.config();
  const auto ahead = ahead_of(config, request);
  const auto spool = Spool::of_current_directory(request.destination);
  if (!spool) return false;
  const Source known(program, program.open_repository(Caching::recovery, storage_patience),
                     request);
  const auto& archive = known.archive;
  if (!known.segment ||
      !spool->deliver(archive, archive.key_of(request.name), request.destination)) {
    return false;
  }
  if (spool->ready_behind(archive, *known.segment, ahead) > ahead / 2) return true;
  std::optional<Source> fresh;
  const auto look = [&]() -> const WalArchive& {
    if (!fresh) fresh.emplace(program, open_mounted(program), request);
    return fresh->archive;
  };
  if (ahead > 0) {
    spool->fill_in_background(look, *known.segment, ahead,
                              std::min(config.worker_threads(), threads_max));
  }
  return true;
} catch (const Error&) {
  // The store is looked at, and what is the matter told then.
  return false;
}

FetchOutcome fetch_once(Program& program, const FetchRequest& request) {
  const auto& config = program.config();
  if (config.is_remote() && deliver_without_a_look(program, request)) {
    return FetchOutcome::delivered;
  }
  const Source source(program, open_mounted(program), request);
  const auto& archive = source.archive;
  const auto threads = std::min(config.worker_threads(), threads_max);
  const auto ahead = ahead_of(config, request);
  const auto spool = Spool::of_current_directory(request.destination);
  // A standby goes to the newest timeline that it finds: not to one that an operator abandoned.
  if (request.standby && classify_wal_file(request.name) == WalFileKind::timeline &&
      LeftTimelines(archive).is_dead_end(timeline_of(request.name))) {
    return FetchOutcome::absent;
  }
  auto outcome = FetchOutcome::delivered;
  const auto left_at = request.standby && source.segment
                           ? left_by_the_newest(archive, *source.segment)
                           : std::nullopt;
  if (left_at) {
    return fetch_wal_file(archive, request.name, request.destination, threads, source.pin, left_at);
  }
  if (!source.segment || !spool ||
      !spool->deliver(archive, archive.key_of(request.name), request.destination)) {
    outcome = fetch_wal_file(archive, request.name, request.destination, threads, source.pin);
  }
  if (!spool) return outcome;
  // What PostgreSQL asks for last is a segment or the history of a timeline that
  // do not exist.
  if (outcome == FetchOutcome::absent) {
    spool->remove();
  } else if (source.segment && ahead > 0) {
    spool->fill_in_background([&]() -> const WalArchive& { return archive; }, *source.segment,
                              ahead, threads);
  }
  return outcome;
}

FetchOutcome fetch_with_patience(Program& program, const FetchRequest& request) {
  const auto patience = request.standby
                            ? standby_patience
                            : parse_duration(program.config().fetch_retry_for, "[fetch] retry_for");
  auto& clock = system_clock();
  const auto deadline = clock.steady() + patience;
  // An object store's segments are not archived one after another.
  const auto gap_deadline = program.config().is_remote() && !request.standby
                                ? clock.steady() + gap_patience
                                : clock.steady();
  milliseconds pause{100};
  while (true) {
    try {
      return fetch_once(program, request);
    } catch (const Error& error) {
      const bool is_gap = error.kind() == ErrorKind::corrupt && error.is_transient();
      const auto until = is_gap ? gap_deadline : deadline;
      const bool may_pass = error.kind() == ErrorKind::unavailable || is_gap;
      if (!may_pass || clock.steady() + pause >= until) throw;
      log_warning(error.message() + (error.detail().empty() ? "." : ": " + error.detail()) +
                  " Trying again.");
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, pause_max);
  }
}

}  // namespace

int fetch_main(int argc, char** argv) {
  ignore_broken_pipes();
  Program program("walvault-fetch",
                  "Delivers one archived WAL file; for restore_command = 'walvault-fetch --cluster "
                  "NAME %f %p'");
  FetchRequest request;
  auto& command_line = program.command_line();
  add_fetch_options(command_line, request);
  command_line.action([&] {
    const auto outcome = fetch_with_patience(program, request);
    const bool delivered = outcome == FetchOutcome::delivered;
    if (!delivered) program.set_exit_code(exit_absent);
    program.print({{"fetched", {{"name", request.name}, {"delivered", delivered}}}}, "");
  });
  return program.run(argc, argv, [&](ErrorKind kind) {
    // A standby does not end its recovery at what is absent, but it shuts down
    // on anything worse: where it can stream instead, or ask again, it is told
    // so.
    const bool may_stream = kind == ErrorKind::unavailable || kind == ErrorKind::corrupt;
    return request.standby && may_stream ? exit_absent : exit_failed;
  });
}

}  // namespace walvault
