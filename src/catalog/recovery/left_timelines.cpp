#include "catalog/recovery/left_timelines.h"

#include <algorithm>

#include "base/format.h"
#include "catalog/recovery/rival_timeline.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

constexpr std::uint64_t default_page_bytes = 8192;  // of WAL

}  // namespace

LeftTimelines::LeftTimelines(const WalArchive& archive) : archive_(archive) {
  auto said = list_left_timelines(archive.repository(), archive.identity());
  abandoned_ = abandoned_branches(said);
  for (auto& left : said) {
    auto& records = records_[left.timeline];
    if (left.is_taken_back) {
      records.clear();
    } else {
      records.push_back(std::move(left));
    }
  }
}

const LeftTimeline* LeftTimelines::find(TimelineBranch timeline) const {
  const auto records = records_.find(timeline);
  if (records == records_.end()) return nullptr;
  const auto it = std::find_if(records->second.rbegin(), records->second.rend(),
                               [&](const LeftTimeline& left) { return is_fulfilled(left); });
  return it == records->second.rend() ? nullptr : &*it;
}

const LeftTimeline* LeftTimelines::find_said(TimelineBranch timeline) const {
  const auto records = records_.find(timeline);
  return records == records_.end() || records->second.empty() ? nullptr : &records->second.back();
}

std::vector<LeftTimeline> LeftTimelines::still_recovering(Timestamp now) const {
  std::vector<LeftTimeline> found;
  for (const auto& [timeline, records] : records_) {
    for (const auto& left : records) {
      const bool is_of_a_restore = left.for_timeline != TimelineId{};
      // A record of the future is of a clock that was wrong, then or now.
      const bool is_recent =
          left.when > now - recovery_time_max && left.when < now + recovery_time_max;
      if (is_of_a_restore && is_recent && !is_fulfilled(left)) {
        found.push_back(left);
      }
    }
  }
  return found;
}

bool LeftTimelines::is_abandoned(TimelineBranch timeline) const {
  return abandoned_.contains(timeline);
}

bool LeftTimelines::is_dead_end(TimelineId timeline) const {
  const auto is_abandoned_now = [&](TimelineId each) {
    return is_abandoned({.timeline = each, .branch = archive_.branch_of(each)});
  };
  return is_abandoned_now(timeline) && std::ranges::all_of(archive_.timelines(), [&](auto each) {
           return each <= timeline || is_abandoned_now(each);
         });
}

// Who left it is known again by where it goes on, and by the number of the data directory where
// both are known. To the segment: the end of the last record that is replayed is not known before.
bool LeftTimelines::is_fulfilled(const LeftTimeline& left) const {
  if (left.for_timeline == TimelineId{}) return true;
  const auto geometry = archive_.identity().geometry;
  const auto history = find_sound_history(archive_.view_of(left.timeline), left.timeline.timeline);
  if (!history) return false;
  const auto goes_on = [&](TimelineId timeline) {
    if (timeline < left.for_timeline ||
        is_abandoned({.timeline = timeline, .branch = archive_.branch_of(timeline)})) {
      return false;
    }
    const auto other = find_sound_history(archive_, timeline);
    const auto division = other ? divide(*other, *history) : std::nullopt;
    if (!division) return false;
    // Before a record at the beginning of a segment history ends with the one before that; behind
    // one that is long it goes on in the next.
    const Lsn from{left.at.value - std::min<std::uint64_t>(left.at.value, default_page_bytes)};
    const auto found = geometry.number_of(division->at);
    if (found < geometry.number_of(from) || found > geometry.number_of(left.at) + 1) return false;
    const auto beginning = find_beginning(archive_, division->first, division->at);
    return !left.archiver || !beginning || !beginning->origin.archiver ||
           *beginning->origin.archiver == *left.archiver;
  };
  return std::ranges::any_of(archive_.timelines(), goes_on);
}

bool is_abandoned(const WalArchive& archive, TimelineId timeline) {
  return LeftTimelines(archive).is_abandoned(
      {.timeline = timeline, .branch = archive.branch_of(timeline)});
}

std::vector<TimelineId> newer_timelines(const WalArchive& archive, TimelineId own) {
  auto newer = archive.timelines();
  std::erase_if(newer, [&](TimelineId each) { return each <= own; });
  if (newer.empty()) return newer;
  const LeftTimelines left(archive);
  std::erase_if(newer, [&](TimelineId each) {
    return left.find({.timeline = each, .branch = archive.branch_of(each)}) != nullptr;
  });
  return newer;
}

std::vector<LeftTimeline> timelines_left_by(const WalArchive& archive, const ProvedPlan& proved,
                                            std::optional<RandomId> archiver, Timestamp now) {
  const auto view = archive.with(proved.plan.branches);
  const auto history = view.history(proved.plan.timeline);
  const auto stop = stop_position(proved);
  const auto archived = archive.timelines();
  // PostgreSQL takes the first that is free above the one it recovers along.
  auto goes_on = proved.plan.timeline;
  do {
    ++goes_on.value;
  } while (std::ranges::binary_search(archived, goes_on));

  std::vector<LeftTimeline> left;
  const auto leave = [&](TimelineBranch timeline, Lsn at) {
    left.push_back({.timeline = timeline,
                    .at = std::min(at, stop),
                    .for_timeline = goes_on,
                    .archiver = archiver,
                    .backup = proved.plan.backup.id,
                    .when = now,
                    .reason = "restored to " + stop.text()});
  };
  leave({.timeline = proved.plan.timeline, .branch = view.branch_of(proved.plan.timeline)}, stop);
  const LeftTimelines known(archive);
  const auto rivals = find_rivals(archive, proved);
  for (const auto timeline : archived) {
    const bool counts =
        timeline > proved.plan.timeline ||
        std::ranges::find(rivals, timeline, &RivalTimeline::timeline) != rivals.end();
    const TimelineBranch branch{.timeline = timeline, .branch = archive.branch_of(timeline)};
    if (!counts || branch == left.front().timeline || known.find(branch) != nullptr) continue;
    const auto other = find_sound_history(archive, timeline);
    const auto division = divide(other.value_or(TimelineHistory::root(timeline)), history);
    leave(branch, division ? division->at : stop);
  }
  return left;
}

}  // namespace walvault
