// walvault restore
#pragma once

#include "app/program.h"

namespace walvault {

void add_restore_command(Program& program, CommandLine& commands);

}  // namespace walvault
