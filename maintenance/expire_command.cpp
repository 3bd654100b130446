#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/results/expiry_result.h"
#include "base/format.h"
#include "catalog/retention/expiry.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

struct Options {
  std::optional<std::string> keep_last;
  std::optional<std::string> keep_for;
  std::optional<std::string> keep_daily;
  std::optional<std::string> keep_weekly;
  std::optional<std::string> keep_monthly;
  std::optional<std::string> keep_yearly;
  std::optional<std::string> window;
  std::optional<std::string> minimum_backups;
  bool dry_run = false;
};

void expire(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  const auto cluster = config.cluster();
  auto policy = config.of_cluster(cluster).retention;
  const auto count = [](const std::optional<std::string>& text, const char* name, unsigned least,
                        unsigned& target) {
    if (text) target = static_cast<unsigned>(parse_number(*text, name, least, keep_max));
  };
  count(options.keep_last, "--keep-last", 0, policy.keep_last);
  count(options.keep_daily, "--keep-daily", 0, policy.keep_daily);
  count(options.keep_weekly, "--keep-weekly", 0, policy.keep_weekly);
  count(options.keep_monthly, "--keep-monthly", 0, policy.keep_monthly);
  count(options.keep_yearly, "--keep-yearly", 0, policy.keep_yearly);
  count(options.minimum_backups, "--minimum-backups", 1, policy.minimum_backups);
  if (options.keep_for) policy.keep_for = parse_duration(*options.keep_for, "--keep-for");
  if (options.window) policy.window = parse_duration(*options.window, "--window");

  const auto opened = program.open_repository();
  const auto now = system_clock().now();
  const auto plan = plan_expiry(opened.repository, cluster, policy, now, !options.dry_run);
  if (!policy.has_rule()) {
    log_warning("cluster " + cluster +
                " has no retention policy: everything stays (docs/operations.md, \"Retention\")");
  }
  for (const auto& key : plan.damaged) {
    log_warning("the backup " + key +
                " is damaged: it stays, and so does all WAL, because what it needs is not known");
  }
  if (options.dry_run) {
    program.print({{"expire", expiry_json(plan, nullptr)}},
                  expiry_text(plan, nullptr) + "Nothing was deleted (--dry-run).\n");
    return;
  }
  const auto result =
      carry_out_expiry(opened.repository, cluster, plan, program.writer(), now, check_cancelled);
  program.print({{"expire", expiry_json(plan, &result)}}, expiry_text(plan, &result));
}

}  // namespace

void add_expire_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("expire", "Deletes what the retention policy does not keep",
                                   [&program, options] { expire(program, *options); });
  command.option("--keep-last", options->keep_last, "Keep this many of the newest backups");
  command.option("--keep-for", options->keep_for, "Keep every backup for this time: 30d");
  command.option("--keep-daily", options->keep_daily,
                 "Keep the newest backup of each of the last N days that have one");
  command.option("--keep-weekly", options->keep_weekly,
                 "Keep the newest backup of each of the last N weeks that have one");
  command.option("--keep-monthly", options->keep_monthly,
                 "Keep the newest backup of each of the last N months that have one");
  command.option("--keep-yearly", options->keep_yearly,
                 "Keep the newest backup of each of the last N years that have one");
  command.option("--window", options->window, "Keep every moment of this time restorable: 30d");
  command.option("--minimum-backups", options->minimum_backups,
                 "Keep at least this many, whatever the other rules say");
  command.flag("--dry-run", options->dry_run, "Show what would be deleted and delete nothing");
}

}  // namespace walvault
