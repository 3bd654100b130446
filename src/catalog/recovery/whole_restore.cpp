#include "catalog/recovery/whole_restore.h"

#include "catalog/recovery/rival_timeline.h"

namespace walvault {

ProvedPlan plan_whole_restore(const ClusterView& cluster) {
  auto proved = plan_proved_recovery(cluster, {});
  const auto rivals = find_rivals(cluster.archive, proved);
  if (rivals.empty()) return proved;
  throw two_timelines(choice_between(cluster.archive, proved, rivals.front()));
}

std::optional<Error> why_no_whole_restore(const ClusterView& cluster) try {
  (void)plan_whole_restore(cluster);
  return std::nullopt;
} catch (const Error& error) {
  if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
  return error;
}

}  // namespace walvault
