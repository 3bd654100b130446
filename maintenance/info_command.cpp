#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "app/known_repository.h"
#include "app/results/backup_result.h"
#include "base/format.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/verified.h"
#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/recovery_window.h"
#include "catalog/recovery/whole_restore.h"
#include "catalog/verification/orphans.h"
#include "maintenance/maintenance_commands.h"
#include "repository/gc.h"
#include "repository/object_table.h"
#include "storage/decorators/remembering_storage.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

struct Shown {
  ordered_json document;
  std::string text;
};

std::chrono::milliseconds age_of(Timestamp time) {
  return std::max(
      std::chrono::milliseconds{0},
      std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().now() - time));
}

double seconds_of(std::chrono::milliseconds duration) {
  return static_cast<double>(duration.count()) / 1000;
}

std::string label_text(const BackupInfo& backup) {
  return backup.label.empty() ? "" : "  \"" + backup.label + "\"";
}

std::string timeline_text(const WalArchive& archive, const TimelineBranch& timeline) {
  return timeline.branch == archive.branch_of(timeline.timeline)
             ? std::to_string(timeline.timeline.value)
             : timeline.text() + ", set aside,";
}

void show_window(const WalArchive& archive, const RecoveryWindow& window, Shown& shown) {
  const auto last = window.last_transaction;
  shown.document["windows"].push_back(window_json(archive.identity(), window));
  shown.text += "    " + to_local_text(window.earliest_time) + "  to  " +
                to_local_text(window.latest_time) + "  on timeline " +
                timeline_text(archive, window.timeline) + "  (" + window.earliest.text() + " to " +
                window.latest.text() + ")\n" +
                (last ? "      the last transaction in it ended at " + to_local_text(*last)
                      : "      no transaction ended in it") +
                "\n";
}

void show_gap(const WalArchive& archive, const WalGap& gap, Shown& shown) {
  auto& document = shown.document["gaps"].emplace_back(gap_json(gap));
  document["accepted"] = gap.state != GapState::open;
  document["expired"] = gap.state == GapState::expired;
  document["system_identifier"] = std::to_string(archive.identity().system_identifier);
  const auto where = "WAL of timeline " + timeline_text(archive, gap.timeline) + ": ";
  const auto range = gap.from.text() + " to " + gap.to.text();
  if (gap.state == GapState::expired) {
    shown.text += "  Expired " + where + range + ", which no backup needs\n";
    return;
  }
  shown.text += "  " + std::string(gap.state == GapState::open ? "GAP" : "Accepted gap") +
                " in the " + where +
                (gap.damage.empty() ? range + " is not archived"
                                    : range + " cannot be replayed: " + gap.damage) +
                "\n";
}

// Where there is more than one timeline, which one is meant may not be known.
void show_refusal(const ClusterView& cluster, Shown& shown) {
  shown.document["restore_refused"] = nullptr;
  const bool any_backup = std::ranges::any_of(cluster.backups, [&](const BackupInfo& backup) {
    return backup.identity_number == cluster.archive.identity().number;
  });
  if (!any_backup || cluster.archive.timelines().size() < 2) return;
  const auto refusal = why_no_whole_restore(cluster);
  if (!refusal) return;
  shown.document["restore_refused"] = {
      {"message", refusal->message()}, {"detail", refusal->detail()}, {"hint", refusal->hint()}};
  shown.text += "  A RESTORE WITHOUT A TARGET IS REFUSED: " + refusal->message() + "\n    " +
                refusal->hint() + "\n";
}

