// Delivers one archived file to PostgreSQL during recovery.
#pragma once

#include <string>

#include "catalog/wal/wal_archive.h"

namespace walvault {

enum class FetchOutcome {
  delivered,  // the whole file stands at the destination
  absent,     // it is authoritatively not archived: recovery may end here
};

// Writes the file `name` to `destination`, complete or not at all. `partial` is
// what may be delivered of one segment where that is not archived whole, as a
// plan names it (WalStretch::partial_object); empty for none.
//
// `absent` is answered only when the repository was reached and identified,
// and, for a segment, when nothing later of its timeline's history is archived
// either; otherwise there is a gap, and ending recovery at it would lose what
// lies behind: Error{corrupt}, transient, because the one may be under way. Error{usage} for a name
// that is none of a WAL file.
[[nodiscard]] FetchOutcome fetch_wal_file(const WalArchive& archive, const std::string& name,
                                          const std::string& destination, unsigned threads,
                                          const std::string& partial = {});

}  // namespace walvault
