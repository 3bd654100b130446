#include <nlohmann/json.hpp>

#include "app/backup_text.h"
#include "base/format.h"
#include "catalog/wal_stretch.h"
#include "maintenance/maintenance_commands.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

struct Shown {
  ordered_json document;
  std::string text;
};

std::string label_text(const BackupInfo& backup) {
  return backup.label.empty() ? "" : "  \"" + backup.label + "\"";
}

// The windows and gaps of one identity; returns the stored bytes of its WAL.
std::uint64_t show_wal(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                       bool is_newest, Shown& shown) {
  auto& [document, text] = shown;
  const auto& identity = archive.identity();
  const auto windows = recovery_windows(archive, backups);
  if (!is_newest) {
    text += "  Before the upgrade, PostgreSQL " + std::to_string(identity.postgres_major) +
            ", system identifier " + std::to_string(identity.system_identifier) + ":\n";
  }
  if (!windows.empty()) text += "  Recoverable:\n";
  for (const auto& window : windows) {
    document["windows"].push_back(
        {{"timeline", window.timeline.timeline.value},
         {"branch", window.timeline.branch},
         {"earliest_time", to_rfc3339(window.earliest_time)},
         {"latest_time", to_rfc3339(window.latest_time)},
         {"earliest_lsn", window.earliest.text()},
         {"latest_lsn", window.latest.text()},
         {"time_proved", false},
         {"system_identifier", std::to_string(identity.system_identifier)}});
    text += "    " + to_local_text(window.earliest_time) + "  to  " +
            to_local_text(window.latest_time) + "  on timeline " +
            (window.timeline.branch == archive.branch_of(window.timeline.timeline)
                 ? std::to_string(window.timeline.timeline.value)
                 : window.timeline.text() + ", set aside,") +
            "  (" + window.earliest.text() + " to " + window.latest.text() + ")\n";
  }
  if (!windows.empty()) {
    text +=
        "    The last time is when the newest archived segment was last written; the last\n"
        "    commit in it may be earlier.\n";
  }
  for (const auto& gap : wal_gaps(archive)) {
    document["gaps"].push_back({{"timeline", gap.timeline.value},
                                {"from_lsn", gap.from.text()},
                                {"to_lsn", gap.to.text()},
                                {"system_identifier", std::to_string(identity.system_identifier)}});
    text += "  GAP in the WAL of timeline " + std::to_string(gap.timeline.value) + ": " +
            gap.from.text() + " to " + gap.to.text() + " is not archived\n";
  }
  return archive.stored_bytes();
}

Shown show_cluster(const Repository& repository, const ClusterIdentity& identity) {
  const auto list = list_backups(repository, identity.name);
  const auto identities = cluster_identities(repository, identity.name);

  Shown shown;
  auto& document = shown.document;
  document = {{"name", identity.name},
              {"system_identifier", std::to_string(identity.system_identifier)},
              {"postgres_version", std::to_string(identity.postgres_major)},
              {"wal_segment_bytes", identity.segment_bytes},
              {"backups", ordered_json::array()},
              {"damaged_backups", list.damaged},
              {"windows", ordered_json::array()},
              {"gaps", ordered_json::array()},
              {"wal_stored_bytes", 0}};
  auto& text = shown.text;
  text = "\nCluster " + identity.name + "  (PostgreSQL " + std::to_string(identity.postgres_major) +
         ", system identifier " + std::to_string(identity.system_identifier) + ")\n";

  text += list.backups.empty()
              ? "  No backup yet. Take one with: walvault backup --cluster " + identity.name + "\n"
              : "  Backups:\n";
  for (const auto& backup : list.backups) {
    document["backups"].push_back(backup_json(backup));
    text += "    " + backup.id + "  " + to_local_text(backup.start_time) + "  " +
            format_size(backup.size_bytes) + ", " + format_size(backup.stored_bytes) + " stored" +
            label_text(backup) + (backup.damaged_pages.empty() ? "" : "  DAMAGED PAGES") + "\n";
  }
  for (const auto& key : list.damaged) text += "    DAMAGED: " + key + "\n";

  std::uint64_t wal_stored = 0;
  for (const auto& each : identities) {
    wal_stored +=
        show_wal(WalArchive(repository, each), list.backups, each.number == identity.number, shown);
  }
  document["wal_stored_bytes"] = wal_stored;
  text += "  WAL: " + format_size(wal_stored) + " stored\n";
  return shown;
}

void show(Program& program) {
  const auto opened = program.open_repository();
  std::uint64_t stored = 0;
  opened.storage->list("", [&](const ObjectInfo& object) { stored += object.size; });

  std::vector<ClusterIdentity> clusters;
  if (const auto& asked = program.config().cluster_asked) {
    clusters.push_back(get_cluster(opened.repository, *asked));
  } else {
    clusters = list_clusters(opened.repository);
  }
  ordered_json documents = ordered_json::array();
  std::string text = "Repository " + opened.storage->url() + "  " + format_size(stored) +
                     " stored, not encrypted\n";
  for (const auto& identity : clusters) {
    auto shown = show_cluster(opened.repository, identity);
    documents.push_back(std::move(shown.document));
    text += shown.text;
  }
  if (clusters.empty()) {
    text +=
        "No cluster is registered. Register one with: walvault cluster add NAME --pg CONNINFO\n";
  }
  program.print({{"repository",
                  {{"id", opened.repository.id()},
                   {"url", opened.storage->url()},
                   {"stored_bytes", stored},
                   {"encrypted", false}}},
                 {"clusters", documents}},
                text);
}

}  // namespace

void add_info_command(Program& program, CommandLine& commands) {
  commands.command("info", "Shows clusters, backups and what can be recovered",
                   [&program] { show(program); });
}

}  // namespace walvault
