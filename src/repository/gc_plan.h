// Plans: what a gc has condemned, for writers to see before they borrow.
// docs/repository-format.md, "Deleting while others write".
#pragma once

#include <set>

#include "base/clock.h"
#include "repository/repository.h"
#include "repository/tree.h"

namespace walvault {

struct GcPlan {
  Timestamp created;
  PackTable condemned;
};
[[nodiscard]] Bytes encode_gc_plan(const GcPlan& plan);
[[nodiscard]] GcPlan decode_gc_plan(ByteView payload);

// All that gcs have condemned and may still delete.
[[nodiscard]] std::set<PackName> condemned_packs(const Repository& repository);

}  // namespace walvault
