// Timelines that grew beside each other: two servers went on from one history, a copy and its
// original as a rule, and each has what the other has not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/recovery/target_resolution.h"

namespace walvault {

// What one of two timelines has that the other has not.
struct OwnWal {
  std::uint64_t commits = 0;
  bool has_more = false;  // only so many segments are counted
  // nullopt: none ended. Where too much of its end is without any, when the last segment was
  // written stands for it.
  std::optional<Timestamp> last_transaction;
  Timestamp last_archived;
};

// Whether a transaction ended on a timeline behind a position after another one, which left it
// there, had begun. What cannot be looked at to its end, because too much of it is quiet, counts as
// grown.
[[nodiscard]] bool grew_after(const WalArchive& archive, TimelineId timeline, Lsn behind,
                              Timestamp began);

// What of a timeline lies behind a position. nullopt: nothing is archived.
[[nodiscard]] std::optional<OwnWal> find_own_wal(const WalArchive& archive, TimelineId timeline,
                                                 Lsn behind);

// Another timeline than the one that a plan follows, on which transactions ended after the plan's
// own had begun. What a server wrote before it died, and its standby was promoted, is none, and
// neither is what an operator abandoned. Of one that a restore as the original left, what ended
// before that does not count: only one that grows all the same is a rival.
struct RivalTimeline {
  TimelineId timeline;
  Lsn divides;      // up to here both are the same
  Timestamp began;  // the one of the plan: to whole seconds
  OwnWal of_rival;
  std::optional<Timestamp> left = {};  // when a restore left it
};

// Those of a plan that goes on behind where they divide, the newest first. Looks at no more than
// the newest timelines; a segment that cannot be read says nothing.
[[nodiscard]] std::vector<RivalTimeline> find_rivals(const WalArchive& archive,
                                                     const ProvedPlan& proved);

// Two timelines of which one has to be chosen.
struct TimelineChoice {
  TimelineId chosen;  // by the plan
  OwnWal of_chosen;
  RivalTimeline rival;
};

[[nodiscard]] TimelineChoice choice_between(const WalArchive& archive, const ProvedPlan& proved,
                                            const RivalTimeline& rival);

// What each has that the other has not, in sentences.
[[nodiscard]] std::string describe(const TimelineChoice& choice);

// Error{unreachable_target} that names both, and the options that choose.
[[nodiscard]] Error two_timelines(const TimelineChoice& choice);

// The same for a standby, which follows the newest one and takes no such option.
[[nodiscard]] Error not_known_which_to_follow(const TimelineChoice& choice);

}  // namespace walvault
