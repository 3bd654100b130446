#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/program_reporter.h"
#include "app/progress.h"
#include "app/results/copy_result.h"
#include "base/format.h"
#include "catalog/copy/repository_copy.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

// Packs on their way at once: those of a directory have up to 64 MiB, those of an object
// store a quarter of that.
struct Options {
  std::optional<std::string> to;
  std::vector<std::string> backups;
  std::optional<std::string> from;
  std::optional<std::string> jobs;
  std::optional<std::string> max_rate;
  bool dry_run = false;
};

CopyRequest request_of(const Options& options, const Config& config, const RandomId& run) {
  CopyRequest request;
  request.run = run;
  request.cluster = config.cluster_asked;
  if (!options.backups.empty() && options.from) {
    throw Error(ErrorKind::usage, "--backup and --from exclude each other",
                "--backup copies only these backups, --from that one and all later ones.");
  }
  // An id names a backup within its cluster.
  if (!options.backups.empty() || options.from) request.cluster = config.cluster();
  request.backups = options.backups;
  request.from = options.from;
  request.jobs = options.jobs ? static_cast<unsigned>(parse_number(*options.jobs, "--jobs", 1, 64))
                              : config.profile().copy_jobs;
  if (options.max_rate) request.bytes_per_second = parse_size(*options.max_rate, "--max-rate");
  request.dry_run = options.dry_run;
  return request;
}

// Where to: what --to names, else all others that the file has.
std::vector<RepositoryConfig> destinations(const Options& options, const Config& config) {
  const auto from = config.repository();
  std::vector<RepositoryConfig> places;
  if (options.to) {
    places.push_back(config.repository_at(*options.to, {}));
  } else {
    for (const auto& [number, place] : config.archived_beside()) places.push_back(place);
  }
  if (places.empty()) {
    throw Error(ErrorKind::usage, "where to copy is not said", {},
                "Give --to URL, or put a section [repository.2] into the configuration file.");
  }
  for (const auto& place : places) {
    if (place.place() == from.place()) {
      throw Error(ErrorKind::usage, "a repository cannot be copied to itself",
                  "It is " + from.url + ".", "Give another place with --to.");
    }
  }
  return places;
}

std::string cluster_text(const CopiedCluster& cluster, bool dry_run) {
  if (!cluster.failure.empty()) {
    return "  " + cluster.name + ": NOT copied: " + cluster.failure + "\n";
  }
  std::uint64_t copied = 0;
  std::uint64_t there = 0;
  std::uint64_t deleted = 0;
  TreeCopied packs;
  std::string problems;
  for (const auto& backup : cluster.backups) {
    switch (backup.state) {
      case BackupCopyState::copied: ++copied; break;
      case BackupCopyState::there: ++there; break;
      case BackupCopyState::deleted: ++deleted; break;
      case BackupCopyState::closed:
      case BackupCopyState::failed:
        problems.append("    NOT copied: ").append(backup.id).append(": ");
        problems.append(backup.why).append("\n");
        break;
      case BackupCopyState::gone:
        problems.append("    not copied: ").append(backup.id);
        problems.append(": it was deleted here meanwhile\n");
        break;
    }
    packs.packs += backup.packs.packs;
    packs.bytes += backup.packs.bytes;
  }
  for (const auto& fault : cluster.wal.faults) {
    problems.append("    NOT copied: ").append(fault.key).append(": ").append(fault.why);
    problems += '\n';
  }
  if (cluster.wal.fault_count > cluster.wal.faults.size()) {
    problems += "    and " + std::to_string(cluster.wal.fault_count - cluster.wal.faults.size()) +
                " more WAL files\n";
  }
  const std::string verb = dry_run ? "would be copied" : "copied";
  auto text = "  " + cluster.name + ": " + std::to_string(copied) + " backups " + verb + " (" +
              std::to_string(packs.packs) + " packs, " + format_size(packs.bytes) + "), " +
              std::to_string(there) + " were there";
  if (deleted > 0) text += ", " + std::to_string(deleted) + " were deleted there and stay so";
  text += "; " + std::to_string(cluster.wal.files) + " WAL files " + verb + " (" +
          format_size(cluster.wal.bytes) + "), " + std::to_string(cluster.wal.there) +
          " were there\n";
  return text + problems;
}

struct Outcome {
  ordered_json document;
  std::string text;
  bool is_whole = true;
};

Outcome copy_to(Program& program, const RepositoryConfig& place, const Repository& from,
                const CopyRequest& request) {
  const auto to = open_repository(program.config(), place, program.writer());
  const auto began = std::chrono::steady_clock::now();
  // How much it is in all is not known before.
  Progress progress("copy", 0, program.shows_progress() && !request.dry_run);
  const auto report =
      copy_repository(from, to.repository, system_clock(), request, program_reporter(),
                      {.done = [&](std::uint64_t bytes) { progress.add(bytes); }});
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  Outcome outcome;
  outcome.is_whole = report.is_whole();
  outcome.document = {{"to", to.storage->url()},
                      {"whole", outcome.is_whole},
                      {"dry_run", request.dry_run},
                      {"clusters", copy_json(report)},
                      {"duration_s", static_cast<double>(duration.count()) / 1000}};
  outcome.text = "To " + to.storage->url() + ", in " + format_duration(duration) + ":\n";
  if (report.clusters.empty()) outcome.text += "  nothing: there is no cluster\n";
  for (const auto& cluster : report.clusters) {
    outcome.text += cluster_text(cluster, request.dry_run);
  }
  if (!outcome.is_whole) {
    outcome.text += "To see what is damaged here, and what that costs: walvault verify\n";
  }
  if (request.dry_run) outcome.text += "Nothing was copied (--dry-run).\n";
  return outcome;
}

void copy(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  const auto request = request_of(options, config, program.writer());
  const auto places = destinations(options, config);
  const auto from = program.open_repository();
  ordered_json documents = ordered_json::array();
  std::string text;
  for (const auto& place : places) {
    try {
      auto outcome = copy_to(program, place, from.repository, request);
      documents.push_back(std::move(outcome.document));
      text += outcome.text;
      if (!outcome.is_whole) program.set_exit_code(exit_code(ErrorKind::corrupt));
    } catch (const Error& error) {
      // One place that cannot be reached is no reason to leave the others without.
      if (places.size() == 1) throw;
      const auto why = one_line(error);
      text += "To " + place.url + ": NOT copied: " + why + "\n";
      documents.push_back({{"to", place.url}, {"whole", false}, {"failure", why}});
      program.set_exit_code(exit_code(error.kind()));
    }
  }
  program.print({{"copies", documents}}, text);
}

}  // namespace

void add_copy_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command(
      "copy", "Copies backups and their WAL to another repository; resumes if interrupted",
      [&program, options] { copy(program, *options); });
  command.option(
      "--to", options->to,
      "The other repository: a URL, or its number in the configuration file. Default: all "
      "further repositories of that file");
  command.option("--backup", options->backups,
                 "Copy only this backup and the WAL that it needs itself (repeatable)");
  command.option("--from", options->from,
                 "Only this backup, later ones, and all WAL from its start on");
  command.option("--max-rate", options->max_rate, "The most to read in a second: 20MB");
  command.option("--jobs", options->jobs, "How many objects to copy at the same time");
  command.flag("--dry-run", options->dry_run, "Show what would be copied and copy nothing");
}

}  // namespace walvault
