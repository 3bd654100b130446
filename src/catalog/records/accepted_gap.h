// WAL whose loss an operator has accepted, for the record.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "catalog/records/timeline_branch.h"

namespace walvault {

struct AcceptedGap {
  TimelineBranch timeline;
  Lsn from;
  Lsn to;
  std::string reason;  // in the operator's words
  Timestamp when;

  bool operator==(const AcceptedGap&) const = default;
};

// Of a gap that expire left: nobody lost it.
inline constexpr const char* expired_reason = "expired";

inline constexpr std::size_t gap_reason_bytes_max = 1000;

[[nodiscard]] Bytes encode_accepted_gap(const AcceptedGap& gap);
[[nodiscard]] AcceptedGap decode_accepted_gap(ByteView payload);

// All of an identity, in the order in which they were accepted.
[[nodiscard]] std::vector<AcceptedGap> list_accepted_gaps(const Repository& repository,
                                                          const ClusterIdentity& identity);

void put_accepted_gap(const Repository& repository, const ClusterIdentity& identity,
                      const AcceptedGap& gap);

}  // namespace walvault
