// Which backup and which WAL a restore takes: planned, proved, and planned again without what
// turns out not to do.
#pragma once

#include <functional>

#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/target_resolution.h"

namespace walvault {

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

// plan_recovery, and the proof of what it found. Errors as there and as resolve;
// Error{corrupt} where only backups with a fault lead there. A stop that lies before the history
// leaves an ancestor is planned on that ancestor, where its WAL is archived: the timeline on which
// the restored server then goes on is written down as a child of the one that recovery was told to
// follow, whatever timeline the stop lies on. For a standby nothing behind the backup's end is
// asked for.
[[nodiscard]] ProvedPlan plan_proved_recovery(const ClusterView& cluster,
                                              const PlanRequest& request,
                                              const FaultCheck& faults = {});

}  // namespace walvault
