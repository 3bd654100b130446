#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/connection_options.h"
#include "app/known_repository.h"
#include "app/places.h"
#include "archiving/server_history.h"
#include "base/format.h"
#include "base/path.h"
#include "catalog/copy/repository_copy.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/recovery_window.h"
#include "maintenance/archive_check.h"
#include "maintenance/maintenance_commands.h"
#include "maintenance/repair.h"
#include "maintenance/server_check.h"
#include "postgres/client/replication_connection.h"
#include "postgres/client/sql_connection.h"
#include "server/catalogue_reader.h"
#include "storage/posix_root.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds poll_first{20};
constexpr milliseconds poll_max{500};
constexpr int further_tries = 6;

struct Options {
  std::optional<std::string> pg;
  std::string timeout = "1min";
  bool repair = false;
  bool accept = false;
  bool accept_repository = false;
};

Finding check_identity(const ClusterIdentity& registered, ReplicationConnection& server) {
  const auto identifier = server.identify_system().system_identifier;
  const auto major = server.server_version() / 10000;
  const auto text =
      "PostgreSQL " + std::to_string(major) + ", system identifier " + std::to_string(identifier);
  if (identifier == registered.system_identifier && major == registered.postgres_major) {
    return good("identity", text);
  }
  return bad("identity",
             text + "; registered is PostgreSQL " + std::to_string(registered.postgres_major) +
                 ", system identifier " + std::to_string(registered.system_identifier),
             "Check --pg. After pg_upgrade: walvault cluster upgrade " + registered.name);
}

ArchiverState archiver_state(SqlConnection& sql) {
  const auto rows = sql.query(
      "SELECT last_failed_wal, last_failed_time FROM pg_catalog.pg_stat_archiver"
      " WHERE last_failed_time OPERATOR(pg_catalog.>) coalesce(last_archived_time, '-infinity')");
  if (rows.empty()) return {};
  return {.failing_file = rows[0].at(0), .failing_since = rows[0].at(1).value_or("")};
}

// Marks the WAL, forces a switch behind the mark, and waits until the segment
// with the mark can be read from the repository. nullopt: the mark is not in it.
std::optional<Finding> try_archiving(const WalArchive& archive, SqlConnection& sql,
                                     const std::string& mark, milliseconds timeout) {
  const std::string name = "archiving";
  std::string segment;
  try {
    // A restore point first: on an idle server a switch alone moves nothing.
    segment = sql.query("SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_create_restore_point('" +
                        mark + "'))")
                  .at(0)
                  .at(0)
                  .value_or("");
    (void)sql.query("SELECT pg_catalog.pg_switch_wal()");
  } catch (const Error& error) {
    return bad(name, "cannot force a switch of WAL segments: " + error.detail(),
               "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO ...;");
  }
  auto& clock = system_clock();
  const auto began = clock.steady();
  auto pause = poll_first;
  const auto waited = [&] {
    return std::chrono::duration_cast<milliseconds>(clock.steady() - began);
  };
  while (true) {
    check_cancelled();
    if (const auto content = archive.find_file(segment)) {
      const auto took = waited();
      if (as_text(*content).find(mark) == std::string_view::npos) return std::nullopt;
      return good(name, segment + " was in the repository after " + format_duration(took) +
                            " and reads back right");
    }
    if (waited() >= timeout) {
      return bad(name, segment + " did not arrive within " + format_duration(timeout),
                 "Look into the server's log for what the archive_command said.");
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, poll_max);
  }
}

// A mark may lie across the border of two pages, where a header cuts it in two:
// only a second one that is missing says something.
Finding check_archiving(const WalArchive& archive, SqlConnection& sql, const std::string& mark,
                        milliseconds timeout) {
  for (const auto* number : {" 1", " 2", " 3"}) {
    if (auto finding = try_archiving(archive, sql, mark + number, timeout)) return *finding;
  }
  return bad("archiving", "what is in the repository is not what this server wrote",
             "Another server archives under the name " + archive.identity().name + ".");
}

void check_with_sql(Program& program, const WalArchive& archive, const ConnectOptions& connect,
                    const std::map<std::string, std::string>& settings, TimelineId timeline,
                    milliseconds timeout, std::vector<Finding>& findings) {
  std::unique_ptr<SqlConnection> sql;
  try {
    sql = connect_sql(connect);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable) throw;
    findings.push_back(bad("connection", error));
    return;
  }
  const bool is_standby = sql->query("SELECT pg_catalog.pg_is_in_recovery()").at(0).at(0) == "t";
  // A standby may not have come to its primary's timeline yet.
  if (!is_standby) findings.push_back(check_timelines(archive, timeline));
  const auto mode = settings.find("archive_mode");
  if (mode != settings.end() && mode->second == "off") {
    findings.push_back(check_no_archiving(archive, timeline));
    return;
  }
  if (is_standby) {
    findings.push_back(warning("archiving", "not tried: this server is a standby",
                               "Run the check on the primary."));
    return;
  }
  const auto unnamed =
      store_catalogue(archive.repository(), archive.identity(), connect, system_clock().now());
  findings.push_back(unnamed.empty()
                         ? good("names of relations", "read, for walvault find")
                         : warning("names of relations", "could not be read: " + unnamed,
                                   "walvault find will show files by number only."));
  findings.push_back(judge_archiver(archiver_state(*sql)));
  findings.push_back(
      check_archiving(archive, *sql, "walvault check " + to_hex(program.writer()), timeout));
}

