// Where two timelines of a cluster divide, and what is archived behind that.
#pragma once

#include <optional>

#include "catalog/wal/wal_archive.h"

namespace walvault {

struct TimelineDivision {
  Lsn at;            // up to here both are one
  TimelineId first;  // of what only the first one has: the timeline on which that begins
};

// nullopt: nothing of the first one lies behind it.
[[nodiscard]] std::optional<TimelineDivision> divide(const TimelineHistory& first,
                                                     const TimelineHistory& second);

// For who only looks whether something is known: a history that cannot be read says nothing.
[[nodiscard]] std::optional<TimelineHistory> find_sound_history(const WalArchive& archive,
                                                                TimelineId timeline);

// The last place where an archived history leaves a timeline, and for which one, if that lies
// behind `end`: so far the timeline went. `archive`: a view of its branch. Looks at the newest ones
// only.
[[nodiscard]] std::optional<TimelineDivision> find_departure_behind(const WalArchive& archive,
                                                                    TimelineId timeline, Lsn end);

// Of what is archived of a segment, whole or in part; nullopt: nothing is, or it is damaged.
struct AnySummary : WalArchive::SummarizedWal {
  std::string key;
};
[[nodiscard]] std::optional<AnySummary> find_any_summary(const WalArchive& archive,
                                                         const SegmentName& name);

// What begins a timeline: the segment in which it leaves its history at `at`, or the next one
// where that is the border between two.
[[nodiscard]] std::optional<WalArchive::SummarizedWal> find_beginning(const WalArchive& archive,
                                                                      TimelineId timeline, Lsn at);

// When it began, as its first record says: to whole seconds. Where that is not archived, when its
// history file was written.
[[nodiscard]] std::optional<Timestamp> find_begin(const WalArchive& archive, TimelineId timeline,
                                                  Lsn at);
inline constexpr std::chrono::seconds timeline_begin_slack{1};

}  // namespace walvault
