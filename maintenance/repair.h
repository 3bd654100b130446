// Fetches WAL that was never archived from a server that still has it.
#pragma once

#include "catalog/recovery/recovery_window.h"
#include "postgres/client/connect_options.h"

namespace walvault {

// Streams the segments of a gap over a connection of its own and archives them.
// The server may be on a later timeline: it keeps what it received of those
// before. Errors as those of streaming; whatever was archived by then stays.
void fetch_missing_wal(const WalArchive& archive, const WalGap& gap, const ConnectOptions& options,
                       Clock& clock);

}  // namespace walvault
