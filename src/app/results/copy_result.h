// What copy brought, as JSON (cli contract).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "catalog/copy/repository_copy.h"

namespace walvault {

// The clusters.
[[nodiscard]] nlohmann::ordered_json copy_json(const CopyReport& report);

}  // namespace walvault
