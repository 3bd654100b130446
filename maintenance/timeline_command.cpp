#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "catalog/wal/wal_archive.h"
#include "maintenance/further_repositories.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

struct Options {
  std::string timeline;
  bool yes = false;
};

TimelineId parse_timeline(const std::string& text) {
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stop != end || number == 0) {
    throw Error(ErrorKind::usage, "\"" + text + "\" is not a timeline", "A number is expected.");
  }
  return {number};
}

void set_aside(Program& program, const Options& options) {
  const auto timeline = parse_timeline(options.timeline);
  const auto cluster = program.config().cluster();
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository, get_cluster(opened.repository, cluster));
  const TimelineBranch before{.timeline = timeline, .branch = archive.branch_of(timeline)};
  if (!options.yes) {
    throw Error(ErrorKind::usage, "setting a timeline aside has to be confirmed",
                "What is archived of timeline " + options.timeline +
                    " would be restorable only as " + before.text() +
                    ", and what a server archives of it from now on would be kept "
                    "apart from it.",
                "If one timeline id was used by two promotions and the second server is to go on, "
                "add --yes.");
  }
  const auto opened_branch = archive.set_aside(timeline, system_clock().now());
  for_each_further(program, "the timeline is not set aside", [&](const Repository& further) {
    copy_registrations(opened.repository, further, cluster, false);
    copy_branch_openings(opened.repository, further, archive.identity(), false);
  });
  program.print(
      {{"set_aside", {{"timeline", timeline.value}, {"branch", before.branch}}},
       {"opened", {{"timeline", timeline.value}, {"branch", opened_branch.branch}}}},
      "What was archived of timeline " + options.timeline + " is set aside as " + before.text() +
          "; restore --timeline " + before.text() + " still reaches it.\nTimeline " +
          options.timeline +
          " begins anew with what is archived from now on. Take a backup of the server that is "
          "on it: walvault backup --cluster " +
          cluster + "\n");
}

}  // namespace

void add_timeline_command(Program& program, CommandLine& commands) {
  auto& timeline =
      commands.command("timeline", "Separates two histories that have the same timeline id");
  const auto options = std::make_shared<Options>();
  auto& command =
      timeline.command("set-aside", "Opens a new branch where a timeline id was used twice",
                       [&program, options] { set_aside(program, *options); });
  command.argument("TIMELINE", options->timeline, "The number of the timeline");
  command.flag("--yes", options->yes, "Confirm it");
}

}  // namespace walvault
