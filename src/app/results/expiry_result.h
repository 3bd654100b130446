// How an expiry is shown, by walvault expire and behind a backup.
#pragma once

#include <nlohmann/json.hpp>

#include "catalog/retention/expiry.h"

namespace walvault {

// `result` nullptr: it was not carried out.
[[nodiscard]] nlohmann::ordered_json expiry_json(const ExpiryPlan& plan,
                                                 const ExpiryResult* result);
[[nodiscard]] std::string expiry_text(const ExpiryPlan& plan, const ExpiryResult* result);

}  // namespace walvault
