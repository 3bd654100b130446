// walvault init, cluster, info
#pragma once

#include "app/program.h"

namespace walvault {

void add_init_command(Program& program, CommandLine& commands);
void add_cluster_command(Program& program, CommandLine& commands);
void add_info_command(Program& program, CommandLine& commands);

}  // namespace walvault
