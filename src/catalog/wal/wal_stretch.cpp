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

// nullopt: it holds no whole record, or is damaged.
std::optional<Lsn> end_of_records(const WalArchive& archive, const SegmentName& segment,
                                  const std::string& key) {
  try {
    const auto found = archive.find_chain_summary(segment, key);
    if (!found || found->summary.records == 0) return std::nullopt;
    return found->summary.end;
  } catch (const Error& error) {
    // Whoever reads its records says what is the matter.
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

// What is archived of a segment that its server did not fill.
struct Part {
  std::string key;
  Lsn end;
  Timestamp modified;
  std::uint64_t stored_bytes = 0;
  bool is_contradicted = false;  // another one has other WAL, which does not reach as far
};

// Whether two parts of one segment have the same WAL, as far as both reach.
bool is_same_wal(const Part& first, const Bytes& of_first, const Part& second,
                 const Bytes& of_second, Lsn start) {
  const auto bytes = std::min<std::uint64_t>(
      {std::min(first.end, second.end).value - start.value, of_first.size(), of_second.size()});
  return std::ranges::equal(ByteView(of_first).first(bytes), ByteView(of_second).first(bytes));
}

// Of several the one that reaches furthest; nullopt: none goes beyond `behind`.
std::optional<Part> find_part(const WalArchive& archive, const SegmentName& segment, Lsn behind) {
  const auto name = segment.text(archive.identity().geometry) + ".partial";
  const auto& codec = archive.repository().codec();
  const auto start = segment.start(archive.identity().geometry);
  std::optional<Part> best;
  Bytes of_best;
  for (const auto& key : archive.partial_keys(name)) {
    const auto object = archive.repository().storage().find(key);
    if (!object) continue;
    try {
      auto content = decode_wal_object(codec, *object, key, 1, archive.repository().buffers());
      // Not by what is in the file: behind its WAL a page may hold what it held before.
      const auto end = end_of_records(archive, segment, key).value_or(wal_content_end(content));
      if (end <= behind) continue;
      Part part{.key = key,
                .end = end,
                .modified = parse_wal_object_header(codec, *object, key).header.modified,
                .stored_bytes = object->size()};
      const bool differs = best && !is_same_wal(*best, of_best, part, content, start);
      if (best) best->is_contradicted |= differs;
      if (best && part.end <= best->end) continue;
      part.is_contradicted = best && best->is_contradicted;
      best = std::move(part);
      of_best = std::move(content);
    } catch (const Error& error) {
      // A damaged one is none: what comes before it is whole.
      if (error.kind() != ErrorKind::corrupt) throw;
    }
  }
  return best;
}

// Where a history goes over to one of its timelines; zero: it begins with that.
Lsn begin_of(const TimelineHistory& history, TimelineId timeline) {
  Lsn begin;
  for (const auto& ancestor : history.ancestors()) {
    if (ancestor.timeline == timeline) return begin;
    begin = ancestor.end;
  }
  return begin;
}

// Follows a history from one segment to the next.
class StretchWalk {
 public:
  StretchWalk(const WalArchive& archive, const TimelineHistory& history, Lsn start)
      : archive_(archive),
        history_(history),
        geometry_(archive.identity().geometry),
        first_(geometry_.number_of(start)) {
    stretch_.begin = start;
    stretch_.end = start;
  }

  WalStretch run() {
    auto number = first_;
    while (take(number)) ++number;
    if (!stretch_.partial && stretch_.segments > 0) {
      const auto key = archive_.key_of(stretch_.last.text(geometry_));
      stretch_.until = archive_.last_written(key).value_or(Timestamp{});
    }
    if (stretch_.switches_from != TimelineId{}) {
      // What was written there behind the switch is of no moment of this history.
      const auto began =
          archive_.last_written(archive_.key_of(history_file_name(history_.timeline())));
      if (began) stretch_.until = std::min(stretch_.until, *began);
    }
    stretch_.gap_follows = any_behind(number);
    return std::move(stretch_);
  }

 private:
  // False: the stretch ends in this segment, or before it.
  bool take(std::uint64_t number) {
    const SegmentName probe{.timeline = {}, .number = number};
    const auto asked = history_.asked_for(probe.start(geometry_), probe.end(geometry_));
    // Where a segment holds a switch, PostgreSQL asks for the newer timeline's file first, and then
    // for the older one's.
    for (const auto timeline : asked) {
      if (timeline < stretch_.last.timeline) break;
      const SegmentName segment{.timeline = timeline, .number = number};
      if (const auto* const whole = find_segment(segments_of(timeline), number)) {
        return take_whole(segment, whole->stored_bytes);
      }
      // A timeline's server begins its first segment with what its parent had written of it: so
      // a part of that goes before its parent's whole one.
      const auto part = find_part(archive_, segment, stretch_.end);
      if (!part || part->end < begin_of(history_, timeline)) continue;
      take_part(segment, *part);
      return false;
    }
    return false;
  }

  bool take_whole(const SegmentName& segment, std::uint64_t stored_bytes) {
    if (stretch_.segments++ == 0) stretch_.first = segment;
    stretch_.last = segment;
    if (stretch_.runs.empty() || stretch_.runs.back().timeline != segment.timeline) {
      stretch_.runs.push_back({.timeline = segment.timeline, .first = segment.number});
    }
    ++stretch_.runs.back().segments;
    stretch_.stored_bytes += stored_bytes;
    return !ends_at_switch(segment.timeline, segment.end(geometry_));
  }

  void take_part(const SegmentName& segment, const Part& part) {
    stretch_.partial = segment;
    stretch_.partial_object = part.key.substr(part.key.find_last_of('/') + 1);
    stretch_.is_partial_contradicted = part.is_contradicted;
    stretch_.stored_bytes += part.stored_bytes;
    stretch_.until = part.modified;
    (void)ends_at_switch(segment.timeline, part.end);
  }

  // What was archived last goes up to `end`, on a timeline that the history may have left before.
  bool ends_at_switch(TimelineId timeline, Lsn end) {
    const auto leaves = history_.leaves(timeline);
    const bool is_left = leaves && *leaves < end;
    stretch_.end = is_left ? *leaves : end;
    if (is_left) stretch_.switches_from = timeline;
    return is_left;
  }

  [[nodiscard]] bool any_behind(std::uint64_t number) {
    const auto& newest = segments_of(history_.timeline());
    if (!newest.empty() && newest.back().number > number) return true;
    return std::ranges::any_of(history_.ancestors(), [&](const TimelineSwitch& ancestor) {
      return std::ranges::any_of(segments_of(ancestor.timeline), [&](const StoredSegment& each) {
        return each.number > number && geometry_.start_of(each.number) < ancestor.end;
      });
    });
  }

  const Segments& segments_of(TimelineId timeline) {
    const auto it = archived_.find(timeline);
    if (it != archived_.end()) return it->second;
    return archived_.emplace(timeline, archive_.segments(timeline, first_)).first->second;
  }

  const WalArchive& archive_;
  const TimelineHistory& history_;
  const WalGeometry geometry_;
  const std::uint64_t first_;
  std::map<TimelineId, Segments> archived_;
  WalStretch stretch_;
};

}  // namespace

std::optional<std::string> find_furthest_part(const WalArchive& archive,
                                              const SegmentName& segment) {
  const auto part = find_part(archive, segment, {});
  return part ? std::optional(part->key) : std::nullopt;
}

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
  const auto part = find_part(archive, {.timeline = backup.timeline, .number = last}, backup.start);
  return part && part->end >= backup.stop;
}

bool lies_on(const WalArchive& archive, const BackupInfo& backup, const TimelineHistory& history) {
  if (backup.branch != archive.branch_of(backup.timeline)) return false;
  if (backup.timeline == history.timeline()) return true;
  const auto leaves = history.leaves(backup.timeline);
  return leaves && backup.stop <= *leaves;
}

WalStretch wal_from(const WalArchive& archive, const TimelineHistory& history, Lsn start) {
  return StretchWalk(archive, history, start).run();
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
