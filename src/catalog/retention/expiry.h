// Carries out what retention decides: backups that go, and WAL that nothing kept
// needs. docs/guarantees.md, "Deleting beside running backups", has the
// argument.
#pragma once

#include <cstdint>
#include <functional>
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

struct ExpiryResult {
  std::vector<std::string> deleted;  // backups
  std::uint64_t segments = 0;        // removed
  // Why WAL that could go was left; empty: it was not.
  std::string wal_left;
};

// `run` names this run's announcement. A crash at any point leaves backups that are
// wholly there or wholly gone, and WAL that nothing kept needs; the next run does
// the rest. `check_cancelled` may throw; what was not done by then is left.
ExpiryResult carry_out_expiry(const Repository& repository, const std::string& cluster,
                              const ExpiryPlan& plan, const RandomId& run, Timestamp now,
                              const std::function<void()>& check_cancelled);

}  // namespace walvault
