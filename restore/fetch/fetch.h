// Delivers one archived file to PostgreSQL during recovery.
#pragma once

#include <string>

#include "catalog/wal/wal_archive.h"
#include "restore/fetch/recovery_pin.h"

namespace walvault {

enum class FetchOutcome {
  delivered,  // the whole file stands at the destination
  absent,     // it is authoritatively not archived: recovery may end here
};

// Writes the file `name` to `destination`, complete or not at all. What of one segment may be
// delivered where that is not archived whole, the pin names (WalStretch::partial_object).
// Error{conflict} for WAL of a timeline that the pinned plan does not go to. `left_at`: where the
// history that is followed leaves the segment's timeline; what lies behind that is another history,
// and is not delivered: in its place there are zeros, as where a server has not written yet.
//
// `absent` is answered only when the repository was reached and identified,
// and, for a segment, when the plan does not need it and nothing later of its timeline, or where
// nothing was planned of any history that goes through it, is archived either; otherwise there is a
// gap, and ending recovery at it would lose what lies behind: Error{corrupt}, transient, because
// the one may be under way. Error{usage} for a name that is none of a WAL file.
[[nodiscard]] FetchOutcome fetch_wal_file(const WalArchive& archive, const std::string& name,
                                          const std::string& destination, unsigned threads,
                                          const RecoveryPin& pin = {},
                                          std::optional<Lsn> left_at = {});

}  // namespace walvault
