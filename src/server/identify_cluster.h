// What a server is, as a cluster's registration says it.
#pragma once

#include <string>

#include "catalog/records/cluster.h"
#include "postgres/client/replication_connection.h"

namespace walvault {

// Error{usage} for a major that is not supported, naming those that are, and
// for a segment size that is none.
[[nodiscard]] ClusterIdentity identify_cluster(const std::string& name,
                                               ReplicationConnection& server, Timestamp now);

}  // namespace walvault
