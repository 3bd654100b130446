// What verify found, as JSON (cli contract).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "catalog/verification/verification.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json verify_json(const VerifyReport& report, double seconds);

}  // namespace walvault
