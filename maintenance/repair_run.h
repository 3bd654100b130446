// What walvault repair and verify --repair share.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "app/program.h"
#include "catalog/repair/mended.h"

namespace walvault {

struct RepairOptions {
  unsigned jobs = 2;
  bool dry_run = false;
  bool was_verified = false;  // as RepairRequest
};

// From the sources in their order, until everything is mended; without one, from what the
// repository itself holds. Stops at signals.
[[nodiscard]] RepairReport repair_from(Program& program, const Repository& repository,
                                       const std::vector<RepositoryConfig>& sources,
                                       const RepairOptions& options);

[[nodiscard]] nlohmann::ordered_json repair_json(const RepairReport& report, bool dry_run);
[[nodiscard]] std::string repair_text(const RepairReport& report, bool dry_run);

}  // namespace walvault
