// What is on record about gaps, in another repository.
#pragma once

#include "catalog/records/cluster.h"
#include "repository/repository.h"

namespace walvault {

// What an operator has accepted goes there as it is. What has expired here is expired there too
// if the other repository has none of that WAL: there was none to bring. Where it has some, it had
// all once, and what lacks is a loss. Call it after the WAL is copied.
void copy_accepted_gaps(const Repository& from, const Repository& to,
                        const ClusterIdentity& identity);

}  // namespace walvault
