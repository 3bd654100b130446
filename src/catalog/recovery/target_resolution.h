// From a target to the record at which replay stops, read in the archived WAL.
// PostgreSQL is then given that record's position: it cannot miss it, and "the
// recovery ended before the target was reached" cannot happen.
#pragma once

#include <functional>
#include <optional>

#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/recovery_plan.h"
#include "catalog/wal/wal_chain.h"

namespace walvault {

struct RecoveryStop {
  // The record, and whether it is replayed. Of what kind latest and immediate
  // mean there is none: replay ends by itself.
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
};

// What is known against backups. One with a fault is not planned with, unless the request
// names it; where no other one will do, one of which nothing is lost for sure is tried.
struct FaultCheck {
  std::function<BackupFault(const BackupInfo&)> of = [](const BackupInfo&) {
    return BackupFault();
  };
  std::function<void(const BackupInfo&, const BackupFault&)> passed_over =
      [](const BackupInfo&, const BackupFault&) {};
  std::function<void(const BackupInfo&, const BackupFault&)> tried_all_the_same =
      [](const BackupInfo&, const BackupFault&) {};
};

// plan_recovery, and the proof that the WAL on the way is one chain up to the
// stop. Errors as there; Error{unreachable_target} also for a chain that is
// broken before the stop and for a target that no record fulfils, with the
// nearest that can be had; Error{corrupt} where only backups with a fault lead there;
// Error{usage} for the name of several restore points,
// which it lists. A stop that lies before the history leaves an ancestor is planned on that
// ancestor, where its WAL is archived: the timeline on which the restored server then goes on
// is written down as a child of the one that recovery was told to follow, whatever
// timeline the stop lies on. With `up_to_consistency` nothing behind the backup's end is
// asked for: a standby gets that from its primary.
[[nodiscard]] ProvedPlan plan_proved_recovery(const WalArchive& archive,
                                              const std::vector<BackupInfo>& backups,
                                              const PlanRequest& request, bool up_to_consistency,
                                              const FaultCheck& faults = {});

}  // namespace walvault
