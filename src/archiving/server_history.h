// The history file of the timeline on which a server is.
#pragma once

#include "archiving/push.h"
#include "postgres/client/replication_connection.h"

namespace walvault {

// Recovery onto a timeline needs its history file, which a server that was promoted before it
// archived here never offers. False: it was archived already, or the timeline is the first, which
// has none. Error{conflict}: another history is archived under that id. Two servers were promoted
// onto it then, and this one's WAL would be taken for the other's.
bool archive_server_history(const WalArchive& archive, ReplicationConnection& server, Clock& clock,
                            const PushOptions& options);

// The same of the server that offers a segment, from its pg_wal: one that was promoted while it did
// not archive offers none. Nothing is done where one is archived, or none lies there.
void archive_history_beside(const WalArchive& archive, const OfferedFile& offered,
                            TimelineId timeline, Clock& clock, const PushOptions& options);

}  // namespace walvault
