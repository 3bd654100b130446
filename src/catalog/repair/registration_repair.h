// Registrations of clusters and openings of branches that are lost or damaged: without them
// everything that is stored under the name is out of reach. They are taken from another
// repository, or made again from what backups and WAL say of themselves.
#pragma once

#include "catalog/repair/mended.h"
#include "repository/repository.h"

namespace walvault {

// `theirs` may be nullptr. What of another repository contradicts the backups and the WAL that are
// here is not taken. Adds to `report`.
void repair_registrations(const Repository& ours, const Repository* theirs, bool dry_run,
                          RepairReport& report);

}  // namespace walvault
