// Which timelines a cluster does not go on with. `latest` is the newest that nobody left.
#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "catalog/records/left_timeline.h"
#include "catalog/recovery/target_resolution.h"

namespace walvault {

// A recovery that takes longer than that has come to nothing, and keeps nothing any more.
inline constexpr std::chrono::days recovery_time_max{7};

class LeftTimelines {
 public:
  // Reads the records. `archive` must outlive this.
  explicit LeftTimelines(const WalArchive& archive);

  // The last record that counts; nullptr: nobody left it. What a restore said counts once the
  // timeline on which its server went on is archived: until then nothing else is there to go on
  // with, and the restore may have come to nothing.
  [[nodiscard]] const LeftTimeline* find(TimelineBranch timeline) const;

  // The last record that was not taken back, whether it counts or not; nullptr: there is none.
  [[nodiscard]] const LeftTimeline* find_said(TimelineBranch timeline) const;

  // What restores as the original left, while their servers archive nothing so far: they may still
  // recover, and ask for WAL and a backup up to there.
  [[nodiscard]] std::vector<LeftTimeline> still_recovering(Timestamp now) const;

  // Whether an operator said so: then nothing was left for it either.
  [[nodiscard]] bool is_abandoned(TimelineBranch timeline) const;

  // Whether a timeline and all that are newer were abandoned: who looks for the newest, as a
  // standby does, is not to find it. One with a living newer one is on the way to that: a standby
  // wants the history files of all numbers up to its primary's.
  [[nodiscard]] bool is_dead_end(TimelineId timeline) const;

 private:
  [[nodiscard]] bool is_fulfilled(const LeftTimeline& left) const;

  const WalArchive& archive_;
  std::map<TimelineBranch, std::vector<LeftTimeline>> records_;
  std::set<TimelineBranch> abandoned_;
};

// Whether an operator abandoned the branch of a timeline that is archived to now.
[[nodiscard]] bool is_abandoned(const WalArchive& archive, TimelineId timeline);

// Of a cluster's newest branches, those that are newer than the server's own timeline and that
// nobody left, ascending: a restore follows the last one.
[[nodiscard]] std::vector<TimelineId> newer_timelines(const WalArchive& archive, TimelineId own);

// What a restore as the original says of what it leaves. `archiver`: of the directory that goes on.
[[nodiscard]] std::vector<LeftTimeline> timelines_left_by(const WalArchive& archive,
                                                          const ProvedPlan& proved,
                                                          std::optional<RandomId> archiver,
                                                          Timestamp now);

}  // namespace walvault