// Without it nobody knows where the server's timeline comes from, and which gaps there are.
void repair_history(const WalArchive& archive, ReplicationConnection& server,
                    std::vector<Finding>& findings) {
  try {
    if (!archive_server_history(archive, server, system_clock(), {})) return;
    findings.push_back(good(
        "repair", "the history file of the server's timeline was missing and is archived now"));
  } catch (const Error& error) {
    check_cancelled();
    findings.push_back(bad("repair", one_line(error), error.hint()));
  }
}

// Of the gaps that the operator has not accepted, those that the server can fill.
void repair_gaps(const WalArchive& archive, const ConnectOptions& connect, bool accepted,
                 std::vector<Finding>& findings) {
  const auto backups = list_backups(archive.repository(), archive.identity().name).backups;
  for (const auto& gap : recoverable_moments({archive.at_this_moment(true), backups}).gaps) {
    if (gap.state != GapState::open || !gap.damage.empty()) continue;
    const auto where = gap.from.text() + " to " + gap.to.text() + " of timeline " +
                       std::to_string(gap.timeline.timeline.value);
    try {
      fetch_missing_wal(archive, gap, accepted, connect, system_clock());
      findings.push_back(good("repair", "WAL from " + where + " was missing and is archived now"));
    } catch (const Error& error) {
      check_cancelled();
      findings.push_back(
          bad("repair", "WAL from " + where + " cannot be had from this server: " + one_line(error),
              "Look for it on the old server (walvault wal rescue). If only the segment before the "
              "gap is gone there, and the WAL is this cluster's: check --repair --accept. If it is "
              "lost: walvault window accept-gap, and a new backup."));
    }
  }
}

CopyReport compare(const Repository& repository, const Repository& further,
                   const std::string& cluster) {
  return copy_repository(repository, further, system_clock(), {.cluster = cluster, .dry_run = true},
                         {.check_cancelled = check_cancelled});
}

// What the repositories lack that are archived to beside the first one.
void check_further(Program& program, const Repository& repository, const std::string& cluster,
                   std::vector<Finding>& findings) {
  const auto& config = program.config();
  for (const auto& [number, place] : config.archived_beside()) {
    const auto name = "repository " + std::to_string(number);
    try {
      const auto there = open_repository(config, place, program.writer());
      // The segment that was just tried may still be on its way there.
      auto report = compare(repository, there.repository, cluster);
      for (int tries = 0; tries < further_tries && report.clusters.at(0).wal.files > 0; ++tries) {
        check_cancelled();
        system_clock().sleep_for(poll_max);
        report = compare(repository, there.repository, cluster);
      }
      const auto& copied = report.clusters.at(0);
      const auto backups =
          std::ranges::count(copied.backups, BackupCopyState::copied, &CopiedBackup::state);
      if (!report.is_whole()) {
        findings.push_back(
            bad(name, "what the first one has cannot all be copied there",
                "walvault copy --dry-run --to " + std::to_string(number) + " shows what, and why"));
        continue;
      }
      findings.push_back(backups == 0 && copied.wal.files == 0
                             ? good(name, "has what the first one has")
                             : warning(name,
                                       "lacks " + std::to_string(copied.wal.files) +
                                           " WAL files and " + std::to_string(backups) +
                                           " backups of the first one",
                                       "walvault copy --to " + std::to_string(number)));
    } catch (const Error& error) {
      check_cancelled();
      if (place.required) {
        findings.push_back(bad(name, error));
      } else {
        findings.push_back(
            warning(name, one_line(error),
                    "Archiving continues without it; walvault copy copies what is missing."));
      }
    }
  }
}

ordered_json finding_json(const Finding& finding) {
  return {{"name", finding.name},
          {"verdict", verdict_name(finding.verdict)},
          {"text", finding.text},
          {"advice", finding.advice}};
}

std::string finding_text(const Finding& finding) {
  constexpr std::size_t verdict_width = 9;
  constexpr std::size_t name_width = 23;
  auto line = "  " + verdict_name(finding.verdict);
  line.resize(2 + verdict_width, ' ');
  line += finding.name;
  line.resize(2 + verdict_width + name_width, ' ');
  line += finding.text + "\n";
  if (!finding.advice.empty()) {
    line += std::string(2 + verdict_width + name_width, ' ') + "-> " + finding.advice + "\n";
  }
  return line;
}

