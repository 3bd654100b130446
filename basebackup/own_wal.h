// The WAL that makes a backup consistent: that it comes, that it is this server's, that it is
// whole, and that it stays.
#pragma once

#include <chrono>

#include "archiving/wal_streamer.h"
#include "base/reporter.h"
#include "catalog/records/backup_info.h"

namespace walvault {

// Waits until every segment from start to stop is in the repository, and proves what is there.
// `streamer`: nullptr where the server archives. Error{unavailable}: it did not come in time,
// or is going; {conflict}: another server wrote it; {corrupt}: it is damaged. In the order that
// docs/guarantees.md, "Deleting beside running backups", asks for, behind the backup's pin.
void expect_own_wal(const WalArchive& archive, const BackupInfo& info, Clock& clock,
                    std::chrono::milliseconds timeout, WalStreamer* streamer,
                    const Reporter& reporter);

}  // namespace walvault