// Windows, gaps and ends of the WAL of one identity.
void show_wal(const ClusterView& cluster, bool is_newest, Shown& shown) {
  const auto& identity = cluster.archive.identity();
  const auto moments = recoverable_moments(cluster);
  if (!is_newest) {
    shown.text += "  Before the upgrade, PostgreSQL " + std::to_string(identity.postgres_major) +
                  ", system identifier " + std::to_string(identity.system_identifier) + ":\n";
  }
  if (!moments.windows.empty()) shown.text += "  Recoverable, every moment:\n";
  for (const auto& window : moments.windows) show_window(cluster.archive, window, shown);
  for (const auto& gap : moments.gaps) show_gap(cluster.archive, gap, shown);
  for (const auto& change : moments.archiver_changes) {
    shown.text += "  Another archiver: " + describe(change, identity.geometry) + "\n";
    shown.document["archiver_changes"].push_back(
        {{"segment", change.segment.text(identity.geometry)},
         {"from", to_hex(change.from)},
         {"to", to_hex(change.to)},
         {"system_identifier", std::to_string(identity.system_identifier)}});
  }
  if (is_newest) show_refusal(cluster, shown);
  if (!moments.ends.empty()) shown.text += "  Last archived:\n";
  const LeftTimelines left(cluster.archive);
  for (const auto& end : moments.ends) {
    const auto name = end.segment.text(identity.geometry);
    ordered_json document = {{"timeline", end.timeline.timeline.value},
                             {"branch", end.timeline.branch},
                             {"last_segment", name},
                             {"last_time", nullptr},
                             {"age_s", nullptr},
                             {"system_identifier", std::to_string(identity.system_identifier)}};
    shown.text += "    timeline " + timeline_text(cluster.archive, end.timeline) + "  " + name;
    if (end.modified) {
      const auto age = age_of(*end.modified);
      document["last_time"] = to_rfc3339(*end.modified);
      document["age_s"] = seconds_of(age);
      shown.text += ", of " + to_local_text(*end.modified) + ", " + format_duration(age) + " ago";
    } else {
      shown.text += ", which is damaged";
    }
    const auto* const was_left = left.find(end.timeline);
    document["left"] = nullptr;
    if (was_left != nullptr) {
      document["left"] = {{"time", to_rfc3339(was_left->when)}, {"reason", was_left->reason}};
      if (was_left->at != Lsn{}) document["left"]["lsn"] = was_left->at.text();
      shown.text += "; left on " + to_local_text(was_left->when) + ": " + was_left->reason;
    }
    shown.text += "\n";
    shown.document["timelines"].push_back(std::move(document));
  }
}

// The archives of all identities that count, as they are at this moment.
class Archives {
 public:
  explicit Archives(const Repository& repository) : repository_(repository) {}

  const WalArchive& of(const ClusterIdentity& identity) {
    const auto key = identity.name + "/" + std::to_string(identity.number);
    const auto it = archives_.find(key);
    if (it != archives_.end()) return it->second;
    return archives_.emplace(key, WalArchive(repository_, identity).at_this_moment(true))
        .first->second;
  }

  // Of the whole repository.
  [[nodiscard]] std::uint64_t stored_bytes() const {
    auto& storage = repository_.storage();
    std::uint64_t sum = 0;
    const auto add = [&](const std::string& prefix) {
      storage.list(prefix, [&](const ObjectInfo& object) { sum += object.size; });
    };
    const std::string wal(prefix_of(ObjectPlace::wal));
    for (const auto& top : storage.list_names("")) {
      const auto prefix = top + "/";
      if (prefix != wal) add(prefix);
    }
    for (const auto& cluster : storage.list_names(wal)) {
      for (const auto& number : storage.list_names(prefix_of(ObjectPlace::wal, cluster))) {
        auto key = cluster;
        key.append("/").append(number);
        // Most of the objects are here: they are listed once.
        const auto it = archives_.find(key);
        if (it != archives_.end()) {
          sum += it->second.stored_bytes();
        } else {
          add(wal + key + "/");
        }
      }
    }
    return sum;
  }

 private:
  const Repository& repository_;
  std::map<std::string, WalArchive> archives_;
};

// nullopt: a backup is damaged, and what it needs is not known.
std::optional<GcReport> survey_space(const Repository& repository) {
  try {
    return find_garbage(repository);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return std::nullopt;
  }
}

