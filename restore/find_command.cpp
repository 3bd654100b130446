#include "restore/find_command.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cancellation.h"
#include "app/log.h"
#include "app/results/change_result.h"
#include "base/format.h"
#include "catalog/find/change_finder.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/recovery_plan.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t changes_max = 1000;
constexpr std::size_t relations_shown_max = 20;

struct Options {
  bool drops = false;
  bool truncates = false;
  bool rewrites = false;
  bool deletes = false;
  std::optional<std::string> xid;
  std::optional<std::string> time;
  std::string around = "1min";
  std::optional<std::string> from;
  std::optional<std::string> until;
  std::string timeline = "latest";
};

ChangeQuery query_of(const Options& options) {
  ChangeQuery query;
  query.files = options.drops || options.truncates || options.rewrites;
  query.deletes = options.deletes;
  const int ways =
      (query.files || query.deletes ? 1 : 0) + (options.xid ? 1 : 0) + (options.time ? 1 : 0);
  if (ways != 1) {
    throw Error(ErrorKind::usage, "it is not clear what to find",
                "One of --drops, --truncates, --rewrites and --deletes (or several), --xid or "
                "--time is needed.",
                "walvault find --drops");
  }
  if (options.xid) {
    std::uint64_t xid = 0;
    const auto* const end = options.xid->data() + options.xid->size();
    const auto [stop, failure] = std::from_chars(options.xid->data(), end, xid);
    if (failure != std::errc{} || stop != end || xid == 0) {
      throw Error(ErrorKind::usage, "\"" + *options.xid + "\" is not a transaction id",
                  "A number is expected.");
    }
    // The number that PostgreSQL shows has an epoch above the 32 bits.
    query.xid = static_cast<std::uint32_t>(xid);
  }
  if (options.time) query.time = parse_timestamp(*options.time);
  query.around = parse_duration(options.around, "--around");
  if (options.from) query.from = parse_timestamp(*options.from);
  if (options.until) query.until = parse_timestamp(*options.until);
  if (query.from && query.until && *query.from > *query.until) {
    throw Error(ErrorKind::usage, "--from lies after --until");
  }
  return query;
}

bool is_asked_for(const Options& options, const TransactionChange& change) {
  if (options.xid || options.time) return true;
  switch (change.kind) {
    case ChangeKind::dropped:
    case ChangeKind::database_dropped:
      if (options.drops) return true;
      break;
    case ChangeKind::truncated:
    case ChangeKind::truncated_or_reindexed:
      if (options.truncates) return true;
      break;
    case ChangeKind::rewritten:
    case ChangeKind::reindexed:
    case ChangeKind::moved:
      if (options.rewrites) return true;
      break;
    case ChangeKind::none: break;
  }
  return options.deletes && change.rows_deleted > 0;
}

std::string kind_text(const ChangedRelation& relation) {
  switch (relation.kind) {
    case 'r':
    case 'p': return "table ";
    case 'i':
    case 'I': return "index ";
    case 'm': return "materialized view ";
    case 'S': return "sequence ";
    case 't': return "TOAST of ";
    default: return "";
  }
}

std::string relation_text(const ChangedRelation& relation) {
  auto database = relation.database.empty() ? "database " + std::to_string(relation.file.database)
                                            : relation.database;
  if (relation.file.number == 0) return database;
  const auto name = relation.name.empty()
                        ? "file " + std::to_string(relation.file.number) + " (no name is known)"
                        : kind_text(relation) + relation.name;
  return name + " in " + database;
}

// On the history that was walked: where it left an older timeline, that one's own
// files need not be archived to their end.
std::string restore_text(const std::string& cluster, const std::string& timeline,
                         const TransactionChange& change) {
  return "walvault restore --cluster " + cluster + " --pgdata DIR --to-lsn " + change.stop.text() +
         " --exclusive --timeline " + timeline;
}