// Of all that this machine archives to. The server may be lost, and nothing registered yet.
void accept_repositories(Program& program) {
  const auto& config = program.config();
  std::vector<RepositoryConfig> places{config.repository()};
  for (const auto& [number, place] : config.archived_beside()) places.push_back(place);
  ordered_json documents = ordered_json::array();
  std::string text;
  for (const auto& place : places) {
    const auto id = accept_repository(config, place, program.writer());
    documents.push_back({{"url", place.url}, {"id", id ? ordered_json(*id) : ordered_json()}});
    text += id ? "Accepted: at " + place.url + " is repository " + *id + ".\n"
               : "Accepted: at " + place.url + " is no repository. walvault init makes one.\n";
  }
  program.print({{"accepted", documents}}, text);
}

Finding check_repository(const Config& config, const Repository& repository) {
  const std::string name = "repository";
  const auto place = config.repository();
  if (!place.is_remote()) {
    if (const auto doubt = find_root_doubt(directory_of(place.url), place.mode)) {
      return warning(name, *doubt, "docs/operations.md, \"Who may write to a repository\"");
    }
  }
  const KnownRepository memory(config, place);
  if (memory.id() == repository.id()) {
    return good(name, repository.id() + ", as this machine knows it");
  }
  return warning(name,
                 "this machine cannot remember which repository it found: " + memory.path() +
                     " cannot be written",
                 "Name another directory, [state] path in the configuration file. Until then "
                 "another repository at this place is not noticed.");
}

void run_check(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  const auto timeout = parse_duration(options.timeout, "--timeout");
  expect_repositories_sound(config);
  if (options.accept_repository) return accept_repositories(program);
  const auto cluster = config.cluster();
  const auto opened = program.open_repository();
  const WalArchive archive(opened.repository, get_cluster(opened.repository, cluster));
  const ConnectOptions connect{.conninfo = conninfo_for(config, cluster, options.pg),
                               .check_cancelled = check_cancelled};
  const auto server = connect_replication(connect);
  expect_server_apart(config, server->show("data_directory"));

  std::vector<Finding> findings{check_identity(archive.identity(), *server)};
  const bool is_right_server = findings.front().verdict == Verdict::good;
  std::map<std::string, std::string> settings;
  for (const auto& name : judged_settings()) {
    if (auto value = server->show(name)) settings.emplace(name, std::move(*value));
  }
  const auto judged = judge_settings(
      settings, "walvault-archive " +
                    (config.path.empty() ? "" : "--config " + absolute_path(config.path) + " ") +
                    "--repo " + config.repository_text() + " --cluster " + cluster + " %p");
  findings.insert(findings.end(), judged.begin(), judged.end());
  // A foreign server is not made to switch.
  if (is_right_server) {
    check_with_sql(program, archive, connect, settings, server->identify_system().timeline, timeout,
                   findings);
  }
  if (options.repair && is_right_server) {
    repair_history(archive, *server, findings);
    repair_gaps(archive, connect, options.accept, findings);
  }
  findings.push_back(check_repository(config, opened.repository));
  check_archive(archive, findings);
  check_further(program, opened.repository, cluster, findings);

  ordered_json documents = ordered_json::array();
  std::string text = "Cluster " + cluster + ":\n";
  for (const auto& finding : findings) {
    documents.push_back(finding_json(finding));
    text += finding_text(finding);
  }
  const auto failed = std::ranges::count(findings, Verdict::bad, &Finding::verdict);
  const auto warned = std::ranges::count(findings, Verdict::warning, &Finding::verdict);
  text += failed > 0 ? std::to_string(failed) + " failed"
                     : (warned > 0 ? "Nothing failed" : "The set-up works");
  if (warned > 0) text += "; " + std::to_string(warned) + " to look at";
  program.print({{"check", {{"cluster", cluster}, {"ok", failed == 0}, {"findings", documents}}}},
                text + ".\n");
  if (failed > 0) program.set_exit_code(exit_code(ErrorKind::check_failed));
}

}  // namespace

void add_check_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command =
      commands.command("check", "Proves that WAL is archived, and checks the server's settings",
                       [&program, options] { run_check(program, *options); });
  command.option("--pg", options->pg, "How to connect to the server (a libpq connection string)");
  command.flag("--repair", options->repair,
               "Fetch WAL that is missing in the archive from the server, if it still has it");
  command.flag("--accept", options->accept,
               "With --repair: the WAL is this cluster's, though the segment before cannot be "
               "compared any more");
  command.flag("--accept-repository", options->accept_repository,
               "Only this: what is at the repository's place now takes the place of what this "
               "machine knew there");
  command.option("--timeout", options->timeout, "How long to wait for the switched segment");
}

}  // namespace walvault
