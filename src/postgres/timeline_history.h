// Timeline history files (access/timeline.h; readTimeLineHistory): for each
// ancestor, a line with its id and the LSN at which history left it.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

struct TimelineSwitch {
  TimelineId timeline;  // the ancestor
  Lsn end;              // the first position that is no longer on it

  auto operator<=>(const TimelineSwitch&) const = default;
};

// The ancestors of a timeline that its history really passes through, oldest first.
//
// Switch points need not ascend: a cluster that was restored in place twice, further back
// the second time, has "1 0/17003698" before "2 0/B003698". Each line is a stretch from the
// switch point of the line before it to its own, and a position belongs to the newest
// stretch that holds it (tliOfPointInHistory). So a later switch point cuts short whatever
// was left behind it: here timeline 1 is left at 0/B003698, and nothing of timeline 2 counts.
// `parse` settles that once; what it leaves ascends, and has no empty stretch.
class TimelineHistory {
 public:
  // Parses the file of `timeline`. Ids must ascend and stay below `timeline`,
  // as PostgreSQL demands. Error{corrupt} naming the line otherwise.
  [[nodiscard]] static TimelineHistory parse(TimelineId timeline, ByteView content);

  // A timeline without a history file has no ancestors: timeline 1.
  [[nodiscard]] static TimelineHistory root(TimelineId timeline) {
    return TimelineHistory(timeline, {});
  }

  [[nodiscard]] TimelineId timeline() const { return timeline_; }
  [[nodiscard]] const std::vector<TimelineSwitch>& ancestors() const { return ancestors_; }

  // The timeline, this one or an ancestor, to which the WAL byte at `lsn`
  // belongs in this history.
  [[nodiscard]] TimelineId at(Lsn lsn) const;

  // The timelines under whose names PostgreSQL asks for the segment from `start` to before
  // `end`, in its order: newest first, and none that begins behind it
  // (XLogFileReadAnyTLI). Those older than one that was read before are not asked for.
  [[nodiscard]] std::vector<TimelineId> asked_for(Lsn start, Lsn end) const;

  // Where this history leaves `ancestor`; nullopt when it passes through none of it.
  [[nodiscard]] std::optional<Lsn> leaves(TimelineId ancestor) const;

 private:
  TimelineHistory(TimelineId timeline, std::vector<TimelineSwitch> ancestors)
      : timeline_(timeline), ancestors_(std::move(ancestors)) {}

  TimelineId timeline_;
  std::vector<TimelineSwitch> ancestors_;
};

}  // namespace walvault
