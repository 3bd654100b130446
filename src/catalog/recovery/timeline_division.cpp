#include "catalog/recovery/timeline_division.h"

#include <algorithm>

#include "base/error.h"
#include "catalog/wal/wal_stretch.h"

namespace walvault {

std::optional<TimelineDivision> divide(const TimelineHistory& first,
                                       const TimelineHistory& second) {
  const auto course = [](const TimelineHistory& history) {
    auto stretches = history.ancestors();
    stretches.push_back({.timeline = history.timeline(), .end = Lsn{~std::uint64_t{0}}});
    return stretches;
  };
  const auto of_first = course(first);
  const auto of_second = course(second);
  Lsn same;
  for (std::size_t i = 0; i < std::min(of_first.size(), of_second.size()); ++i) {
    if (of_first[i].timeline != of_second[i].timeline) {
      return TimelineDivision{.at = same, .first = of_first[i].timeline};
    }
    same = std::min(of_first[i].end, of_second[i].end);
    if (of_first[i].end != of_second[i].end) {
      return TimelineDivision{.at = same, .first = first.at(same)};
    }
  }
  return std::nullopt;
}

std::optional<TimelineHistory> find_sound_history(const WalArchive& archive, TimelineId timeline) {
  try {
    return archive.find_history(timeline);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

std::optional<TimelineDivision> find_departure_behind(const WalArchive& archive,
                                                      TimelineId timeline, Lsn end) {
  constexpr std::size_t looked_at_max = 16;
  auto branches = archive.branches();
  std::erase_if(branches, [&](const auto& each) { return each.timeline <= timeline; });
  std::ranges::reverse(branches);
  if (branches.size() > looked_at_max) branches.resize(looked_at_max);
  std::optional<TimelineDivision> last;
  for (const auto& branch : branches) {
    const auto view = archive.view_of(branch);
    if (view.branch_of(timeline) != archive.branch_of(timeline)) continue;
    const auto history = find_sound_history(view, branch.timeline);
    const auto leaves = history ? history->leaves(timeline) : std::nullopt;
    if (leaves && *leaves > (last ? last->at : end)) {
      last = TimelineDivision{.at = *leaves, .first = branch.timeline};
    }
  }
  return last;
}

std::optional<AnySummary> find_any_summary(const WalArchive& archive, const SegmentName& name) {
  const auto find = [&](const std::string& key) -> std::optional<AnySummary> {
    auto found = archive.find_summary(key);
    return found ? std::optional(AnySummary{std::move(*found), key}) : std::nullopt;
  };
  try {
    if (auto whole = find(archive.key_of(name.text(archive.identity().geometry)))) return whole;
    const auto part = find_furthest_part(archive, name);
    return part ? find(*part) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

std::optional<WalArchive::SummarizedWal> find_beginning(const WalArchive& archive,
                                                        TimelineId timeline, Lsn at) {
  const auto first = archive.identity().geometry.number_of(at);
  auto found = find_any_summary(archive, {.timeline = timeline, .number = first});
  const auto begins_here = [&](const WalArchive::SummarizedWal& segment) {
    return std::ranges::any_of(segment.summary.timeline_changes,
                               [&](const auto& change) { return change.to == timeline; });
  };
  if (found && begins_here(*found)) return found;
  auto next = find_any_summary(archive, {.timeline = timeline, .number = first + 1});
  return !found || (next && begins_here(*next)) ? next : found;
}

std::optional<Timestamp> find_begin(const WalArchive& archive, TimelineId timeline, Lsn at) {
  if (const auto beginning = find_beginning(archive, timeline, at)) {
    for (const auto& change : beginning->summary.timeline_changes) {
      if (change.to == timeline) return change.time;
    }
    return std::nullopt;
  }
  try {
    const auto history = archive.find_header(archive.key_of(history_file_name(timeline)));
    // Fetched from its server, which does not say when it wrote it.
    if (!history || history->modified == history->archived) return std::nullopt;
    return history->modified;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

}  // namespace walvault
