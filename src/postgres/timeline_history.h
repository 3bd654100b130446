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

// The ancestors of a timeline, oldest first.
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

  // Where this history leaves `ancestor`; nullopt when it is none.
  [[nodiscard]] std::optional<Lsn> leaves(TimelineId ancestor) const;

 private:
  TimelineHistory(TimelineId timeline, std::vector<TimelineSwitch> ancestors)
      : timeline_(timeline), ancestors_(std::move(ancestors)) {}

  TimelineId timeline_;
  std::vector<TimelineSwitch> ancestors_;
};

}  // namespace walvault
