// From "restore to this moment" to the backup, the timeline and the WAL that
// get there. Reads the catalog, writes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catalog/records/backup_info.h"
#include "catalog/recovery/cluster_view.h"
#include "catalog/wal/wal_stretch.h"

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

// What a directory is restored for.
enum class RecoveryPurpose {
  target,   // a server of its own: all WAL up to the target has to be there
  standby,  // it gets from its primary what lies behind the end of the backup
};

struct PlanRequest {
  RecoveryTarget target = {};
  std::optional<std::string> backup_id = std::nullopt;
  // "latest", "current" (the backup's own), a number, or a branch such as 2-0.
  std::string timeline = "latest";
  RecoveryPurpose purpose = RecoveryPurpose::target;
};

struct RecoveryPlan {
  BackupInfo backup;
  TimelineId timeline;  // that replay follows
  // Of its history, those that are not the newest of their timeline: fetching
  // has to be told.
  std::vector<TimelineBranch> branches;
  RecoveryTarget target;
  WalStretch wal;
};

// A branch of a timeline and what it came from, and the archive as that history
// has it.
struct HistoryCourse {
  TimelineBranch branch;
  WalArchive archive;
  TimelineHistory history;
};

[[nodiscard]] HistoryCourse course_of(const WalArchive& archive, TimelineBranch branch);

// The one that `timeline` of a request means, as for a plan, with backups or
// without. Error{not_found} when nothing is archived.
[[nodiscard]] HistoryCourse follow_history(const ClusterView& cluster, const std::string& timeline);

// Where the WAL of a plan ends and why, and what can be done about it. `archive`
// is the view that the plan was made of.
struct WalEnd {
  std::string evidence;
  std::string hint;
};
[[nodiscard]] WalEnd describe_wal_end(const ClusterView& cluster, const RecoveryPlan& plan);

// In words, the first moment of a plan's history that needs no WAL before `from`;
// empty: there is none.
[[nodiscard]] std::string next_moment(const ClusterView& cluster, const RecoveryPlan& plan,
                                      Lsn from);

// The identity of the cluster that a request is about: that of the backup it
// names; for a time, the newest that had a complete backup by then; else the
// newest. REQUIRES: `identities` are not empty, oldest first.
[[nodiscard]] ClusterIdentity choose_identity(const std::vector<ClusterIdentity>& identities,
                                              const std::vector<BackupInfo>& backups,
                                              const PlanRequest& request);

// Error{unreachable_target} when the moment cannot be recovered, with the
// nearest that can; Error{not_found} for a backup or timeline that does not
// exist, or an identity without backups; Error{usage} for a malformed timeline.
// Whether and where a time, xid or name is reached within the archived WAL is not
// looked at here: target_resolution.h.
[[nodiscard]] RecoveryPlan plan_recovery(const ClusterView& cluster, const PlanRequest& request);

// The same, without a look at whether the archived WAL leads from the chosen backup to the moment.
[[nodiscard]] RecoveryPlan choose_recovery(const ClusterView& cluster, const PlanRequest& request);

}  // namespace walvault
