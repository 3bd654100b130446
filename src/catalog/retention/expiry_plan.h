// What a policy would remove: backups, and the WAL that nothing kept needs. Changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/recovery_window.h"
#include "catalog/retention/retention.h"
#include "catalog/wal/wal_archive.h"
#include "catalog/wal/wal_expiry.h"

namespace walvault {

// What can be recovered of one identity, and what could afterwards.
struct ExpiryWindows {
  ClusterIdentity identity;
  std::vector<RecoveryWindow> before;
  std::vector<RecoveryWindow> after;
};

struct ExpiryPlan {
  std::vector<BackupInfo> backups;      // oldest first
  std::vector<BackupVerdict> verdicts;  // of each
  // Of those that cannot be restored whole, by their ids, why: none of them counts.
  BackupFaults faults;
  std::vector<std::string> damaged;  // roots that cannot be read: they stay
  std::vector<WalRange> wal;
  // Where that leaves WAL on both sides: gaps that are meant.
  std::vector<WalRange> holes;
  std::uint64_t segments = 0;
  std::uint64_t wal_stored_bytes = 0;
  std::vector<ExpiryWindows> windows;  // of each identity, oldest first

  [[nodiscard]] bool is_empty() const;
};

// What the policy would remove. `keep_ledgers` as for WalArchive::at_this_moment.
[[nodiscard]] ExpiryPlan plan_expiry(const Repository& repository, const std::string& cluster,
                                     const RetentionPolicy& policy, Timestamp now,
                                     bool keep_ledgers);

}  // namespace walvault
