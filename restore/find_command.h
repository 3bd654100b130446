// walvault find
#pragma once

#include "app/program.h"

namespace walvault {

void add_find_command(Program& program, CommandLine& commands);

}  // namespace walvault
