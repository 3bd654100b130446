// What gc deleted, as JSON (cli contract).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "repository/gc.h"

namespace walvault {

// `leftover_bytes`: of what interrupted writes left.
[[nodiscard]] nlohmann::ordered_json gc_json(const GcReport& report, std::uint64_t leftover_bytes,
                                             bool dry_run);

}  // namespace walvault
