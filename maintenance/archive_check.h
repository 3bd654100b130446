// What the archive of a cluster says to whoever checks it: findings without a server.
#pragma once

#include <vector>

#include "catalog/wal/wal_archive.h"
#include "maintenance/server_check.h"

namespace walvault {

// That nobody archives a newer timeline than the server's own under this name: a restore takes
// that one.
[[nodiscard]] Finding check_timelines(const WalArchive& archive, TimelineId own);

// What it means that a server on this timeline archives nothing.
[[nodiscard]] Finding check_no_archiving(const WalArchive& archive, TimelineId own);

// Backups, gaps, and who archived.
void check_archive(const WalArchive& archive, std::vector<Finding>& findings);

}  // namespace walvault
