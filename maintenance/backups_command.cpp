#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/format.h"
#include "catalog/records/backup_list.h"
#include "catalog/retention/expiry.h"
#include "maintenance/maintenance_commands.h"
#include "repository/pin.h"
#include "repository/tree_copier.h"

namespace walvault {
namespace {

struct KeepOptions {
  std::string id;
  std::string duration;
};

struct DeleteOptions {
  std::string id;
  bool yes = false;
};

void keep(Program& program, const KeepOptions& options) {
  const auto cluster = program.config().cluster();
  const auto now = system_clock().now();
  const auto decision = parse_backup_keep(options.duration, "--for", now);
  const auto opened = program.open_repository();
  const auto backup = get_backup(list_backups(opened.repository, cluster).backups, options.id);
  put_backup_keep(opened.repository, cluster, backup.id, decision);
  // An expiry that did not see it may have been at work.
  (void)get_backup(list_backups(opened.repository, cluster).backups, backup.id);
  program.print(
      {{"backup", backup.id},
       {"kept_until", decision.until ? nlohmann::ordered_json(to_rfc3339(*decision.until))
                                     : nlohmann::ordered_json("forever")}},
      "Backup " + backup.id +
          (decision.until && *decision.until <= now
               ? std::string(" is left to the retention policy again.\n")
               : " is kept " +
                     (decision.until ? "until " + to_local_text(*decision.until) : "for ever") +
                     ", whatever the policy says.\n"));
}

// What stands against deleting a backup; empty: nothing does.
std::string objection(const Config& config, const Repository& repository,
                      const std::string& cluster, const std::string& id) {
  const auto policy = config.of_cluster(cluster).retention;
  const auto plan = plan_expiry(repository, cluster, policy, system_clock().now(), false);
  const auto it = std::ranges::find(plan.verdicts, id, &BackupVerdict::id);
  if (it == plan.verdicts.end() || !it->stays()) return {};
  std::string reasons;
  for (const auto& reason : it->reasons) reasons.append(reasons.empty() ? "" : "; ").append(reason);
  return reasons;
}

// Age does not give up what a copy that was broken off has brought: who does is asked here.
bool is_being_copied(const Repository& repository, const std::string& root_key) {
  return std::ranges::any_of(list_pins(repository), [&](const StoredPin& stored) {
    return stored.pin.root_key == root_key && stored.pin.created == copied_for_ever &&
           is_live(repository, stored.pin);
  });
}

void remove(Program& program, const DeleteOptions& options) {
  const auto& config = program.config();
  const auto cluster = config.cluster();
  const auto opened = program.open_repository();
  const auto list = list_backups(opened.repository, cluster);
  // One that cannot be read is deleted by its id, too.
  const auto root_key = backup_root_key(cluster, options.id);
  const bool is_damaged = std::ranges::find(list.damaged, root_key) != list.damaged.end();
  const bool is_begun = !is_damaged && is_being_copied(opened.repository, root_key);
  const auto id = is_damaged || is_begun ? options.id : get_backup(list.backups, options.id).id;
  if (!options.yes) {
    const auto against =
        is_damaged ? std::string("it is damaged, and may come back from a copy")
        : is_begun ? std::string(
                         "it is being copied here, or that was broken off and goes on with "
                         "the next walvault copy")
                   : objection(config, opened.repository, cluster, id);
    if (!against.empty()) {
      throw Error(ErrorKind::usage, "backup " + id + " is one that stays",
                  "Because: " + against + ".", "To delete it anyway, add --yes.");
    }
  }
  delete_backup(opened.repository, cluster, id, system_clock().now());
  program.print({{"deleted", id}},
                "Backup " + id +
                    " is deleted. WAL that nothing needs any more goes with walvault expire, and "
                    "the space of what it alone referred to with walvault gc.\n");
}

}  // namespace

void add_backups_command(Program& program, CommandLine& commands) {
  auto& backups = commands.command("backups", "Keeps or deletes single backups");
  const auto keep_options = std::make_shared<KeepOptions>();
  auto& keep_command = backups.command("keep", "Keeps a backup, whatever the retention policy says",
                                       [&program, keep_options] { keep(program, *keep_options); });
  keep_command.argument("ID", keep_options->id, "The backup");
  keep_command.required_option(
      "--for", keep_options->duration,
      "How long from now: 90d, or forever; 0d leaves it to the policy again");
  const auto delete_options = std::make_shared<DeleteOptions>();
  auto& delete_command = backups.command("delete", "Deletes a backup", [&program, delete_options] {
    remove(program, *delete_options);
  });
  delete_command.argument("ID", delete_options->id, "The backup");
  delete_command.flag("--yes", delete_options->yes,
                      "Delete it even if the retention policy keeps it");
}

}  // namespace walvault
