// walvault extract
#pragma once

#include "app/program.h"

namespace walvault {

void add_extract_command(Program& program, CommandLine& commands);

}  // namespace walvault
