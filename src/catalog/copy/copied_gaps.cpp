#include "catalog/copy/copied_gaps.h"

#include <algorithm>
#include <map>

#include "catalog/records/accepted_gap.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

void copy_accepted_gaps(const Repository& from, const Repository& to,
                        const ClusterIdentity& identity) {
  auto there = list_accepted_gaps(to, identity);
  const WalArchive archive(to, identity);
  std::map<TimelineBranch, std::vector<StoredSegment>> segments;
  const auto has_any_of = [&](const AcceptedGap& gap) {
    const auto [it, is_new] = segments.try_emplace(gap.timeline);
    if (is_new) it->second = archive.with({gap.timeline}).segments(gap.timeline.timeline);
    return std::ranges::any_of(it->second, [&](const StoredSegment& segment) {
      const auto begins = identity.geometry.start_of(segment.number);
      return gap.from <= begins && begins < gap.to;
    });
  };
  for (const auto& gap : list_accepted_gaps(from, identity)) {
    const bool stays_out = gap.is_expired()
                               ? covers(there, gap.timeline, gap.from, gap.to) || has_any_of(gap)
                               : std::ranges::find(there, gap) != there.end();
    if (stays_out) continue;
    put_accepted_gap(to, identity, gap);
    there.push_back(gap);
  }
}

}  // namespace walvault
