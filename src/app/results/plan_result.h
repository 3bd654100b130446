// How a plan of a restore is shown.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "catalog/recovery/target_resolution.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json plan_json(const ProvedPlan& proved, WalGeometry geometry);

// Lines, each with its end.
[[nodiscard]] std::string plan_text(const ProvedPlan& proved, WalGeometry geometry);

}  // namespace walvault
