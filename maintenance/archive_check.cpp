#include "maintenance/archive_check.h"

#include <algorithm>

#include "base/format.h"
#include "catalog/records/backup_list.h"
#include "catalog/recovery/archived_history.h"
#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/recovery_window.h"
#include "catalog/recovery/whole_restore.h"

namespace walvault {

Finding check_timelines(const WalArchive& archive, TimelineId own) {
  if (is_abandoned(archive, own)) {
    const auto number = std::to_string(own.value);
    return bad("timelines",
               "timeline " + number +
                   ", on which this server is, was abandoned: no restore follows "
                   "it unless it is named",
               "If this server is the cluster's: walvault timeline abandon " + number + " --undo");
  }
  const auto newer = newer_timelines(archive, own);
  if (newer.empty()) {
    return good("timelines", "no restore follows one that is newer than this server's, " +
                                 std::to_string(own.value));
  }
  const auto newest = std::to_string(newer.back().value);
  return bad("timelines",
             "timeline " + newest + " is archived, newer than this server's own, " +
                 std::to_string(own.value) + ": another server archives under this name",
             "A restore follows timeline " + newest +
                 ". If that is a copy's, stop its archiving, then: walvault timeline abandon " +
                 newest + ". If this server was left, check the one that is in its place.");
}

Finding check_no_archiving(const WalArchive& archive, TimelineId own) {
  const auto list = list_backups(archive.repository(), archive.identity().name);
  if (!is_archived_between_backups({archive, list.backups}, own)) {
    return bad("archiving", "not tried: the server does not archive", "");
  }
  return bad("archiving",
             "the server goes on with the archived history and archives nothing: what is committed "
             "behind its backups cannot be restored",
             "If it took the original's place: walvault archiving keep --pgdata DIR on its host, "
             "then restart it. If it is a copy: give it a name of its own (walvault cluster add).");
}

void check_archive(const WalArchive& archive, std::vector<Finding>& findings) {
  const auto& identity = archive.identity();
  auto list = list_backups(archive.repository(), identity.name);
  for (const auto& key : list.damaged) {
    findings.push_back(bad("backups", "the backup " + key + " is damaged", ""));
  }
  std::erase_if(list.backups, [&](const BackupInfo& backup) {
    return backup.identity_number != identity.number;
  });
  if (list.backups.empty()) {
    findings.push_back(
        warning("backups", "there is none", "walvault backup --cluster " + identity.name));
    return;
  }
  const auto faults = BackupConditions(archive.repository(), BackupConditions::Look::at_records)
                          .faults_of(list.backups);
  for (const auto& [id, fault] : faults) {
    const auto what = id + " cannot be restored whole: " + fault.why;
    findings.push_back(id == list.backups.back().id
                           ? bad("backups", what, "Take a new backup.")
                           : warning("backups", what, "walvault verify says what is lost."));
  }
  list.backups = without(std::move(list.backups), faults);
  if (list.backups.empty()) return;
  const auto& newest = list.backups.back();
  findings.push_back(good("backups", std::to_string(list.backups.size()) + ", the newest is " +
                                         newest.id + ", " + to_local_text(newest.stop_time)));
  // Only what follows the newest backup can still be mended by another one.
  const ArchiveMoment now = archive.at_this_moment(true);
  // Along a single timeline nothing but a gap is in the way.
  if (now.timelines().size() > 1) {
    const auto refusal = why_no_whole_restore({now, list.backups});
    findings.push_back(
        refusal ? bad("restore", refusal->message() + ": " + refusal->detail(), refusal->hint())
                : good("restore", "without a target it is known which timeline is meant"));
  }
  const auto moments = recoverable_moments({now, list.backups});
  // What lies before it, no restore of what is new has to pass.
  for (const auto& change : moments.archiver_changes) {
    if (change.segment.start(identity.geometry) < newest.start) continue;
    findings.push_back(
        warning("archiver", describe(change, identity.geometry),
                "If the server was moved there, take a new backup. If that is a copy's, stop its "
                "archiving: walvault archiving off --pgdata DIR"));
  }
  const auto gap = std::ranges::find_if(moments.gaps, [&](const WalGap& each) {
    return each.state == GapState::open && each.to > newest.start &&
           each.timeline.timeline >= newest.timeline;
  });
  if (gap == moments.gaps.end()) {
    findings.push_back(good("gaps", "none since the newest backup"));
    return;
  }
  const auto where = gap->from.text() + " to " + gap->to.text() + " of timeline " +
                     std::to_string(gap->timeline.timeline.value);
  findings.push_back(
      gap->damage.empty()
          ? bad("gaps",
                "WAL from " + where + " is not archived: moments after it cannot be restored",
                "Archive it from pg_wal if it is still there (check --repair), and take a new "
                "backup.")
          : bad("gaps", "WAL from " + where + " cannot be replayed: " + gap->damage,
                "Take a new backup."));
}

}  // namespace walvault
