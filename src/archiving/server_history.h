// What a server that was promoted does not offer by itself: the history file of its timeline, and
// what it received of the one before.
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

// What the server that offers a segment has in its pg_wal and never offers, where the archive lacks
// it: the history file of the segment's timeline, if it was promoted while it did not archive; and,
// before the first segment of a timeline, the last ones of the timeline before, which it received
// as a standby and whose own server died before it archived them. Before the segment itself, so
// that nobody sees a hole; a segment that is archived already, or that is of another cluster,
// brings nothing. Error{corrupt}, {conflict} for the latter, and for what is damaged.
void archive_what_is_never_offered(const WalArchive& archive, const OfferedFile& offered,
                                   const SegmentName& segment, Clock& clock,
                                   const PushOptions& options);

}  // namespace walvault
