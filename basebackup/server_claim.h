// What a backup demands of its server, and how it keeps other backups from it.
#pragma once

#include <chrono>
#include <string>

#include "base/clock.h"
#include "base/reporter.h"
#include "catalog/wal/wal_archive.h"
#include "postgres/client/replication_connection.h"

namespace walvault {

// Whether a server archives its WAL, as far as its settings tell.
[[nodiscard]] bool archives_wal(ReplicationConnection& server);

// Error{conflict} for another cluster than the registered one; {usage} for a major that is
// not supported, and where WAL neither is archived nor streamed.
void expect_registered_server(const ClusterIdentity& registered, ReplicationConnection& server,
                              bool streams_wal);

// Claims the server for this backup, by a slot whose name this gives: it goes with its
// connection, however the backup ends, so that no stale claim is ever left behind. The
// repository's id is in its name because backups into several repositories do
// not disturb each other. A backup that streams WAL needs a slot anyway (on `wal_server`,
// nullptr: it does not); one that does not runs without when there is none to spare.
// Error{unavailable}: another backup of the cluster is running, and did not end in time.
[[nodiscard]] std::string claim_server(const WalArchive& archive, ReplicationConnection& server,
                                       ReplicationConnection* wal_server, Clock& clock,
                                       std::chrono::milliseconds patience,
                                       const Reporter& reporter);

}  // namespace walvault
