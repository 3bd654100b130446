#include "catalog/recovery_plan.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace walvault {
namespace {

using std::chrono::seconds;

// File times come from a coarser clock than commit times.
constexpr seconds mtime_slack{1};

TimelineHistory choose_history(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                               const PlanRequest& request) {
  if (request.timeline == "current") {
    return archive.history(request.backup_id ? get_backup(backups, *request.backup_id).timeline
                                             : backups.back().timeline);
  }
  const auto archived = archive.timelines();
  if (request.timeline == "latest") {
    // The newest timeline that the chosen backup, or any, can reach.
    for (auto it = archived.rbegin(); it != archived.rend(); ++it) {
      auto history = archive.history(*it);
      const bool reachable = std::ranges::any_of(backups, [&](const BackupInfo& backup) {
        return (!request.backup_id || backup.id == *request.backup_id) && lies_on(backup, history);
      });
      if (reachable) return history;
    }
    return archive.history(backups.back().timeline);
  }
  std::uint32_t number = 0;
  const auto* const end = request.timeline.data() + request.timeline.size();
  const auto [stop, failure] = std::from_chars(request.timeline.data(), end, number);
  if (failure != std::errc{} || stop != end || number == 0) {
    throw Error(ErrorKind::usage, "\"" + request.timeline + "\" is not a timeline",
                "latest, current or a number is expected.");
  }
  if (std::ranges::find(archived, TimelineId{number}) == archived.end()) {
    std::string known;
    for (const auto timeline : archived) {
      known += (known.empty() ? "" : ", ") + std::to_string(timeline.value);
    }
    throw Error(ErrorKind::not_found, "nothing of timeline " + request.timeline + " is archived",
                "Archived timelines: " + (known.empty() ? "none" : known) + ".");
  }
  return archive.history({number});
}

// What a backup has to fulfil so that replay from it can stop at the target.
bool starts_early_enough(const BackupInfo& backup, const RecoveryTarget& target) {
  switch (target.kind) {
    case TargetKind::time:
      // PostgreSQL would not refuse: it would stop at the first commit after
      // consistency and call it success.
      return target.inclusive ? backup.stop_time <= target.time : backup.stop_time < target.time;
    case TargetKind::lsn: return backup.stop <= target.lsn;
    case TargetKind::xid:
      // Assigned after the backup's checkpoint, so it ended after it too. The
      // asked number has 32 bits; it is the latest such one before the wrap.
      return static_cast<std::uint32_t>(target.xid) >=
                 static_cast<std::uint32_t>(backup.control.next_full_xid) ||
             target.xid >= backup.control.next_full_xid;
    case TargetKind::latest:
    case TargetKind::name:
    case TargetKind::immediate: return true;
  }
  return false;
}

BackupInfo choose_backup(std::vector<BackupInfo> candidates, const RecoveryTarget& target,
                         const TimelineHistory& history) {
  std::erase_if(candidates, [&](const BackupInfo& backup) { return !lies_on(backup, history); });
  if (candidates.empty()) {
    throw Error(ErrorKind::unreachable_target,
                "no backup leads to timeline " + std::to_string(history.timeline().value), {},
                "Choose another with --timeline; walvault info shows the backups.");
  }
  const auto earliest = candidates.front();
  std::erase_if(candidates,
                [&](const BackupInfo& backup) { return !starts_early_enough(backup, target); });
  if (candidates.empty()) {
    const bool by_time = target.kind == TargetKind::time;
    throw Error(
        ErrorKind::unreachable_target, "the target lies before the end of the backup to start from",
        "Asked: " + target.asked + ". Backup " + earliest.id + " is consistent from " +
            earliest.stop.text() + ", " + to_rfc3339(earliest.stop_time) + ", on.",
        by_time
            ? "The earliest moment is --to '" + to_rfc3339(earliest.stop_time + seconds{1}) + "'."
            : "The earliest position is --to-lsn " + earliest.stop.text() + ".");
  }
  // Where a named point lies is not known: from the oldest backup it is found
  // wherever it is.
  return target.kind == TargetKind::name ? candidates.front() : candidates.back();
}

void check_wal(const RecoveryPlan& plan, const WalArchive& archive) {
  const auto segment_bytes = archive.identity().segment_bytes;
  const auto& wal = plan.wal;
  const auto missing = SegmentName::containing(plan.timeline, wal.end, segment_bytes);
  if (wal.end < plan.backup.stop) {
    throw Error(ErrorKind::unreachable_target,
                "WAL that backup " + plan.backup.id + " needs is not in the repository",
                "It needs " + plan.backup.start.text() + " to " + plan.backup.stop.text() +
                    "; segment " + missing.text(segment_bytes) + " is missing.",
                "Choose another backup with --backup.");
  }
  if (plan.timeline.value > 1 && !archive.find_history(plan.timeline)) {
    throw Error(
        ErrorKind::unreachable_target,
        "the history file of timeline " + std::to_string(plan.timeline.value) + " is not archived",
        "PostgreSQL does not recover onto a timeline without it.",
        "Archive " + history_file_name(plan.timeline) +
            " from pg_wal of the server that is on this timeline, or choose another with "
            "--timeline.");
  }
  const auto& target = plan.target;
  std::string evidence = "Archived without a gap: until " + wal.end.text();
  if (wal.segments > 0) evidence += ", last written to at " + to_rfc3339(wal.until);
  evidence += ".";
  std::string hint = "Leave the target out to get all there is.";
  if (wal.gap_follows) {
    evidence += " Segment " + missing.text(segment_bytes) + " is missing, later ones are there.";
    hint =
        "Look for that segment on the old server and archive it, or choose a target before it, "
        "with --to or --to-lsn.";
  } else if (wal.switches_from != TimelineId{}) {
    evidence += " The segment with the switch from timeline " +
                std::to_string(wal.switches_from.value) + " to " +
                std::to_string(plan.timeline.value) + " is archived only as the former wrote it.";
    hint = "Archive that segment of timeline " + std::to_string(plan.timeline.value) +
           ", or follow the old timeline with --timeline " +
           std::to_string(wal.switches_from.value) + ".";
  } else if (target.kind == TargetKind::time || target.kind == TargetKind::lsn) {
    hint =
        "Archive more (SELECT pg_switch_wal() on the server), or leave the target out to get "
        "all there is.";
  }
  const auto refuse = [&](const std::string& why) {
    return Error(ErrorKind::unreachable_target, why, evidence, hint);
  };
  const bool ends_in_a_hole = wal.gap_follows || wal.switches_from != TimelineId{};
  switch (target.kind) {
    case TargetKind::immediate: return;
    case TargetKind::lsn:
      if (target.lsn >= wal.end) throw refuse("the target lies behind the archived WAL");
      return;
    case TargetKind::time:
      if (target.time > wal.until + mtime_slack) {
        throw refuse("the target lies behind the archived WAL");
      }
      // How early in its last segment a commit with a later time stands is not
      // known, and behind the switch there is none of this history.
      if (wal.switches_from != TimelineId{}) {
        throw refuse("the archived WAL ends at a change of timeline");
      }
      return;
    case TargetKind::latest:
    case TargetKind::xid:
    case TargetKind::name:
      if (ends_in_a_hole) throw refuse("the archived WAL has a gap on the way to the target");
      return;
  }
}

}  // namespace

RecoveryPlan plan_recovery(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                           const PlanRequest& request) {
  auto candidates = backups;
  std::erase_if(candidates, [&](const BackupInfo& backup) {
    return backup.identity_number != archive.identity().number;
  });
  if (candidates.empty()) {
    throw Error(ErrorKind::not_found,
                "there is no backup of cluster " + archive.identity().name + " to restore", {},
                "Take one with: walvault backup --cluster " + archive.identity().name);
  }
  const auto history = choose_history(archive, candidates, request);
  if (request.backup_id) candidates = {get_backup(candidates, *request.backup_id)};

  RecoveryPlan plan;
  plan.backup = choose_backup(std::move(candidates), request.target, history);
  plan.timeline = history.timeline();
  plan.target = request.target;
  plan.wal = wal_from(archive, history, plan.backup.start);
  check_wal(plan, archive);
  return plan;
}

}  // namespace walvault
