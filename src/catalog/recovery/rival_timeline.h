// Timelines that grew beside each other: two servers went on from one history, a copy and its
// original as a rule, and each has what the other has not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/recovery/target_resolution.h"

namespace walvault {

// Another timeline than the one that a plan follows, on which transactions ended after the plan's
// own had begun. What a server wrote before it died, and its standby was promoted, is none.
struct RivalTimeline {
  TimelineId timeline;
  Lsn divides;                 // up to here both are the same
  Timestamp last_transaction;  // of the rival
  Timestamp began;             // the one of the plan: to whole seconds
};

// Those of a plan that goes on behind where they divide, the newest first. Looks at no more than
// the newest timelines; a segment that cannot be read says nothing.
[[nodiscard]] std::vector<RivalTimeline> find_rivals(const WalArchive& archive,
                                                     const ProvedPlan& proved);

// Error{unreachable_target} that names both, and the option that chooses.
[[nodiscard]] Error two_timelines(const ProvedPlan& proved, const RivalTimeline& rival);

}  // namespace walvault
