// What a server's history says of how it was archived.
#pragma once

#include "catalog/recovery/cluster_view.h"

namespace walvault {

// Whether WAL between backups is archived of the history that leads to a timeline: somebody relies
// on restoring any moment of it. What backups streamed for themselves is none.
enum class Ancestors { count, are_left_out };
[[nodiscard]] bool is_archived_between_backups(const ClusterView& cluster, TimelineId timeline,
                                               Ancestors ancestors = Ancestors::count);

}  // namespace walvault
