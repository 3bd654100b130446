#include "catalog/recovery/archived_history.h"

#include <algorithm>

namespace walvault {

bool is_archived_between_backups(const ClusterView& cluster, TimelineId timeline,
                                 Ancestors ancestors) {
  const auto& archive = cluster.archive;
  const auto geometry = archive.identity().geometry;
  const auto history = archive.history(timeline);
  const auto has_own = [&](TimelineId each, std::uint64_t behind) {
    return std::ranges::any_of(archive.segments(each), [&](const StoredSegment& segment) {
      if (segment.number >= behind) return false;
      return std::ranges::none_of(cluster.backups, [&](const BackupInfo& backup) {
        return backup.timeline == each && geometry.number_of(backup.start) <= segment.number &&
               segment.number <= geometry.number_of(backup.stop);
      });
    });
  };
  if (has_own(timeline, ~std::uint64_t{0})) return true;
  return ancestors == Ancestors::count &&
         std::ranges::any_of(history.ancestors(), [&](const TimelineSwitch& ancestor) {
           return has_own(ancestor.timeline, geometry.number_of(ancestor.end));
         });
}

}  // namespace walvault
