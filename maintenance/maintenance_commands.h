// walvault init, cluster, info, check, wal, timeline, window, backups, expire, gc, verify,
// copy
#pragma once

#include "app/program.h"

namespace walvault {

void add_init_command(Program& program, CommandLine& commands);
void add_cluster_command(Program& program, CommandLine& commands);
void add_info_command(Program& program, CommandLine& commands);
void add_check_command(Program& program, CommandLine& commands);
void add_wal_command(Program& program, CommandLine& commands);
void add_timeline_command(Program& program, CommandLine& commands);
void add_window_command(Program& program, CommandLine& commands);
void add_backups_command(Program& program, CommandLine& commands);
void add_expire_command(Program& program, CommandLine& commands);
void add_gc_command(Program& program, CommandLine& commands);
void add_verify_command(Program& program, CommandLine& commands);
void add_repair_command(Program& program, CommandLine& commands);
void add_copy_command(Program& program, CommandLine& commands);

}  // namespace walvault
