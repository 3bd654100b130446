#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/program_reporter.h"
#include "app/progress.h"
#include "app/results/backup_result.h"
#include "app/results/verify_result.h"
#include "base/format.h"
#include "catalog/verification/verification.h"
#include "maintenance/maintenance_commands.h"
#include "maintenance/repair_run.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

// So many lines of a list a person reads; --json has more.
constexpr std::size_t lines_max = 10;

struct Options {
  std::optional<std::string> backup;
  std::optional<std::string> sample;
  std::optional<std::string> max_age;
  std::optional<std::string> max_rate;
  std::optional<std::string> jobs;
  bool present = false;
  bool deep = false;
  bool repair = false;
};

double parse_sample(std::string text) {
  if (text.ends_with('%')) text.pop_back();
  return static_cast<double>(parse_number(text, "--sample", 1, 100)) / 100;
}

VerifyRequest request_of(const Options& options, const Config& config) {
  if (options.present && options.deep) {
    throw Error(ErrorKind::usage, "--present and --deep exclude each other");
  }
  if (options.present && (options.sample || options.max_age)) {
    throw Error(ErrorKind::usage, "--present does not read content",
                "--sample and --max-age choose what is read.");
  }
  VerifyRequest request;
  request.tier = options.present ? VerifyTier::present
                 : options.deep  ? VerifyTier::deep
                                 : VerifyTier::stored;
  request.cluster = config.cluster_asked;
  // An id names a backup within its cluster.
  if (options.backup) request.cluster = config.cluster();
  request.backup = options.backup;
  if (options.sample) request.sample = parse_sample(*options.sample);
  if (options.max_age) request.max_age = parse_duration(*options.max_age, "--max-age");
  if (options.max_rate) request.bytes_per_second = parse_size(*options.max_rate, "--max-rate");
  request.jobs = config.worker_threads(options.jobs);
  return request;
}

// With what it may be mended: all others of the file.
std::vector<RepositoryConfig> sources_beside(const Config& config, const VerifyRequest& request) {
  if (request.backup) {
    throw Error(ErrorKind::usage, "--repair mends a whole repository",
                "--backup verifies a part of it.");
  }
  std::vector<RepositoryConfig> sources;
  for (const auto& [number, place] : config.archived_beside()) sources.push_back(place);
  if (!sources.empty()) return sources;
  throw Error(ErrorKind::usage, "--repair needs another repository", {},
              "Put a section [repository.2] into the configuration file, or name one with walvault "
              "repair --from.");
}

// What is lost with an object; empty: that is told elsewhere.
std::string loss_of(const std::string& key) {
  const auto place = place_of(key);
  return std::string(place ? info_of(*place).loss : std::string_view());
}

std::string block_text(const BackupDamage& damage, const LostContent& part) {
  if (part.path.empty()) return part.why;
  const auto first = part.offset / damage.block_bytes;
  const auto last = part.length == 0 ? first : (part.offset + part.length - 1) / damage.block_bytes;
  return part.path +
         (first == last ? ", block " + std::to_string(first)
                        : ", blocks " + std::to_string(first) + " to " + std::to_string(last)) +
         " (" + format_size(part.length) + ")";
}

template <typename List, typename Each>
void append_lines(std::string& text, const List& list, std::uint64_t count, Each&& each) {
  for (std::size_t i = 0; i < std::min(list.size(), lines_max); ++i) {
    text.append(each(list[i])).append("\n");
  }
  const auto shown = std::min<std::uint64_t>(list.size(), lines_max);
  if (count > shown) {
    text.append("    and ").append(std::to_string(count - shown)).append(" more: see --json\n");
  }
}

std::string backup_text(const BackupDamage& damage) {
  std::string text =
      "  Backup " + damage.id + " of " + damage.cluster +
      (damage.is_restorable() ? " can be restored as it is:\n" : " CANNOT BE RESTORED whole:\n");
  if (damage.whole) text += "    its root is damaged: nothing of it can be read\n";
  if (damage.wal_incomplete) {
    text += "    WAL that it needs itself is missing or damaged: it cannot be made consistent\n";
  }
  append_lines(text, damage.lost, damage.lost.size(),
               [&](const LostContent& part) { return "    lost: " + block_text(damage, part); });
  append_lines(text, damage.wrong_pages, damage.wrong_page_count, [](const WrongPage& page) {
    return "    page checksum wrong, as the server sent it: " + page.path + ", block " +
           std::to_string(page.block);
  });
  return text;
}

std::string windows_text(const VerifiedWindows& windows,
                         std::vector<RecoveryWindow> VerifiedWindows::*which) {
  std::string text;
  for (const auto& window : windows.*which) {
    text.append("    ").append(window_text(window)).append("\n");
  }
  return text.empty() ? "    nothing\n" : text;
}

