// Fetches WAL that was never archived from a server that still has it.
#pragma once

#include "catalog/recovery/recovery_window.h"
#include "postgres/client/connect_options.h"

namespace walvault {

// Streams the segments of a gap over a connection of its own and archives them.
// The server may be on a later timeline: it keeps what it received of those
// before. The segment before the gap is compared first: Error{conflict} where the server's is
// another, {unavailable} where it has that no more, unless the WAL is `accepted` as it comes.
// Other errors as those of streaming; whatever was archived by then stays.
void fetch_missing_wal(const WalArchive& archive, const WalGap& gap, bool accepted,
                       const ConnectOptions& options, Clock& clock);

}  // namespace walvault
