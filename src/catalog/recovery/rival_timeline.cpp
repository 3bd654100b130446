#include "catalog/recovery/rival_timeline.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

// A cluster that fails over every day has many timelines; those that still grow are new.
constexpr std::size_t looked_at_max = 16;
// Of a timeline's end, segments without any end of a transaction that are passed over: a bulk load
// may fill many.
constexpr std::size_t quiet_segments_max = 256;
// The time of a change of timeline has whole seconds.
constexpr std::chrono::seconds began_slack{1};

// Up to where two histories are one, and on which timeline of the first one the rest begins.
struct Division {
  Lsn at;
  TimelineId first;  // of what only the first one has
};

std::optional<Division> divide(const TimelineHistory& a, const TimelineHistory& b) {
  const auto course = [](const TimelineHistory& history) {
    auto stretches = history.ancestors();
    stretches.push_back({.timeline = history.timeline(), .end = Lsn{~std::uint64_t{0}}});
    return stretches;
  };
  const auto of_a = course(a);
  const auto of_b = course(b);
  Lsn same;
  for (std::size_t i = 0; i < std::min(of_a.size(), of_b.size()); ++i) {
    if (of_a[i].timeline != of_b[i].timeline)
      return Division{.at = same, .first = of_a[i].timeline};
    same = std::min(of_a[i].end, of_b[i].end);
    if (of_a[i].end != of_b[i].end) return Division{.at = same, .first = a.at(same)};
  }
  return std::nullopt;
}

// Of what is archived of a segment, whole or in part.
std::optional<WalArchive::SummarizedWal> find_summary(const WalArchive& archive,
                                                      const SegmentName& name) {
  const auto file = name.text(archive.identity().geometry);
  try {
    if (auto whole = archive.find_summary(archive.key_of(file))) return whole;
    const auto partial = archive.find_partial_key(file + ".partial");
    return partial ? archive.find_summary(*partial) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

// When a timeline began, as its first record says.
std::optional<Timestamp> find_begin(const WalArchive& archive, TimelineId timeline, Lsn at) {
  const auto first = archive.identity().geometry.number_of(at);
  // Where the border of segments is, it is in the next one.
  for (auto number = first; number <= first + 1; ++number) {
    const auto found = find_summary(archive, {.timeline = timeline, .number = number});
    if (!found) continue;
    for (const auto& change : found->summary.timeline_changes) {
      if (change.to == timeline) return change.time;
    }
  }
  return std::nullopt;
}

// The last end of a transaction on a timeline behind a position. Where there is none in what is
// looked at, but WAL, the time of the last segment stands for it.
std::optional<Timestamp> find_last_transaction(const WalArchive& archive, TimelineId timeline,
                                               Lsn behind) {
  const auto first = archive.identity().geometry.number_of(behind);
  const auto segments = archive.segments(timeline, first);
  auto number = segments.empty() ? first : segments.back().number + 1;
  std::optional<Timestamp> written;
  for (std::size_t i = 0; i <= quiet_segments_max && number >= first; ++i, --number) {
    const auto found = find_summary(archive, {.timeline = timeline, .number = number});
    if (!found) continue;
    if (found->summary.commits + found->summary.aborts > 0) return found->summary.latest;
    if (!written) written = found->header.modified;
  }
  return number < first ? std::nullopt : written;
}

}  // namespace

std::vector<RivalTimeline> find_rivals(const WalArchive& archive, const ProvedPlan& proved) {
  const auto view = archive.with(proved.plan.branches);
  const auto history = view.history(proved.plan.timeline);
  const auto stop = proved.stop.lsn.value_or(proved.chain.end);
  auto others = archive.timelines();
  std::erase(others, proved.plan.timeline);
  std::ranges::reverse(others);
  if (others.size() > looked_at_max) others.resize(looked_at_max);
  std::vector<RivalTimeline> rivals;
  for (const auto other : others) {
    // A timeline whose history is not archived is taken to begin with the cluster's.
    const auto division = divide(history, archive.history(other));
    if (!division || division->at >= stop) continue;
    const auto began = find_begin(view, division->first, division->at);
    const auto last = find_last_transaction(archive, other, division->at);
    if (!began || !last || *last <= *began + began_slack) continue;
    rivals.push_back(
        {.timeline = other, .divides = division->at, .last_transaction = *last, .began = *began});
  }
  return rivals;
}

Error two_timelines(const ProvedPlan& proved, const RivalTimeline& rival) {
  const auto chosen = std::to_string(proved.plan.timeline.value);
  const auto other = std::to_string(rival.timeline.value);
  return {ErrorKind::unreachable_target,
          "two timelines have grown beside each other: " + chosen + " and " + other,
          "Both are the same up to " + rival.divides.text() + ". Timeline " + chosen +
              " went on at " + to_rfc3339(rival.began) + ", and on timeline " + other +
              " transactions ended until " + to_rfc3339(rival.last_transaction) +
              ", which the former does not have. One of them is a copy's, as a rule.",
          "Choose: --timeline " + chosen + " or --timeline " + other +
              ". So that it is not asked again, set aside the one that is not to go on: "
              "walvault timeline set-aside " +
              chosen + " --yes, or walvault timeline set-aside " + other + " --yes"};
}

}  // namespace walvault
