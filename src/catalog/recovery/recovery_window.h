// Which moments a repository can bring back, from what is proved of its WAL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_info.h"
#include "catalog/recovery/cluster_view.h"
#include "catalog/wal/wal_archive.h"
#include "catalog/wal/wal_chain.h"

namespace walvault {

// A stretch in which every moment can be recovered: from a backup's consistent
// point to the end of the WAL that is proved to follow it.
struct RecoveryWindow {
  TimelineBranch timeline;
  Timestamp earliest_time;
  Timestamp latest_time;
  // The latest end of a transaction in it: up to then it is proved that no
  // transaction of an earlier time is missing. nullopt: none ended.
  std::optional<Timestamp> last_transaction;
  Lsn earliest;
  Lsn latest;
};

// What is on record about a gap.
enum class GapState {
  open,      // nothing: WAL is missing
  accepted,  // an operator knows that it is lost
  expired,   // expire deleted it between backups that stay: nobody lost it
};

// WAL that cannot be replayed, with archived WAL behind it.
struct WalGap {
  TimelineBranch timeline;
  Lsn from;
  Lsn to;
  std::string damage;  // of the segment that is there; empty: it is not archived
  GapState state = GapState::open;
  // Its server wrote too little to be recovered from: nothing is lost or damaged.
  bool is_minimal = false;
};

// Of one branch of a timeline, the last segment that is archived.
struct TimelineEnd {
  TimelineBranch timeline;
  SegmentName segment;
  // When its server last wrote to it; nullopt: that cannot be read.
  std::optional<Timestamp> modified;
};

struct RecoverableMoments {
  std::vector<RecoveryWindow> windows;
  std::vector<WalGap> gaps;
  std::vector<TimelineEnd> ends;
  // In what leads to the windows, by segment.
  std::vector<ArchiverChange> archiver_changes;
};

// Of all branches, those that were set aside too; backups of other identities
// than the archive's do not count. Damage is looked for where a backup needs the
// WAL. Give it an archive at_this_moment.
[[nodiscard]] RecoverableMoments recoverable_moments(const ClusterView& cluster);

}  // namespace walvault
