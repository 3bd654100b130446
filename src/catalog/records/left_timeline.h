// That a cluster does not go on with a timeline: a restore as the original left it, or an operator
// said so. Records are only added; what counts of them, catalog/recovery/left_timelines.h tells.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "catalog/records/timeline_branch.h"

namespace walvault {

struct LeftTimeline {
  TimelineBranch timeline;
  // The last position that is common to it and to what goes on without it, as far as that was
  // known when it was left; 0 where nobody knows.
  Lsn at;
  // The first timeline id that can be the one for which it was left, once it is archived. Id 0: it
  // is left whatever is archived.
  TimelineId for_timeline;
  // Of the data directory that goes on; nullopt: not known.
  std::optional<RandomId> archiver;
  // Of a restore: the backup that it began from; empty: not known.
  std::string backup = {};
  // It is not left, whatever was said before.
  bool is_taken_back = false;
  Timestamp when;
  std::string reason;  // in the operator's words, or of whom left it

  bool operator==(const LeftTimeline&) const = default;
};

inline constexpr std::size_t left_reason_bytes_max = 1000;

[[nodiscard]] Bytes encode_left_timeline(const LeftTimeline& left);
[[nodiscard]] LeftTimeline decode_left_timeline(ByteView payload);

// All of an identity, in the order in which they were said.
[[nodiscard]] std::vector<LeftTimeline> list_left_timelines(const Repository& repository,
                                                            const ClusterIdentity& identity);

// Those that an operator abandoned, and did not take back.
[[nodiscard]] std::set<TimelineBranch> abandoned_branches(const std::vector<LeftTimeline>& records);

void put_left_timeline(const Repository& repository, const ClusterIdentity& identity,
                       const LeftTimeline& left);

// Adds to another repository what it does not have of them.
void copy_left_timelines(const Repository& from, const Repository& to,
                         const ClusterIdentity& identity);

}  // namespace walvault
