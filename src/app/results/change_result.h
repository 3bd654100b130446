// What find found a transaction to have done, as JSON (cli contract).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "catalog/find/change_finder.h"

namespace walvault {

// `restore`: the command that stops before it.
[[nodiscard]] nlohmann::ordered_json change_json(const TransactionChange& change,
                                                 const std::string& restore);

}  // namespace walvault