void show_space(const std::string& cluster, const std::optional<GcReport>& space, Shown& shown) {
  shown.document["backups_stored_bytes"] = nullptr;
  if (!space) return;
  const auto it = space->cluster_bytes.find(cluster);
  const auto bytes = it == space->cluster_bytes.end() ? 0 : it->second;
  shown.document["backups_stored_bytes"] = bytes;
  shown.text += "  Backups: " + format_size(bytes) + " stored\n";
}

// The last of each kind, of the cluster alone or with all of the repository.
void show_verification(const std::string& cluster, const VerifiedRecord& verified, Shown& shown) {
  shown.document["verified"] = ordered_json::array();
  VerifiedRecord last;
  for (auto run : verified.runs) {
    if (!run.cluster.empty() && run.cluster != cluster) continue;
    run.cluster.clear();
    last.note_run(run);
  }
  for (const auto& run : last.runs) {
    const auto age = age_of(run.finished);
    shown.document["verified"].push_back({{"tier", tier_name(run.tier)},
                                          {"partial", run.partial},
                                          {"started", to_rfc3339(run.started)},
                                          {"finished", to_rfc3339(run.finished)},
                                          {"age_s", seconds_of(age)},
                                          {"whole", run.whole},
                                          {"damaged", run.damaged}});
    shown.text.append("  Verified, ")
        .append(tier_name(run.tier))
        .append(run.partial ? ", in part: " : ": ")
        .append(format_duration(age))
        .append(" ago, ")
        .append(run.whole ? "nothing missing or damaged" : "DAMAGE was found")
        .append("\n");
  }
  if (last.runs.empty()) shown.text += "  Never verified. Do it with: walvault verify\n";
}

Shown show_cluster(const Repository& repository, const ClusterIdentity& identity,
                   Archives& archives, BackupConditions& conditions,
                   const std::optional<GcReport>& space, const VerifiedRecord& verified) {
  const auto list = list_backups(repository, identity.name);
  const auto identities = cluster_identities(repository, identity.name);
  const auto faults = conditions.faults_of(list.backups);
  const auto whole = without(list.backups, faults);

  Shown shown;
  auto& document = shown.document;
  document = cluster_json(identity);
  document.update({{"backups", ordered_json::array()},
                   {"damaged_backups", list.damaged},
                   {"windows", ordered_json::array()},
                   {"gaps", ordered_json::array()},
                   {"timelines", ordered_json::array()},
                   {"archiver_changes", ordered_json::array()},
                   {"wal_stored_bytes", 0}});
  auto& text = shown.text;
  text = "\nCluster " + identity.name + "  (PostgreSQL " + std::to_string(identity.postgres_major) +
         ", system identifier " + std::to_string(identity.system_identifier) + ")\n";

  text += list.backups.empty()
              ? "  No backup yet. Take one with: walvault backup --cluster " + identity.name + "\n"
              : "  Backups:\n";
  for (const auto& backup : list.backups) {
    const auto fault = faults.find(backup.id);
    const bool has_fault = fault != faults.end();
    auto& entry = document["backups"].emplace_back(backup_json(backup));
    entry["restorable"] = !has_fault;
    entry["fault"] = has_fault ? ordered_json(fault->second.why) : ordered_json(nullptr);
    text += "    " + backup.id + "  " + to_local_text(backup.start_time) + "  " +
            format_size(backup.size_bytes) + ", " + format_size(backup.stored_bytes) + " stored" +
            label_text(backup) + (backup.damaged_pages.empty() ? "" : "  DAMAGED PAGES") + "\n" +
            (has_fault ? "      CANNOT BE RESTORED WHOLE: " + fault->second.why + "\n" : "");
  }
  for (const auto& key : list.damaged) text += "    DAMAGED: " + key + "\n";
  document["last_backup"] = nullptr;
  if (!list.backups.empty()) {
    const auto& last = list.backups.back();
    const auto age = age_of(last.stop_time);
    document["last_backup"] = {{"id", last.id}, {"age_s", seconds_of(age)}};
    text += "    the newest is " + format_duration(age) + " old\n";
  }

  std::uint64_t wal_stored = 0;
  for (const auto& each : identities) {
    const auto& archive = archives.of(each);
    show_wal({archive, whole}, each.number == identity.number, shown);
    wal_stored += archive.stored_bytes();
  }
  document["wal_stored_bytes"] = wal_stored;
  text += "  WAL: " + format_size(wal_stored) + " stored\n";
  show_space(identity.name, space, shown);
  show_verification(identity.name, verified, shown);
  return shown;
}

