#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/format.h"
#include "catalog/copy/repository_copy.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/timeline_division.h"
#include "maintenance/further_repositories.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

struct Options {
  std::string timeline;
  bool yes = false;
  std::string reason;
  bool undo = false;
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
                "stop the archiving of the first one, then add --yes.");
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
          " begins anew with what is archived from now on, by whichever server comes first: stop "
          "the archiving of the one that is not to go on (walvault archiving off --pgdata DIR), "
          "before anything else. If it was not stopped before, set the timeline aside once more "
          "when it is.\nThen take a backup of the server that is on it: walvault backup "
          "--cluster " +
          cluster + "\n");
}

// There has to be one that a restore follows. What was left for a timeline that is abandoned now
// was left for nothing.
void expect_others_remain(const WalArchive& archive, TimelineId timeline) {
  const LeftTimelines left(archive);
  const auto archived = archive.timelines();
  const bool others_remain = std::ranges::any_of(archived, [&](TimelineId each) {
    return each != timeline &&
           !left.is_abandoned({.timeline = each, .branch = archive.branch_of(each)});
  });
  if (others_remain) return;
  throw Error(ErrorKind::conflict,
              "timeline " + std::to_string(timeline.value) +
                  " is the only one that the cluster can go on with",
              "Every other timeline of which WAL is archived was abandoned.",
              "Take that back for the one that is to go on: walvault timeline abandon N --undo");
}

void expect_left(const WalArchive& archive, TimelineId timeline) {
  const LeftTimelines left(archive);
  if (left.find_said({.timeline = timeline, .branch = archive.branch_of(timeline)}) != nullptr) {
    return;
  }
  throw Error(ErrorKind::not_found, "timeline " + std::to_string(timeline.value) + " was not left",
              "There is nothing to take back.");
}

// Living timelines whose history goes through that one.
std::vector<TimelineId> find_descendants(const WalArchive& archive, TimelineId timeline) {
  const LeftTimelines left(archive);
  auto newer = archive.timelines();
  std::erase_if(newer, [&](TimelineId each) {
    const TimelineBranch branch{.timeline = each, .branch = archive.branch_of(each)};
    const auto view = archive.view_of(branch);
    const auto history = find_sound_history(view, each);
    return left.is_abandoned(branch) || view.branch_of(timeline) != archive.branch_of(timeline) ||
           !history || !history->leaves(timeline);
  });
  return newer;
}

std::string abandoned_text(const WalArchive& archive, TimelineId timeline) {
  const auto number = std::to_string(timeline.value);
  const auto descendants = find_descendants(archive, timeline);
  const auto beginning =
      descendants.empty()
          ? "Nothing goes on with timeline " + number
          : "Nothing goes on with timeline " + number + " behind the place where timeline " +
                list_of(descendants, [](TimelineId each) { return std::to_string(each.value); }) +
                " left it";
  return beginning + ": a restore follows it only with --timeline " + number +
         ". All that is archived of it stays, and what its server archives is kept, too."
         "\nTo take that back: walvault timeline abandon " +
         number + " --undo\n";
}

void abandon(Program& program, const Options& options) {
  const auto timeline = parse_timeline(options.timeline);
  const auto cluster = program.config().cluster();
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository, get_cluster(opened.repository, cluster));
  const auto archived = archive.timelines();
  if (!std::ranges::binary_search(archived, timeline)) {
    throw Error(ErrorKind::not_found, "nothing of timeline " + options.timeline + " is archived",
                "Archived timelines: " + list_of(archived, [](TimelineId each) {
                  return std::to_string(each.value);
                }) + ".");
  }
  const bool is_one_line = std::ranges::none_of(
      options.reason, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
  if (options.reason.size() > left_reason_bytes_max || !is_one_line) {
    throw Error(
        ErrorKind::usage, "this reason cannot be used",
        "A reason is one line of at most " + std::to_string(left_reason_bytes_max) + " bytes.");
  }
  if (options.undo) {
    expect_left(archive, timeline);
  } else {
    expect_others_remain(archive, timeline);
  }
  const LeftTimeline left{
      .timeline = {.timeline = timeline, .branch = archive.branch_of(timeline)},
      .at = {},
      .for_timeline = {},
      .archiver = {},
      .is_taken_back = options.undo,
      .when = system_clock().now(),
      .reason = options.reason.empty() ? "abandoned by an operator" : options.reason};
  put_left_timeline(opened.repository, archive.identity(), left);
  for_each_further(program, "the timeline is not abandoned", [&](const Repository& further) {
    copy_registrations(opened.repository, further, cluster, false);
    copy_left_timelines(opened.repository, further, archive.identity());
  });
  program.print({{options.undo ? "taken_back" : "abandoned",
                  {{"timeline", timeline.value}, {"branch", left.timeline.branch}}}},
                options.undo ? "Timeline " + options.timeline +
                                   " counts again: a restore follows the newest that "
                                   "nobody left.\n"
                             : abandoned_text(archive, timeline));
}

}  // namespace

void add_timeline_command(Program& program, CommandLine& commands) {
  auto& timeline =
      commands.command("timeline", "Says which of several histories a cluster goes on with");
  const auto options = std::make_shared<Options>();
  auto& command =
      timeline.command("set-aside", "Opens a new branch where a timeline id was used twice",
                       [&program, options] { set_aside(program, *options); });
  command.argument("TIMELINE", options->timeline, "The number of the timeline");
  command.flag("--yes", options->yes, "Confirm it");

  const auto leaving = std::make_shared<Options>();
  auto& abandoning =
      timeline.command("abandon", "Says that the cluster does not go on with a timeline",
                       [&program, leaving] { abandon(program, *leaving); });
  abandoning.argument("TIMELINE", leaving->timeline, "The number of the timeline");
  abandoning.option("--reason", leaving->reason, "Why, for the record");
  abandoning.flag("--undo", leaving->undo, "Take back that it was left");
}

}  // namespace walvault
