#include "app/program.h"
#include "basebackup/backup_command.h"
#include "maintenance/maintenance_commands.h"
#include "restore/extract_command.h"
#include "restore/find_command.h"
#include "restore/restore_command.h"
#include "restore/restored_server_commands.h"

int main(int argc, char** argv) {
  walvault::Program program("walvault",
                            "Backs up PostgreSQL clusters and restores them to any moment");
  auto& commands = program.command_line();
  walvault::add_init_command(program, commands);
  walvault::add_cluster_command(program, commands);
  walvault::add_backup_command(program, commands);
  walvault::add_restore_command(program, commands);
  walvault::add_archiving_command(program, commands);
  walvault::add_recovery_ended_command(program, commands);
  walvault::add_extract_command(program, commands);
  walvault::add_find_command(program, commands);
  walvault::add_info_command(program, commands);
  walvault::add_check_command(program, commands);
  walvault::add_wal_command(program, commands);
  walvault::add_timeline_command(program, commands);
  walvault::add_window_command(program, commands);
  walvault::add_backups_command(program, commands);
  walvault::add_expire_command(program, commands);
  walvault::add_gc_command(program, commands);
  walvault::add_verify_command(program, commands);
  walvault::add_repair_command(program, commands);
  walvault::add_copy_command(program, commands);
  return program.run(argc, argv);
}
