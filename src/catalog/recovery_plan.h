// From "restore to this moment" to the backup, the timeline and the WAL that
// get there. Reads the catalog, writes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/backup_info.h"
#include "catalog/wal_stretch.h"

namespace walvault {

enum class TargetKind { latest, time, lsn, xid, name, immediate };

struct RecoveryTarget {
  TargetKind kind = TargetKind::latest;
  std::string asked;  // as the user wrote it; empty for latest and immediate
  Timestamp time{};
  Lsn lsn;
  std::uint64_t xid = 0;
  std::string name;
  bool inclusive = true;
};

struct PlanRequest {
  RecoveryTarget target;
  std::optional<std::string> backup_id;
  // "latest", "current" (the backup's own) or a number.
  std::string timeline = "latest";
};

struct RecoveryPlan {
  BackupInfo backup;
  TimelineId timeline;  // that replay follows
  RecoveryTarget target;
  WalStretch wal;
};

// Error{unreachable_target} when the moment cannot be recovered, with the
// nearest that can; Error{not_found} for a backup or timeline that does not
// exist, or a cluster without backups; Error{usage} for a malformed timeline.
// Until commit times are read from the WAL, whether a time, xid or name is
// reached within the archived WAL is known only as far as the times at which
// segments were written tell.
[[nodiscard]] RecoveryPlan plan_recovery(const WalArchive& archive,
                                         const std::vector<BackupInfo>& backups,
                                         const PlanRequest& request);

}  // namespace walvault
