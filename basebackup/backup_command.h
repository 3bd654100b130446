// walvault backup
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "app/program.h"
#include "catalog/records/backup_info.h"

namespace walvault {

void add_backup_command(Program& program, CommandLine& commands);

}  // namespace walvault
