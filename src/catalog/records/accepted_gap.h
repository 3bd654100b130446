// WAL whose loss an operator has accepted, for the record.
#pragma once

#include <span>
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

  // expire left it: nobody lost anything.
  [[nodiscard]] bool is_expired() const;

  bool operator==(const AcceptedGap&) const = default;
};

inline constexpr const char* expired_reason = "expired";

inline constexpr std::size_t gap_reason_bytes_max = 1000;

[[nodiscard]] Bytes encode_accepted_gap(const AcceptedGap& gap);
[[nodiscard]] AcceptedGap decode_accepted_gap(ByteView payload);

// Whether all from `from` to before `to` is in one of them, or in several that follow each other.
[[nodiscard]] bool covers(std::span<const AcceptedGap> gaps, TimelineBranch timeline, Lsn from,
                          Lsn to);

// All of an identity, in the order in which they were accepted.
[[nodiscard]] std::vector<AcceptedGap> list_accepted_gaps(const Repository& repository,
                                                          const ClusterIdentity& identity);

void put_accepted_gap(const Repository& repository, const ClusterIdentity& identity,
                      const AcceptedGap& gap);

}  // namespace walvault
