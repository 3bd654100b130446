// What is changed of a restored server's settings later: walvault recovery-ended, which the server
// runs by itself, and walvault archiving.
#pragma once

#include "app/program.h"

namespace walvault {

void add_recovery_ended_command(Program& program, CommandLine& commands);
void add_archiving_command(Program& program, CommandLine& commands);

}  // namespace walvault