std::string change_text(const TransactionChange& change, const std::string& restore) {
  std::string text = to_rfc3339(change.time) + "  " +
                     (change.end == TransactionEnd::commit ? "commit" : "abort") +
                     " of transaction " + std::to_string(change.xid) + " at " + change.lsn.text();
  if (change.kind != ChangeKind::none) text += ": " + change_kind_name(change.kind);
  text += "\n";
  // Tables first, what hangs on them behind; a TOAST table is part of its table.
  auto relations = change.relations;
  std::erase_if(relations, [&](const ChangedRelation& each) {
    const auto table = each.name.substr(0, each.name.find(" (TOAST)"));
    if (each.kind != 't' && table == each.name) return false;
    return std::ranges::any_of(change.relations, [&](const ChangedRelation& other) {
      return other.name == table && other.kind != 't';
    });
  });
  std::ranges::stable_sort(relations, {}, [](const ChangedRelation& relation) {
    return relation.kind == 'r' || relation.kind == 'm' || relation.kind == 'p' ? 0 : 1;
  });
  std::size_t shown = 0;
  for (const auto& relation : relations) {
    if (shown++ == relations_shown_max) {
      text += "    and " + std::to_string(relations.size() - relations_shown_max) + " more\n";
      break;
    }
    text += "    " + relation_text(relation);
    if (relation.deleted > 0) text += ", " + std::to_string(relation.deleted) + " rows deleted";
    text += "\n";
  }
  if (change.kind != ChangeKind::none || change.rows_deleted > 0) {
    text += "    just before it:  " + restore + "\n";
  }
  return text;
}

void run_find(Program& program, const Options& options) {
  catch_signals();
  const auto& config = program.config();
  const auto query = query_of(options);
  const auto cluster = config.cluster();
  const auto opened = program.open_repository(Caching::content);
  const auto identity = get_cluster(opened.repository, cluster);
  auto backups = list_backups(opened.repository, cluster).backups;
  const auto archive = WalArchive(opened.repository, identity).at_this_moment(false);
  std::erase_if(
      backups, [&](const BackupInfo& backup) { return backup.identity_number != identity.number; });
  // What no backup comes before cannot be restored, but is told all the same.
  const auto course = follow_history({archive, backups}, options.timeline);
  Lsn start;
  for (const auto& backup : backups) {
    if (lies_on(course.archive, backup, course.history) &&
        (start == Lsn{} || backup.start < start)) {
      start = backup.start;
    }
  }

  const auto& branch = course.branch;
  const auto timeline = branch.branch == archive.branch_of(branch.timeline)
                            ? std::to_string(branch.timeline.value)
                            : branch.text();
  ordered_json documents = ordered_json::array();
  std::string text;
  std::size_t count = 0;
  const auto result = find_changes(
      course.archive, course.history, start, query,
      [&](const TransactionChange& change) {
        if (!is_asked_for(options, change) || ++count > changes_max) return;
        const auto restore = restore_text(cluster, timeline, change);
        documents.push_back(change_json(change, restore));
        text += change_text(change, restore);
      },
      check_cancelled);
  if (count > changes_max) {
    log_warning("only the first " + std::to_string(changes_max) + " of " + std::to_string(count) +
                " transactions are shown: narrow the search with --from and --until");
  }
  for (const auto& hole : result.holes) log_warning("not looked at: " + hole);
  if (result.left_out > 0) {
    log_warning("some segments hold more changes than are counted: row counts may be too low");
  }
  if (count == 0) text = "Nothing of that kind is in the archived WAL.\n";
  program.print({{"find",
                  {{"timeline", course.history.timeline().value},
                   {"segments", result.segments},
                   {"found", count},
                   {"holes", result.holes},
                   {"changes", documents}}}},
                text + "Looked at " + std::to_string(result.segments) + " segments of timeline " +
                    std::to_string(course.history.timeline().value) +
                    (start == Lsn{} ? "" : ", from " + start.text() + " on") + ".\n");
}

}  // namespace

void add_find_command(Program& program, CommandLine& commands) {
  const auto options = std::make_shared<Options>();
  auto& command = commands.command("find", "Finds the transaction that was the mistake",
                                   [&program, options] { run_find(program, *options); });
  command.flag("--drops", options->drops, "Show dropped tables, indexes and databases");
  command.flag("--truncates", options->truncates, "Show truncated tables");
  command.flag("--rewrites", options->rewrites,
               "Show rewritten, reindexed and moved tables (VACUUM FULL, CLUSTER, ALTER TABLE)");
  command.flag("--deletes", options->deletes,
               "Show transactions that deleted rows, and how many rows");
  command.option("--xid", options->xid, "Show what one transaction did");
  command.option("--time", options->time, "Show the transactions that ended around a time");
  command.option("--around", options->around, "How much time before and after --time");
  command.option("--from", options->from, "Only what ended at this time or later");
  command.option("--until", options->until, "Only what ended at this time or earlier");
  command.option("--timeline", options->timeline,
                 "latest, current, a number, or a branch that was set aside (2-0)");
}

}  // namespace walvault
