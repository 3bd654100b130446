// Where WAL that is brought from another archive comes to lie beside WAL that is there already:
// whether both are of one server.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "catalog/wal/wal_archive.h"

namespace walvault {

struct WalConflict {
  std::string key;
  std::string why;
};

// Whether two archives have other content of a segment for sure. Behind a switch a file may hold
// what it held before, and then what its WAL is counts.
[[nodiscard]] bool contradict(const WalArchive& one, const WalArchive& other,
                              const SegmentName& segment);

// Both archives are views of one branch of one identity. `brought`: segments of that branch which
// `from` has and `to` has not, ascending. What each would lie beside in `to` is compared: with
// the same segment in `from`, or where that is not there by the digest of the segment before that
// the later one of the two holds. Refused is only what contradicts for sure; nullopt: nothing.
[[nodiscard]] std::optional<WalConflict> find_border_conflict(const WalArchive& from,
                                                              const WalArchive& to,
                                                              std::span<const SegmentName> brought);

}  // namespace walvault
