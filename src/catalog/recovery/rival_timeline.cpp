#include "catalog/recovery/rival_timeline.h"

#include <algorithm>

#include "base/error.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

// A cluster that fails over every day has many timelines; those that still grow are new.
constexpr std::size_t looked_at_max = 16;
// Of a timeline's end, segments without any end of a transaction that are passed over: a bulk load
// may fill many.
constexpr std::size_t quiet_segments_max = 256;
// So many segments are counted, to say what a timeline has.
constexpr std::size_t counted_segments_max = 64;

std::string describe(TimelineId timeline, const OwnWal& own) {
  if (own.last_archived == Timestamp{}) {
    return "Of timeline " + std::to_string(timeline.value) + " itself nothing is archived.";
  }
  return "Timeline " + std::to_string(timeline.value) + " has " +
         (own.has_more ? "at least " : "about ") + std::to_string(own.commits) +
         (own.commits == 1 ? " commit" : " commits") +
         (own.last_transaction ? ", the last transaction of " + to_rfc3339(*own.last_transaction)
                               : std::string()) +
         ", and was last archived at " + to_rfc3339(own.last_archived) + ".";
}

// The timeline that a plan to the end of the WAL goes on with; others end where they end.
TimelineId followed_by(const ProvedPlan& proved) {
  const bool is_end = proved.plan.target.kind == TargetKind::latest;
  return is_end && proved.asked_for != TimelineId{} ? proved.asked_for : proved.plan.timeline;
}

}  // namespace

// Counted from its end.
std::optional<OwnWal> find_own_wal(const WalArchive& archive, TimelineId timeline, Lsn behind) {
  const auto first = archive.identity().geometry.number_of(behind);
  const auto segments = archive.segments(timeline, first);
  auto number = segments.empty() ? first : segments.back().number + 1;
  std::optional<OwnWal> own;
  Timestamp written{};
  for (std::size_t i = 0; number >= first; ++i, --number) {
    if (i > (own && own->last_transaction ? counted_segments_max : quiet_segments_max)) {
      if (!own) break;
      own->has_more = true;
      if (!own->last_transaction) own->last_transaction = written;
      break;
    }
    const auto found = find_any_summary(archive, {.timeline = timeline, .number = number});
    if (!found) continue;
    if (!own) {
      own.emplace().last_archived = found->header.archived;
      written = found->header.modified;
    }
    const auto ends = found->summary.commits + found->summary.aborts;
    if (ends > 0 && !own->last_transaction) own->last_transaction = found->summary.latest;
    own->commits += found->summary.commits;
  }
  return own;
}

std::vector<RivalTimeline> find_rivals(const WalArchive& archive, const ProvedPlan& proved) {
  const auto view = archive.with(proved.plan.branches);
  const auto followed = followed_by(proved);
  const auto history = view.history(followed);
  // Of a timeline of which nothing is archived, the plan goes up to where it began.
  const bool ends_at_beginning = followed != proved.plan.timeline;
  const auto stop = stop_position(proved);
  auto others = archive.timelines();
  std::erase(others, followed);
  if (others.empty()) return {};
  std::ranges::reverse(others);
  if (others.size() > looked_at_max) others.resize(looked_at_max);
  const LeftTimelines left(archive);
  std::vector<RivalTimeline> rivals;
  for (const auto other : others) {
    // A timeline whose history is not archived is taken to begin with the cluster's.
    const auto division = divide(history, archive.history(other));
    if (!division) continue;
    if (division->at >= stop && !(ends_at_beginning && division->first == followed)) continue;
    const TimelineBranch branch{.timeline = other, .branch = archive.branch_of(other)};
    if (left.is_abandoned(branch)) continue;
    const auto began = find_begin(view, division->first, division->at);
    const auto own = find_own_wal(archive, other, division->at);
    if (!began || !own) continue;
    const auto* const record = left.find(branch);
    const auto ended = record == nullptr ? *began : std::max(*began, record->when);
    if (!own->last_transaction || *own->last_transaction <= ended + timeline_begin_slack) continue;
    rivals.push_back({.timeline = other,
                      .divides = division->at,
                      .began = *began,
                      .of_rival = *own,
                      .left = record == nullptr ? std::nullopt : std::optional(record->when)});
  }
  return rivals;
}

TimelineChoice choice_between(const WalArchive& archive, const ProvedPlan& proved,
                              const RivalTimeline& rival) {
  const auto view = archive.with(proved.plan.branches);
  const auto chosen = followed_by(proved);
  const auto own = find_own_wal(view, chosen, rival.divides);
  return {.chosen = chosen, .of_chosen = own.value_or(OwnWal{}), .rival = rival};
}

std::string describe(const TimelineChoice& choice) {
  return "Both are the same up to " + choice.rival.divides.text() + ". Behind that, timeline " +
         std::to_string(choice.chosen.value) + " went on at " + to_rfc3339(choice.rival.began) +
         ". " + describe(choice.chosen, choice.of_chosen) + " " +
         describe(choice.rival.timeline, choice.rival.of_rival) +
         (choice.rival.left ? " A restore left the latter on " + to_rfc3339(*choice.rival.left) +
                                  ", and it goes on all the same."
                            : std::string()) +
         " One of them is a copy's, as a rule.";
}

Error two_timelines(const TimelineChoice& choice) {
  const auto chosen = std::to_string(choice.chosen.value);
  const auto other = std::to_string(choice.rival.timeline.value);
  return {ErrorKind::unreachable_target,
          "two timelines have grown beside each other: " + chosen + " and " + other,
          describe(choice),
          "Choose: --timeline " + chosen + " or --timeline " + other +
              ". So that it is not asked again, say which one the cluster does not go on with: "
              "walvault timeline abandon " +
              chosen + ", or walvault timeline abandon " + other + "."};
}

}  // namespace walvault
