// Carries out what retention decides: backups that go, and WAL that nothing kept
// needs. docs/guarantees.md, "Deleting beside running backups", has the
// argument.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "catalog/retention/expiry_plan.h"

namespace walvault {

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
