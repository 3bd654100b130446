#include "catalog/recovery/recovery_demands.h"

#include <algorithm>

namespace walvault {
namespace {

template <typename Source>
void raise(RequiredSettings& settings, const Source& source) {
  const auto to = [](std::uint32_t& value, std::uint32_t wanted) {
    value = std::max(value, wanted);
  };
  to(settings.max_connections, source.max_connections);
  to(settings.max_worker_processes, source.max_worker_processes);
  to(settings.max_wal_senders, source.max_wal_senders);
  to(settings.max_prepared_transactions, source.max_prepared_transactions);
  to(settings.max_locks_per_transaction, source.max_locks_per_transaction);
}

// Whether replay comes past a record. Where it stops as soon as it is consistent, it reads on to
// wherever that is noticed, so more is looked at rather than less.
bool is_replayed(const ProvedPlan& proved, Lsn lsn) {
  return !proved.stop.lsn || lsn <= *proved.stop.lsn;
}

}  // namespace

RecoveryDemands recovery_demands(const ProvedPlan& proved) {
  RecoveryDemands demands;
  raise(demands.settings, proved.plan.backup.control);
  for (const auto& change : proved.chain.parameter_changes) {
    if (is_replayed(proved, change.lsn)) raise(demands.settings, change);
  }
  for (const auto& creation : proved.chain.tablespace_creations) {
    // Without a place it lies in the data directory (allow_in_place_tablespaces).
    if (is_replayed(proved, creation.lsn) && !creation.location.empty()) {
      demands.tablespaces.push_back(creation);
    }
  }
  return demands;
}

}  // namespace walvault
