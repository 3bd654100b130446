// What a plan is to be said of before it is carried out, and does not refuse.
#pragma once

#include "base/reporter.h"
#include "catalog/recovery/proved_plan.h"

namespace walvault {

void warn_of(const WalArchive& archive, const ProvedPlan& proved, const Reporter& reporter);

}  // namespace walvault
