// Whether what is offered as a WAL segment is one of the registered cluster.
#pragma once

#include <string>

#include "base/bytes.h"
#include "catalog/records/cluster.h"
#include "postgres/wal_page.h"

namespace walvault {

// `name`: of a segment or .partial. `first`: the first bytes of a file of the right size.
// Error{conflict} for the WAL of another cluster, major or segment size; {usage} for a name
// that no segment of this size has; {corrupt} for a damaged first page, and for the WAL of
// another position than the name says.
[[nodiscard]] WalSegmentHeader check_segment(const ClusterIdentity& identity,
                                             const std::string& name, ByteView first);

}  // namespace walvault
