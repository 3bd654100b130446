// The JSON form of a backup, the same in every command's result (cli contract).
#pragma once

#include <nlohmann/json.hpp>

#include "catalog/backup_info.h"

namespace walvault {

[[nodiscard]] nlohmann::ordered_json backup_json(const BackupInfo& info);

}  // namespace walvault
