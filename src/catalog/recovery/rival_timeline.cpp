#include "catalog/recovery/rival_timeline.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/timeline_division.h"
#include "catalog/wal/transaction_ends.h"

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

// What ended in a segment behind a position.
struct EndOfWal {
  WalObjectHeader header;
  std::uint64_t commits = 0;
  std::optional<Timestamp> last_transaction = {};
};

// Of the segment that holds the position, what begins behind that is counted alone.
void count_behind(const WalArchive& archive, const SegmentName& name, const std::string& key,
                  Lsn behind, EndOfWal& found) {
  visit_transaction_ends(archive,
                         {.name = name,
                          .key = key,
                          .timeline = name.timeline,
                          .key_behind = [](std::uint64_t) { return std::nullopt; }},
                         [&](Lsn start, const TransactionRecord& end) {
                           if (start < behind) return true;
                           found.last_transaction =
                               std::max(found.last_transaction.value_or(end.time), end.time);
                           if (end.end == TransactionEnd::commit) ++found.commits;
                           return true;
                         });
}

// From the last segment of a timeline, or the part of one that is archived, back to the position.
// `each` says how many it wants to see in all. Whether these were all; damaged ones are passed
// over.
bool look_at_end(const WalArchive& archive, TimelineId timeline, Lsn behind,
                 const std::function<std::size_t(const EndOfWal&)>& each) {
  const auto geometry = archive.identity().geometry;
  const auto first = geometry.number_of(behind);
  const auto segments = archive.segments(timeline, first);
  std::size_t wanted = quiet_segments_max;
  auto number = segments.empty() ? first : segments.back().number + 1;
  for (std::size_t looked_at = 0;; --number) {
    if (looked_at++ > wanted) return false;
    const SegmentName name{.timeline = timeline, .number = number};
    if (const auto found = find_any_summary(archive, name)) {
      const auto& summary = found->summary;
      EndOfWal end{.header = found->header};
      const bool ends_behind = summary.commits + summary.aborts > 0 && summary.last >= behind;
      if (ends_behind && behind > name.start(geometry)) {
        try {
          count_behind(archive, name, found->key, behind, end);
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::unavailable) throw;
        }
      } else if (ends_behind) {
        end.commits = summary.commits;
        end.last_transaction = summary.latest;
      }
      wanted = each(end);
      if (wanted == 0) return true;
    }
    if (number == first) return true;
  }
}

// Where a timeline began, by what is archived of it; nullopt: nothing is.
std::optional<Lsn> find_first_own(const WalArchive& archive, TimelineId timeline) {
  const auto own = archive.segments(timeline);
  if (own.empty()) return std::nullopt;
  const SegmentName first{.timeline = timeline, .number = own.front().number};
  if (const auto found = find_any_summary(archive, first)) {
    for (const auto& change : found->summary.timeline_changes) {
      if (change.to == timeline) return change.lsn;
    }
  }
  return first.end(archive.identity().geometry);
}

// Where the followed history has no more to do with another timeline.
std::optional<TimelineDivision> division_from(const TimelineHistory& followed,
                                              const WalArchive& archive, TimelineId other) {
  if (const auto history = find_sound_history(archive, other)) return divide(followed, *history);
  // Its history file is missing or damaged. The followed one may say where it left it; else that
  // is where the other one began, or where the followed timeline of that place did.
  if (const auto leaves = followed.leaves(other)) {
    return TimelineDivision{.at = *leaves, .first = followed.at(*leaves)};
  }
  const auto began = find_first_own(archive, other);
  if (!began) return std::nullopt;
  TimelineDivision division{.at = {}, .first = followed.at(*began)};
  for (const auto& ancestor : followed.ancestors()) {
    if (ancestor.timeline == division.first) break;
    division.at = ancestor.end;
  }
  return division;
}

// The timeline that a plan to the end of the WAL goes on with; others end where they end.
TimelineId followed_by(const ProvedPlan& proved) {
  const bool is_end = proved.plan.target.kind == TargetKind::latest;
  return is_end && proved.asked_for != TimelineId{} ? proved.asked_for : proved.plan.timeline;
}

// Up to where a division from the followed history matters: where the plan stops. Where that is the
// end of what is archived of it, and its later timelines have nothing, where the first of these
// began.
Lsn reach_of(const ProvedPlan& proved, const TimelineHistory& followed) {
  const auto stop = stop_position(proved);
  const auto& plan = proved.plan;
  if (plan.target.kind != TargetKind::latest) return stop;
  const auto leaves = followed.leaves(plan.wal.partial.value_or(plan.wal.last).timeline);
  return leaves ? Lsn{std::max(stop.value, leaves->value + 1)} : stop;
}

}  // namespace

// Counted from its end.
std::optional<OwnWal> find_own_wal(const WalArchive& archive, TimelineId timeline, Lsn behind) {
  std::optional<OwnWal> own;
  Timestamp written{};
  const bool all = look_at_end(archive, timeline, behind, [&](const EndOfWal& segment) {
    if (!own) {
      own.emplace().last_archived = segment.header.archived;
      written = segment.header.modified;
    }
    own->commits += segment.commits;
    if (!own->last_transaction) own->last_transaction = segment.last_transaction;
    return own->last_transaction ? counted_segments_max : quiet_segments_max;
  });
  if (own && !all) {
    own->has_more = true;
    if (!own->last_transaction) own->last_transaction = written;
  }
  return own;
}

bool grew_after(const WalArchive& archive, TimelineId timeline, Lsn behind, Timestamp began) {
  const auto since = began + timeline_begin_slack;
  bool grew = false;
  const bool all = look_at_end(archive, timeline, behind, [&](const EndOfWal& segment) {
    grew = segment.last_transaction && *segment.last_transaction > since;
    // Those before it were written earlier.
    const bool is_known = segment.last_transaction || segment.header.modified <= since;
    return is_known ? 0 : quiet_segments_max;
  });
  return grew || !all;
}

std::vector<RivalTimeline> find_rivals(const WalArchive& archive, const ProvedPlan& proved) {
  const auto view = archive.with(proved.plan.branches);
  const auto followed = followed_by(proved);
  const auto history = view.history(followed);
  // Behind that the plan has nothing.
  const auto reach = reach_of(proved, history);
  auto others = archive.timelines();
  std::erase(others, followed);
  if (others.empty()) return {};
  std::ranges::reverse(others);
  if (others.size() > looked_at_max) others.resize(looked_at_max);
  const LeftTimelines left(archive);
  std::vector<RivalTimeline> rivals;
  for (const auto other : others) {
    const auto division = division_from(history, archive, other);
    if (!division || division->at >= reach) continue;
    const TimelineBranch branch{.timeline = other, .branch = archive.branch_of(other)};
    if (left.is_abandoned(branch)) continue;
    const auto began = find_begin(view, division->first, division->at);
    if (!began) continue;
    const auto* const record = left.find(branch);
    const auto ended = record == nullptr ? *began : std::max(*began, record->when);
    if (!grew_after(archive, other, division->at, ended)) continue;
    const auto own = find_own_wal(archive, other, division->at);
    if (!own) continue;
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

Error not_known_which_to_follow(const TimelineChoice& choice) {
  const auto asked = two_timelines(choice);
  const auto abandon = [](TimelineId timeline) {
    return "walvault timeline abandon " + std::to_string(timeline.value);
  };
  return {asked.kind(), asked.message(), asked.detail(),
          "A standby follows the newest timeline there is. Say first which one the cluster does "
          "not go on with: the primary is on the other. " +
              abandon(choice.chosen) + ", or " + abandon(choice.rival.timeline)};
}

}  // namespace walvault
