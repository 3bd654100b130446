// Announcements that WAL is about to be removed, so that a backup that began meanwhile
// does not rely on it. docs/guarantees.md, "Deleting beside running backups".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/wal/wal_archive.h"

namespace walvault {

// Everything archived under the numbers from `first` to before `behind` of one
// branch, its .history aside.
struct WalRange {
  std::uint32_t identity_number = 1;
  TimelineBranch timeline;
  std::uint64_t first = 0;
  std::uint64_t behind = 0;

  bool operator==(const WalRange&) const = default;
};

struct WalExpiry {
  Timestamp created;
  std::vector<WalRange> ranges;
};
[[nodiscard]] Bytes encode_wal_expiry(const WalExpiry& expiry);
[[nodiscard]] WalExpiry decode_wal_expiry(ByteView payload);

// Puts an announcement, `run` names it; returns its key.
std::string announce_wal_expiry(const Repository& repository, const std::string& cluster,
                                const RandomId& run, const WalExpiry& expiry);

// Removes announcements whose runs died: what they named is gone by a later run's doing.
void remove_finished_announcements(const Repository& repository, const std::string& cluster,
                                   const std::vector<ClusterIdentity>& identities);

// Whether an expiry is at work on WAL from `start` to `stop` of a branch.
[[nodiscard]] bool is_expiring(const WalArchive& archive, TimelineBranch timeline, Lsn start,
                               Lsn stop);

}  // namespace walvault
