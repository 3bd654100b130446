#include "server/identify_cluster.h"

#include "base/error.h"
#include "base/format.h"
#include "postgres/segment_name.h"
#include "postgres/wal_page.h"

namespace walvault {

ClusterIdentity identify_cluster(const std::string& name, ReplicationConnection& server,
                                 Timestamp now) {
  ClusterIdentity identity;
  identity.name = name;
  identity.postgres_major = server.server_version() / 10000;
  if (!wal_page_magic(identity.postgres_major)) {
    throw Error(ErrorKind::usage,
                "PostgreSQL " + std::to_string(identity.postgres_major) + " is not supported",
                "This version of walvault knows the majors " + std::to_string(postgres_major_min) +
                    " to " + std::to_string(postgres_major_max) + ".");
  }
  identity.system_identifier = server.identify_system().system_identifier;
  const auto size = server.show("wal_segment_size").value_or("");
  const auto bytes = parse_size(size, "the server's wal_segment_size");
  if (!is_segment_size(bytes)) {
    throw Error(ErrorKind::usage, "the server's WAL segments have an unknown size",
                "wal_segment_size is " + size + ".");
  }
  identity.geometry = {bytes};
  identity.registered = now;
  return identity;
}

}  // namespace walvault
