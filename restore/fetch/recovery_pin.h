// The plan of a recovery, kept in the data directory that recovers: which repository, which
// branches of which timelines, and what of their WAL was proved. So what happens to the repository
// between the restore and the end of the recovery cannot lead it elsewhere. It is what stands in
// recovery.signal, of which PostgreSQL does not read the content and which it removes when it has
// recovered: so the plan binds just as long as there is something to recover, and no copy of the
// server takes it along.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "catalog/records/timeline_branch.h"
#include "catalog/wal/wal_stretch.h"

namespace walvault {

// In the data directory.
inline constexpr const char* recovery_pin_name = "recovery.signal";

struct RecoveryPin {
  std::string repository_id;
  std::string repository_url;  // for people
  std::string cluster;
  std::uint32_t identity = 0;
  std::uint64_t system_identifier = 0;
  TimelineId timeline;                   // along which it recovers; 0: it is not pinned
  std::vector<TimelineBranch> branches;  // of the timeline and its ancestors
  std::vector<WalRun> runs;              // the WAL that it needs, all of it archived then
  // The object of a segment that may be delivered as far as it was written; empty for none.
  std::string partial;

  [[nodiscard]] bool is_there() const { return timeline != TimelineId{}; }
  [[nodiscard]] bool needs(const SegmentName& segment) const;
};

// JSON, for people who look at it.
[[nodiscard]] std::string encode_recovery_pin(const RecoveryPin& pin);

// Error{corrupt}.
[[nodiscard]] RecoveryPin decode_recovery_pin(ByteView content, const std::string& path);

// The one at `path`; nullopt: there is none, or somebody made an empty recovery.signal by hand.
[[nodiscard]] std::optional<RecoveryPin> find_recovery_pin(const std::string& path);

}  // namespace walvault
