// What the WAL on the way to a stop demands of the server and the machine that replay it.
#pragma once

#include <vector>

#include "catalog/recovery/target_resolution.h"

namespace walvault {

// Settings below which replay pauses (from 14 on) or ends (CheckRequiredParameterValues).
struct RequiredSettings {
  std::uint32_t max_connections = 0;
  std::uint32_t max_worker_processes = 0;
  std::uint32_t max_wal_senders = 0;
  std::uint32_t max_prepared_transactions = 0;
  std::uint32_t max_locks_per_transaction = 0;

  bool operator==(const RequiredSettings&) const = default;
};

struct RecoveryDemands {
  RequiredSettings settings;  // the largest that the backup or any record on the way names
  // Made on the way: replay links each to the very place that the original had.
  std::vector<TablespaceCreation> tablespaces;
};

[[nodiscard]] RecoveryDemands recovery_demands(const ProvedPlan& proved);

}  // namespace walvault