std::string damage_text(const VerifyReport& report) {
  std::string text = "\nDAMAGE:\n";
  append_lines(text, report.objects, report.object_count, [](const ObjectDamage& object) {
    const auto purpose = loss_of(object.key);
    return "  " + object.key + " is " + std::string(damage_name(object.kind)) +
           (object.why.empty() ? "" : ": " + object.why) +
           (purpose.empty() ? "" : " (" + purpose + ")");
  });
  for (const auto& each : report.windows) {
    for (const auto& gap : each.gaps) {
      text.append("  WAL of ")
          .append(each.identity.name)
          .append(", timeline ")
          .append(std::to_string(gap.timeline.timeline.value))
          .append(", from ")
          .append(gap.from.text())
          .append(" to ")
          .append(gap.to.text())
          .append(gap.damage.empty() ? " is missing" : " cannot be replayed: " + gap.damage)
          .append("\n");
    }
  }
  text += "What that costs:\n";
  for (const auto& damage : report.damaged_backups) text += backup_text(damage);
  for (const auto& each : report.windows) {
    text.append("  Every moment of ").append(each.identity.name).append(" can be recovered:\n");
    if (!each.untold.empty()) {
      text.append("    that cannot be told: ").append(each.untold).append("\n");
      continue;
    }
    text += windows_text(each, &VerifiedWindows::after);
    if (each.before.size() != each.after.size() ||
        !std::ranges::equal(each.before, each.after, [](const auto& a, const auto& b) {
          return a.earliest == b.earliest && a.latest == b.latest && a.timeline == b.timeline;
        })) {
      text += "  Without this damage it would be:\n" + windows_text(each, &VerifiedWindows::before);
    }
  }
  return text +
         "Next: take a backup now with walvault backup. It stores the damaged data again and ends "
         "the exposure. walvault repair --from REPOSITORY mends what another repository has. Look "
         "at the disk. docs/operations.md, \"When verify reports damage\".\n";
}

std::string report_text(const VerifyReport& report, std::chrono::milliseconds duration) {
  std::string text = "Verified, " + std::string(tier_name(report.tier)) + ": " +
                     std::to_string(report.backups) + " backups, " + std::to_string(report.packs) +
                     " packs of " + format_size(report.pack_bytes);
  if (report.tier != VerifyTier::present) {
    text += " (" + std::to_string(report.packs_read) + " read), " +
            std::to_string(report.wal_files) + " WAL files of " + format_size(report.wal_bytes) +
            " (" + std::to_string(report.wal_files_read) + " read), " +
            std::to_string(report.objects_read) + " other objects; " +
            format_size(report.stored_bytes_read) + " read";
    if (report.tier == VerifyTier::deep) {
      text += ", " + format_size(report.plain_bytes_read) + " of files decoded";
    }
  } else {
    text += ", and the WAL";
  }
  text += " in " + format_duration(duration) + ".\n";
  return report.is_whole() ? text + "Nothing is missing or damaged.\n" : text + damage_text(report);
}

void run_verify(Program& program, const Options& options) {
  catch_signals();
  const auto request = request_of(options, program.config());
  const auto sources =
      options.repair ? sources_beside(program.config(), request) : std::vector<RepositoryConfig>();
  const auto opened = program.open_repository();
  const auto began = std::chrono::steady_clock::now();
  std::unique_ptr<Progress> progress;
  const auto report = verify(
      opened.repository, system_clock(), program.writer(), request, program_reporter(),
      {.total =
           [&](std::uint64_t bytes) {
             // What deep reads behind that is not known before.
             progress = std::make_unique<Progress>(
                 "verify", request.tier == VerifyTier::deep ? 0 : bytes, program.shows_progress());
           },
       .done =
           [&](std::uint64_t bytes) {
             if (progress) progress->add(bytes);
           }});
  progress.reset();
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  ordered_json document{
      {"verify", verify_json(report, static_cast<double>(duration.count()) / 1000)}};
  auto text = report_text(report, duration);
  bool is_whole = report.is_whole();
  if (!is_whole && options.repair) {
    const auto repaired =
        repair_from(program, opened.repository, sources,
                    {.jobs = request.jobs, .was_verified = request.tier != VerifyTier::present});
    document["repair"] = repair_json(repaired, false);
    text += "\n" + repair_text(repaired, false);
    is_whole = repaired.is_whole();
  }
  program.print(document, text);
  if (!is_whole) program.set_exit_code(exit_code(ErrorKind::corrupt));
}

}  // namespace

void add_verify_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command(
      "verify",
      "Reads what is stored and proves that it can be restored; exits with 5 if it finds damage",
      [&program, options] { run_verify(program, *options); });
  command.option("--backup", options->backup,
                 "Verify only this backup, and the WAL that it needs itself");
  command.flag("--present", options->present, "Only check that everything is there, by listing");
  command.flag("--deep", options->deep,
               "Decode everything as well: chunk ids, page checksums, WAL records");
  command.flag("--repair", options->repair,
               "Mend what is found from the other repositories of the configuration file");
  command.option("--sample", options->sample,
                 "Read only this share of packs and WAL, chosen at random: 5%");
  command.option("--max-age", options->max_age, "Skip what was found right within this time: 30d");
  command.option("--max-rate", options->max_rate, "The most to read in a second: 100MB");
  command.option("--jobs", options->jobs, "How many threads to use");
}

}  // namespace walvault
