#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/results/gc_result.h"
#include "base/format.h"
#include "maintenance/maintenance_commands.h"
#include "repository/gc.h"

namespace walvault {
namespace {

struct Options {
  std::string grace = "2min";
  std::string give_up_after = "2d";
  bool dry_run = false;
  bool exclusive = false;
};

std::string packs_text(std::uint64_t packs, std::uint64_t bytes) {
  return std::to_string(packs) + " packs, " + format_size(bytes);
}

void collect(Program& program, const Options& options) {
  catch_signals();
  const GcOptions wanted{.grace = parse_duration(options.grace, "--grace"),
                         .give_up_after = parse_duration(options.give_up_after, "--give-up-after"),
                         .alone = options.exclusive};
  const auto opened = program.open_repository();
  if (!options.dry_run && !options.exclusive && !opened.storage->has_conditional_writes()) {
    throw Error(ErrorKind::usage, "gc beside running backups is not safe in this object store",
                "It has no conditional writes (If-None-Match), with which a backup and gc agree on "
                "what is needed.",
                "Make sure that no backup and no expire runs, on any host, and give --exclusive.");
  }
  const auto report =
      options.dry_run ? find_garbage(opened.repository)
                      : collect_garbage(opened.repository, system_clock(), program.writer(), wanted,
                                        {.info = log_info, .check_cancelled = check_cancelled});
  std::uint64_t leftover_bytes = 0;
  if (!options.dry_run) {
    // Never what a put may still be at work on.
    const auto age =
        std::max<std::chrono::milliseconds>(wanted.give_up_after, std::chrono::days(1));
    leftover_bytes = opened.storage->remove_leftovers(system_clock().now() - age);
  }
  for (const auto& root_key : report.given_up) {
    log_info("the run that would have made " + root_key +
             " began too long ago: it cannot complete any more");
  }
  std::string text = "There were " + packs_text(report.packs, report.pack_bytes) + ".\n";
  for (const auto& root_key : report.running) {
    text.append("Running, or ended by force: ").append(root_key).append("\n");
  }
  text += options.dry_run
              ? "Would be deleted: " + packs_text(report.dead_packs, report.dead_bytes) +
                    ".\nNothing was deleted (--dry-run).\n"
              : "Deleted: " + packs_text(report.deleted_packs, report.deleted_bytes) + ", and " +
                    format_size(leftover_bytes) + " of what interrupted writes left.\n";
  program.print({{"gc", gc_json(report, leftover_bytes, options.dry_run)}}, text);
}

}  // namespace

void add_gc_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("gc", "Frees the space of data that no backup needs any more",
                                   [&program, options] { collect(program, *options); });
  command.option("--grace", options->grace,
                 "How long to wait between choosing and deleting; longer than a network file "
                 "system caches directories");
  command.option("--give-up-after", options->give_up_after,
                 "How old an incomplete backup must be to count as dead");
  command.flag(
      "--exclusive", options->exclusive,
      "Promise that nothing else uses the repository now: needed if the object store has no "
      "conditional writes");
  command.flag("--dry-run", options->dry_run, "Show what would be deleted and delete nothing");
}

}  // namespace walvault
