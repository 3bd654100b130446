// What a restore does to which nothing is said.
#pragma once

#include <optional>

#include "base/error.h"
#include "catalog/recovery/proved_plan.h"

namespace walvault {

// To the end of what is archived, along the newest timeline that nobody left. Errors as
// plan_proved_recovery, and two_timelines (catalog/recovery/rival_timeline.h) where somebody has to
// choose.
[[nodiscard]] ProvedPlan plan_whole_restore(const ClusterView& cluster);

// Why it is refused; nullopt: it is not.
[[nodiscard]] std::optional<Error> why_no_whole_restore(const ClusterView& cluster);

}  // namespace walvault
