// Mends a repository: what is lost or damaged is made again from what is here, or taken from
// another repository. Nothing comes back that was deleted on purpose.
#pragma once

#include "base/clock.h"
#include "base/reporter.h"
#include "catalog/repair/mended.h"
#include "catalog/verification/verification.h"
#include "repository/repository.h"

namespace walvault {

struct RepairRequest {
  RandomId run{};  // random, of this run
  unsigned jobs = 2;
  bool dry_run = false;
  // All of it was just read: what was found whole is not read again.
  bool was_verified = false;
};

// Registrations and branches first, then everything that a verification finds, until it finds
// nothing more that can be mended. `theirs`: another repository; nullptr: there is none. An
// interruption leaves every object as it was or mended.
[[nodiscard]] RepairReport repair_repository(const Repository& ours, const Repository* theirs,
                                             Clock& clock, const RepairRequest& request,
                                             const Reporter& reporter, const Meter& meter = {});

}  // namespace walvault
