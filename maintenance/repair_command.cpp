#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/known_repository.h"
#include "app/log.h"
#include "app/places.h"
#include "maintenance/maintenance_commands.h"
#include "maintenance/repair_run.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

struct Options {
  std::optional<std::string> from;
  std::optional<std::string> id;
  std::optional<std::string> jobs;
  bool dry_run = false;
};

std::vector<RepositoryConfig> sources_of(const Options& options, const Config& config) {
  if (!options.from) return {};
  auto place = config.repository_at(*options.from, {});
  if (place.place() == config.repository().place()) {
    throw Error(ErrorKind::usage, "a repository cannot be mended from itself",
                "It is " + place.url + ".", "Give another place with --from.");
  }
  return {std::move(place)};
}

// What a command put beneath a mount point while nothing was mounted looks like a repository
// without a format object, too. One has at least the registration of a cluster, or a backup.
void expect_its_content(Storage& storage, const std::optional<std::string>& known) {
  struct Found {};
  try {
    for (const auto place : {ObjectPlace::format, ObjectPlace::clusters, ObjectPlace::backups}) {
      storage.list(prefix_of(place), [](const ObjectInfo&) { throw Found(); });
    }
  } catch (const Found&) {
    return;
  }
  throw Error(ErrorKind::unavailable,
              "it is not clear that what is at " + storage.url() + " was a repository",
              "It has neither a format object nor the registration of a cluster nor a backup.",
              "Is its file system mounted? If this is it, name its id: walvault repair --id " +
                  known.value_or("ID"));
}

void run_repair(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  const auto place = config.repository();
  const auto sources = sources_of(options, config);
  expect_repositories_sound(config);
  const KnownRepository memory(config, place);
  const auto known = memory.id();
  const auto storage = open_storage(config, place, program.writer());
  std::vector<FormatRepair> format;
  try {
    format = repair_format(*storage, options.id ? options.id : known, system_clock(),
                           system_randomness(), true);
    if (!format.empty() && !options.id) expect_its_content(*storage, known);
    if (!format.empty() && !options.dry_run) {
      format = repair_format(*storage, options.id ? options.id : known, system_clock(),
                             system_randomness(), false);
    }
  } catch (const Error& error) {
    // One that this machine knows, and that is not there, is not mounted.
    if (error.kind() != ErrorKind::not_found || !known) throw;
    (void)open_known(config, place, *storage);
    throw;
  }
  RepairReport report;
  for (const auto& each : format) {
    report.mended.push_back({.key = each.key, .how = "made again, with the id " + each.id});
  }
  if (!format.empty()) {
    if (format.front().is_new) {
      log_warning(
          "nobody here knew the repository's id, so it gets a new one: on each host that "
          "uses it, say walvault check --accept-repository");
    }
    if (options.dry_run) {
      log_warning("what else is to be mended can be told only behind that");
      program.print({{"repair", repair_json(report, true)}}, repair_text(report, true));
      return;
    }
    if (!known || options.id) memory.remember(format.front().id);
  }
  const auto repository = open_known(config, place, *storage);
  auto rest =
      repair_from(program, repository, sources,
                  {.jobs = config.worker_threads(options.jobs), .dry_run = options.dry_run});
  std::ranges::move(rest.mended, std::back_inserter(report.mended));
  report.unmended = std::move(rest.unmended);
  program.print({{"repair", repair_json(report, options.dry_run)}},
                repair_text(report, options.dry_run));
  if (!report.is_whole()) program.set_exit_code(exit_code(ErrorKind::corrupt));
}

}  // namespace

void add_repair_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command(
      "repair",
      "Mends what is lost or damaged, from what is there and from another repository; exits with "
      "5 if something remains",
      [&program, options] { run_repair(program, *options); });
  command.option("--from", options->from,
                 "The other repository: a URL, or its number in the configuration file");
  command.option("--id", options->id,
                 "The repository's id, where its format object is lost and this machine does not "
                 "know it");
  command.option("--jobs", options->jobs, "How many threads to use");
  command.flag("--dry-run", options->dry_run, "Show what would be mended and write nothing");
}

}  // namespace walvault
