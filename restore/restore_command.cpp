#include "restore/restore_command.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/program_reporter.h"
#include "app/progress.h"
#include "app/question.h"
#include "app/results/plan_result.h"
#include "base/format.h"
#include "restore/restore_job.h"

namespace walvault {
namespace {

constexpr std::string_view copy_hint =
    "It is a copy: archiving, logical replication workers and synchronous standbys are off there.\n"
    "When it is to take the original's place: walvault archiving keep --pgdata ";

constexpr std::string_view original_hint =
    "It is the original: it archives under the same name and goes on with the history.\nIf it is "
    "to "
    "be a copy: walvault archiving off --pgdata ";

// What recovery demands, and how the server gets its own back.
std::string raised_text(const std::vector<RaisedSetting>& raised) {
  if (raised.empty()) return {};
  std::string numbers;
  std::string back;
  for (const auto& each : raised) {
    numbers += (numbers.empty() ? "" : ", ") + each.name + " = " + std::to_string(each.value);
    back += (back.empty() ? "" : " ") + ("ALTER SYSTEM RESET " + each.name + ";");
  }
  return "Replay needs, and postgresql.auto.conf sets: " + numbers +
         ".\nTo take that back when it runs: " + back + " Then restart.\n";
}

std::string result_text(const RestoreOptions& options, const RestoreRequest& request,
                        const RestoreResult& result, std::chrono::milliseconds duration) {
  std::string text = "Restored " + std::to_string(result.files) + " files, " +
                     format_size(result.bytes) + ", into " + request.data_directory + " in " +
                     format_duration(duration) + ".\n";
  if (options.delta) text += format_size(result.kept_bytes) + " of that were there already.\n";
  text += "Start the server to let it ";
  text += options.standby ? "follow its primary" : "recover";
  text += ": pg_ctl -D " + request.data_directory + " start\n";
  text += raised_text(result.raised);
  text += request.settings.archiving ? original_hint : copy_hint;
  return text + shell_quoted(request.data_directory) + ", then restart it.\n";
}

RestoreQuestions questions_of(const Program& program) {
  // Where a program reads what is printed, nobody answers.
  if (program.options().json) return {};
  return {.which_timeline = [](const TimelineChoice& choice) -> std::optional<TimelineId> {
            const auto chosen = std::to_string(choice.chosen.value);
            const auto rival = std::to_string(choice.rival.timeline.value);
            const auto answer = ask("Two timelines have grown beside each other. " +
                                        describe(choice) + "\nWhich one is to be restored?",
                                    {chosen, rival});
            if (!answer) return std::nullopt;
            return *answer == chosen ? choice.chosen : choice.rival.timeline;
          },
          .is_original = []() -> std::optional<bool> {
            const auto answer =
                ask("Does this server take the original's place, and archive as it did? A copy "
                    "archives nothing.\nIt is the",
                    {"original", "copy"});
            return answer ? std::optional(*answer == "original") : std::nullopt;
          }};
}

void run_restore(Program& program, const RestoreOptions& options) {
  catch_signals();
  const auto reporter = program_reporter();
  RestoreJob job(program.config(), options, reporter);
  const auto opened = program.open_repository(Caching::content);
  job.plan(opened.repository, questions_of(program));
  const auto& proved = job.proved();
  const auto plan_document = plan_json(proved, job.geometry());
  const auto text = plan_text(proved, job.geometry());
  if (options.dry_run) {
    program.print({{"plan", plan_document}, {"restored", false}},
                  text + "Nothing was written (--dry-run).\n");
    return;
  }
  std::optional<Progress> progress;
  auto began = system_clock().steady();
  const auto result = job.carry_out(
      program.writer(),
      [&] {
        const auto& backup = proved.plan.backup;
        progress.emplace("restore", backup.size_bytes - backup.zero_bytes,
                         program.shows_progress());
        began = system_clock().steady();
      },
      [&](std::uint64_t bytes) { progress->add(bytes); });
  const auto duration =
      std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().steady() - began);
  const auto& request = job.request();
  auto raised = nlohmann::ordered_json::object();
  for (const auto& each : result.raised) raised[each.name] = each.value;
  program.print({{"plan", plan_document},
                 {"restored", true},
                 {"data_directory", request.data_directory},
                 {"role", request.settings.archiving ? "original" : "copy"},
                 {"archiving", request.settings.archiving},
                 {"standby", request.settings.standby},
                 {"raised_settings", raised},
                 {"files", result.files},
                 {"kept_bytes", result.kept_bytes},
                 {"duration_s", static_cast<double>(duration.count()) / 1000}},
                text + result_text(options, request, result, duration));
}

}  // namespace

void add_restore_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<RestoreOptions>();
  auto& command = commands.command("restore", "Writes a data directory that recovers to a moment",
                                   [&program, options] { run_restore(program, *options); });
  command.required_option("--pgdata", options->pgdata, "The directory to restore into");
  command.option("--to", options->to, "Restore to a time: '2026-11-21 10:41:00+00'");
  command.option("--to-lsn", options->to_lsn, "Restore to a WAL position: 0/3000148");
  command.option("--to-xid", options->to_xid, "Restore to a transaction id");
  command.option("--to-name", options->to_name, "Restore to a restore point");
  command.flag("--to-immediate", options->to_immediate, "Stop as soon as the backup is consistent");
  command.flag("--exclusive", options->exclusive, "Stop just before the target, not just after");
  command.option("--backup", options->backup, "The backup to start from. Default: the best one");
  command.option("--timeline", options->timeline,
                 "latest, current, a number, or a branch that was set aside (2-0)");
  command.option("--tablespace", options->tablespaces,
                 "OLD=NEW: where to put a tablespace (repeatable)");
  command.option("--action", options->action,
                 "What to do at the target: promote, pause or shutdown");
  command.option("--as", options->role,
                 "original or copy: an original archives under the same name, a copy archives "
                 "nothing and acts on nobody. Default: original where the archived server was");
  command.option("--archiving", options->archiving, "keep or off: as --as original and --as copy");
  command.option("--jobs", options->jobs, "How many threads to use");
  command.flag("--standby", options->standby, "Make a standby that follows its primary");
  command.option("--pg", options->pg,
                 "How a standby connects to its primary (a libpq connection string)");
  command.flag("--force", options->force,
               "Replace what is in the directory; its WAL is saved first");
  command.flag("--delta", options->delta,
               "Turn the directory into the backup: only what differs is written, and "
               "what does not belong is removed; its WAL is saved first");
  command.flag("--discard-wal", options->discard_wal,
               "With --force or --delta: do not save its WAL");
  command.flag(
      "--yes", options->yes,
      "With --force: replace even another cluster's directory. With --force or --delta: also "
      "replace the tablespaces and the pg_wal that the directory links to");
  command.flag("--dry-run", options->dry_run, "Print the plan and write nothing");
}

}  // namespace walvault
