// From a target to the record at which replay stops, read in the archived WAL.
// PostgreSQL is then given that record's position: it cannot miss it, and "the
// recovery ended before the target was reached" cannot happen.
#pragma once

#include <optional>

#include "catalog/recovery/recovery_plan.h"
#include "catalog/wal/wal_chain.h"

namespace walvault {

struct RecoveryStop {
  // The record, and whether it is replayed. Of what kind latest and immediate mean there is none
  // where replay ends by itself.
  std::optional<Lsn> lsn;
  bool inclusive = true;
  // The transaction that ends with the record, where one does.
  std::optional<TransactionGlimpse> transaction;
  // Of a time: a later transaction is known, so that none of an earlier time can
  // be missing. Without it, replay goes to the end of what is archived.
  bool time_proved = false;
};

struct ProvedPlan {
  RecoveryPlan plan;
  RecoveryStop stop;
  // Of all the WAL, also behind the stop.
  WalChain chain;
  // The timeline whose history was asked for, where the stop turned out to lie on another one, and
  // that is planned along; zero: the same.
  TimelineId asked_for = {};
  // Of a moment before the timeline began that was asked for: the one on which the cluster was
  // then, where that has more of it. Zero: none.
  TimelineId then_on = {};
};

// Behind which the restored server goes on: where replay stops, as far as that is known before.
[[nodiscard]] Lsn stop_position(const ProvedPlan& proved);

// Proves the WAL of a plan to be one chain up to its stop, and finds that. `backups`: of the
// cluster. Error{unreachable_target} for a chain that is broken before the stop and for a target
// that no record fulfils, with the nearest that can be had; Error{usage} for the name of several
// restore points, which it lists. Of a standby's the backup's end is the stop.
[[nodiscard]] ProvedPlan resolve(const ClusterView& cluster, const RecoveryPlan& plan,
                                 RecoveryPurpose purpose);

}  // namespace walvault
