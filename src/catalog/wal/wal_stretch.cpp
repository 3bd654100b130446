#include "catalog/wal/wal_stretch.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

using Segments = std::vector<StoredSegment>;

const StoredSegment* find_segment(const Segments& segments, std::uint64_t number) {
  const auto it = std::ranges::lower_bound(segments, number, {}, &StoredSegment::number);
  return it != segments.end() && it->number == number ? &*it : nullptr;
}

Lsn end_of_records(const WalArchive& archive, const SegmentName& segment, const std::string& key) {
  try {
    const auto found = archive.find_chain_summary(segment, key);
    return found ? found->summary.end : Lsn{};
  } catch (const Error& error) {
    // Whoever reads its records says what is the matter.
    if (error.kind() != ErrorKind::corrupt) throw;
    return {};
  }
}

// Extends a stretch by what is archived of the segment that follows it.
void add_partial(const WalArchive& archive, const SegmentName& segment, WalStretch& stretch) {
  const auto name = segment.text(archive.identity().geometry) + ".partial";
  const auto whole = stretch.stored_bytes;
  for (const auto& key : archive.partial_keys(name)) {
    const auto object = archive.repository().storage().find(key);
    if (!object) continue;
    try {
      auto end = wal_content_end(decode_wal_object(archive.repository().codec(), *object, key, 1,
                                                   archive.repository().buffers()));
      // The last record may end with zeros.
      end = std::max(end, end_of_records(archive, segment, key));
      if (end <= stretch.end) continue;
      stretch.end = end;
    } catch (const Error& error) {
      // A damaged one is none: what comes before it is whole.
      if (error.kind() != ErrorKind::corrupt) throw;
      continue;
    }
    stretch.partial = segment;
    stretch.partial_object = key.substr(key.find_last_of('/') + 1);
    stretch.stored_bytes = whole + object->size();
    stretch.until =
        parse_wal_object_header(archive.repository().codec(), *object, key).header.modified;
  }
}

}  // namespace

bool has_own_wal(const WalArchive& archive, const BackupInfo& backup) {
  const auto geometry = archive.identity().geometry;
  auto number = geometry.number_of(backup.start);
  const auto last = geometry.number_before(backup.stop);
  for (const auto& segment : archive.segments(backup.timeline, number)) {
    if (segment.number != number || number > last) break;
    ++number;
  }
  if (number < last) return false;
  if (number > last) return true;
  WalStretch stretch;
  stretch.end = geometry.start_of(last);
  add_partial(archive, {.timeline = backup.timeline, .number = last}, stretch);
  return stretch.end >= backup.stop;
}

bool lies_on(const WalArchive& archive, const BackupInfo& backup, const TimelineHistory& history) {
  if (backup.branch != archive.branch_of(backup.timeline)) return false;
  if (backup.timeline == history.timeline()) return true;
  const auto leaves = history.leaves(backup.timeline);
  return leaves && backup.stop <= *leaves;
}

WalStretch wal_from(const WalArchive& archive, const TimelineHistory& history, Lsn start) {
  const auto geometry = archive.identity().geometry;
  std::map<TimelineId, Segments> archived;
  const auto segments_of = [&](TimelineId timeline) -> const Segments& {
    const auto it = archived.find(timeline);
    if (it != archived.end()) return it->second;
    return archived.emplace(timeline, archive.segments(timeline, geometry.number_of(start)))
        .first->second;
  };

  WalStretch stretch;
  stretch.begin = start;
  stretch.end = start;
  auto number = geometry.number_of(start);
  while (true) {
    // Where a segment holds a switch, PostgreSQL asks for the newer timeline's
    // file first, and then for the older one's.
    const SegmentName probe{.timeline = {}, .number = number};
    const StoredSegment* found = nullptr;
    TimelineId timeline;
    for (const auto candidate : history.asked_for(probe.start(geometry), probe.end(geometry))) {
      if (candidate < stretch.last.timeline) break;
      timeline = candidate;
      found = find_segment(segments_of(candidate), number);
      if (found != nullptr) break;
    }
    if (found == nullptr) break;
    const SegmentName segment{.timeline = timeline, .number = number};
    if (stretch.segments++ == 0) stretch.first = segment;
    stretch.last = segment;
    if (stretch.runs.empty() || stretch.runs.back().timeline != timeline) {
      stretch.runs.push_back({.timeline = timeline, .first = number});
    }
    ++stretch.runs.back().segments;
    stretch.stored_bytes += found->stored_bytes;
    stretch.end = segment.end(geometry);
    if (const auto leaves = history.leaves(timeline); leaves && *leaves < stretch.end) {
      stretch.end = *leaves;
      stretch.switches_from = timeline;
      break;
    }
    ++number;
  }
  if (stretch.segments > 0) {
    const auto key = archive.key_of(stretch.last.text(geometry));
    stretch.until = archive.last_written(key).value_or(Timestamp{});
  }
  const auto& newest = segments_of(history.timeline());
  stretch.gap_follows = !newest.empty() && newest.back().number > number;
  for (const auto& ancestor : history.ancestors()) {
    const auto& segments = segments_of(ancestor.timeline);
    stretch.gap_follows |= std::ranges::any_of(segments, [&](const auto& segment) {
      return segment.number > number && geometry.start_of(segment.number) < ancestor.end;
    });
  }
  // Of a segment in which the history leaves its timeline, a part may go on behind that.
  const auto timeline = history.at(geometry.start_of(number));
  const auto leaves = history.leaves(timeline);
  if (!leaves || *leaves >= geometry.start_of(number + 1)) {
    add_partial(archive, {.timeline = timeline, .number = number}, stretch);
  }
  return stretch;
}

std::optional<std::string> key_in_stretch(const WalArchive& archive, const WalStretch& stretch,
                                          std::uint64_t number) {
  const auto geometry = archive.identity().geometry;
  for (const auto& run : stretch.runs) {
    if (number < run.first || number - run.first >= run.segments) continue;
    return archive.key_of(SegmentName{.timeline = run.timeline, .number = number}.text(geometry));
  }
  if (!stretch.partial || stretch.partial->number != number) return std::nullopt;
  const auto whole = archive.key_of(stretch.partial->text(geometry));
  return whole.substr(0, whole.rfind('/') + 1) + stretch.partial_object;
}

}  // namespace walvault
