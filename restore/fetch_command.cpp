#include "restore/fetch_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/log.h"
#include "app/program.h"
#include "base/format.h"
#include "restore/fetch.h"
#include "restore/spool.h"

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
OpenRepository open_mounted(Program& program, Caching caching) {
  try {
    return program.open_repository(caching, storage_patience);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
    throw Error(ErrorKind::unavailable, error.message(), error.detail(),
                "Check that its file system is mounted.");
  }
}

struct Request {
  std::string name;
  std::string destination;
  std::optional<std::string> identity;
  std::vector<std::string> branches;
  std::string partial;
  std::optional<std::string> prefetch;
  bool standby = false;
};

// A cluster that was upgraded since has another identity by now, whose WAL is
// not what a recovery of the old one needs.
ClusterIdentity identity_of(const Repository& repository, const std::string& cluster,
                            const Request& request) {
  if (!request.identity) return get_cluster(repository, cluster);
  const auto number = parse_number(*request.identity, "--identity", 1, UINT32_MAX);
  return get_cluster_identity(repository, cluster, static_cast<std::uint32_t>(number));
}

std::vector<TimelineBranch> parse_branches(const std::vector<std::string>& texts) {
  std::vector<TimelineBranch> branches;
  for (const auto& text : texts) {
    const auto branch = TimelineBranch::parse(text);
    if (!branch) {
      throw Error(ErrorKind::usage, "\"" + text + "\" is not a value for --branch",
                  "A timeline and a branch are expected, such as 2-0.");
    }
    branches.push_back(*branch);
  }
  return branches;
}

FetchOutcome fetch_once(Program& program, const Request& request, Caching caching) {
  const auto& config = program.config();
  const auto opened = open_mounted(program, caching);
  const auto identity = identity_of(opened.repository, config.cluster(), request);
  const auto archive =
      WalArchive(opened.repository, identity).with(parse_branches(request.branches));
  const auto threads = std::min(config.worker_threads(), threads_max);
  const auto segment = SegmentName::parse(request.name, identity.segment_bytes);
  const auto ahead =
      request.prefetch
          ? static_cast<unsigned>(parse_number(*request.prefetch, "--prefetch", 0, prefetch_max))
          : config.segments_prefetched();
  const auto spool = Spool::of_current_directory(request.destination);
  auto outcome = FetchOutcome::delivered;
  if (!segment || !spool ||
      !spool->deliver(archive, archive.key_of(request.name), request.destination)) {
    outcome = fetch_wal_file(archive, request.name, request.destination, threads, request.partial);
  }
  if (!spool) return outcome;
  // What PostgreSQL asks for last is a segment or the history of a timeline that
  // do not exist.
  if (outcome == FetchOutcome::absent) {
    if (caching == Caching::none) spool->remove();
  } else if (segment && ahead > 0) {
    spool->fill_in_background(archive, *segment, ahead, threads);
  }
  return outcome;
}

// What the repository, the cluster and its branches are may have been read a minute ago, for
// what is there. That something is not there is said by the store alone.
FetchOutcome fetch_once(Program& program, const Request& request) {
  if (program.config().is_remote()) {
    try {
      const auto outcome = fetch_once(program, request, Caching::recovery);
      if (outcome == FetchOutcome::delivered) return outcome;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
    }
  }
  return fetch_once(program, request, Caching::none);
}

FetchOutcome fetch_with_patience(Program& program, const Request& request) {
  const auto patience = request.standby
                            ? standby_patience
                            : parse_duration(program.config().fetch_retry_for, "[fetch] retry_for");
  auto& clock = system_clock();
  const auto deadline = clock.now() + patience;
  // An object store's segments are not archived one after another.
  const auto gap_deadline =
      program.config().is_remote() && !request.standby ? clock.now() + gap_patience : clock.now();
  milliseconds pause{100};
  while (true) {
    try {
      return fetch_once(program, request);
    } catch (const Error& error) {
      const bool is_gap = error.kind() == ErrorKind::corrupt && error.is_transient();
      const auto until = is_gap ? gap_deadline : deadline;
      const bool may_pass = error.kind() == ErrorKind::unavailable || is_gap;
      if (!may_pass || clock.now() + pause >= until) throw;
      log_warning(error.message() + (error.detail().empty() ? "." : ": " + error.detail()) +
                  " Trying again.");
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, pause_max);
  }
}

}  // namespace

int fetch_main(int argc, char** argv) {
  Program program("walvault-fetch",
                  "Delivers one archived WAL file; for restore_command = 'walvault-fetch --cluster "
                  "NAME %f %p'");
  Request request;
  auto& command_line = program.command_line();
  command_line.argument("NAME", request.name, "The file asked for, as PostgreSQL passes it in %f");
  command_line.argument("DESTINATION", request.destination, "Where it goes, %p");
  command_line.option("--identity", request.identity,
                      "Which of the cluster's identities is recovered; else the newest");
  command_line.option("--branch", request.branches,
                      "TIMELINE-BRANCH: what was set aside of a timeline (repeatable)");
  command_line.option("--partial", request.partial,
                      "The segment that may be delivered as far as it was written");
  command_line.option("--prefetch", request.prefetch,
                      "How many segments are fetched ahead, into a directory beside the data "
                      "directory; 0 for none");
  command_line.flag("--standby", request.standby,
                    "The server is a standby: what cannot be had is left to streaming");
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