std::string orphans_text(const std::vector<Orphan>& orphans) {
  if (orphans.empty()) return "";
  std::string text = "\nDAMAGE: small objects are lost that led to others:\n";
  for (const auto& orphan : orphans) {
    text.append("  ").append(orphan.key).append(" is missing: ").append(orphan.why).append("\n");
  }
  return text +
         "Next: walvault repair --dry-run shows what can be mended, also from another repository "
         "(--from).\n";
}

ordered_json orphans_json(const std::vector<Orphan>& orphans) {
  ordered_json documents = ordered_json::array();
  for (const auto& orphan : orphans) {
    documents.push_back({{"key", orphan.key}, {"detail", orphan.why}});
  }
  return documents;
}

void show(Program& program) {
  const auto storage = open_storage(program.config(), program.config().repository(),
                                    program.writer(), {}, Caching::content);
  // What says what there is: small, and read from several sides.
  std::vector<std::string> remembered;
  for (const auto place : {ObjectPlace::accepted_gaps, ObjectPlace::backups, ObjectPlace::branches,
                           ObjectPlace::clusters, ObjectPlace::deleted, ObjectPlace::format,
                           ObjectPlace::pins, ObjectPlace::verified}) {
    remembered.emplace_back(prefix_of(place));
  }
  RememberingStorage look(*storage, std::move(remembered));
  // All that there is, by a thousand objects a request; the pins before, so that a backup
  // that is completed meanwhile is seen as one or the other.
  for (const auto prefix : {prefix_of(ObjectPlace::pins), std::string_view()})
    look.list(prefix, [](const ObjectInfo&) {});
  const auto repository = open_known(program.config(), program.config().repository(), look);
  Archives archives(repository);

  std::vector<ClusterIdentity> clusters;
  if (const auto& asked = program.config().cluster_asked) {
    clusters.push_back(get_cluster(repository, *asked));
  } else {
    clusters = list_clusters(repository);
  }
  const auto space = survey_space(repository);
  const auto verified = load_verified(repository).record;
  BackupConditions conditions(repository, BackupConditions::Look::at_records);
  ordered_json documents = ordered_json::array();
  std::string text;
  for (const auto& identity : clusters) {
    auto shown = show_cluster(repository, identity, archives, conditions, space, verified);
    documents.push_back(std::move(shown.document));
    text += shown.text;
  }
  if (clusters.empty()) {
    text +=
        "No cluster is registered. Register one with: walvault cluster add NAME --pg CONNINFO\n";
  }
  const auto stored = archives.stored_bytes();
  ordered_json dead = nullptr;
  if (space) {
    dead = space->dead_bytes;
    if (space->dead_bytes > 0) {
      text += "\nNo backup refers to " + format_size(space->dead_bytes) +
              " of packs: walvault gc returns them\n";
    }
  }
  const auto orphans = find_orphans(repository);
  if (!orphans.empty()) program.set_exit_code(exit_code(ErrorKind::corrupt));
  text += orphans_text(orphans);
  program.print({{"repository",
                  {{"id", repository.id()},
                   {"url", storage->url()},
                   {"stored_bytes", stored},
                   {"dead_pack_bytes", dead},
                   {"orphans", orphans_json(orphans)},
                   {"encrypted", false}}},
                 {"clusters", documents}},
                "Repository " + storage->url() + "  " + format_size(stored) +
                    " stored, not encrypted\n" + text);
}

}  // namespace

void add_info_command(Program& program, CommandLine& commands) {
  commands.command("info", "Shows clusters, backups and what can be recovered",
                   [&program] { show(program); });
}

}  // namespace walvault
