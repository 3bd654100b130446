// Names of relations, in another repository.
#pragma once

#include "base/reporter.h"
#include "catalog/records/cluster.h"
#include "repository/repository.h"

namespace walvault {

// Those that it does not have. One that is damaged is warned of, and left out.
void copy_catalogues(const Repository& from, const Repository& to, const ClusterIdentity& identity,
                     const Reporter& reporter = {});

}  // namespace walvault
