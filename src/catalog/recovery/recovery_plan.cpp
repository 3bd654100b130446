#include "catalog/recovery/recovery_plan.h"
#include "catalog/records/backup_list.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/format.h"
#include "catalog/recovery/left_timelines.h"

namespace walvault {
namespace {

using std::chrono::seconds;

// The branch of a timeline that its id alone means.
TimelineBranch newest_branch(const WalArchive& archive, TimelineId timeline) {
  return {.timeline = timeline, .branch = archive.branch_of(timeline)};
}

// A number, or a number and a branch.
TimelineBranch parse_timeline(const WalArchive& archive, const std::string& text) {
  if (const auto branch = TimelineBranch::parse(text)) return *branch;
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || stop != end || number == 0) {
    throw Error(ErrorKind::usage, "\"" + text + "\" is not a timeline",
                "latest, current or a number is expected.");
  }
  return newest_branch(archive, {number});
}

// Without it nobody knows where a timeline comes from, and to pass it over would drop what was
// committed on it without a word.
Error without_history(TimelineId timeline, const std::string& what, const std::string& evidence,
                      const std::string& remedy) {
  return {ErrorKind::unreachable_target, what,
          evidence + "It is the newest that nobody left; where it comes from is not known.",
          remedy +
              " To restore without it: --timeline N with an older one, or walvault timeline "
              "abandon " +
              std::to_string(timeline.value) + "."};
}

Error missing_history(TimelineId timeline) {
  return without_history(
      timeline,
      "timeline " + std::to_string(timeline.value) + " is archived without its history file", "",
      "Archive " + history_file_name(timeline) +
          " from pg_wal of the server that is on it: walvault check --repair does that, and so "
          "does walvault backup.");
}

Error damaged_history(TimelineId timeline, const std::string& key, const Error& error) {
  return without_history(
      timeline, "the history file of timeline " + std::to_string(timeline.value) + " is damaged",
      error.message() + ". ",
      "Put the object " + key +
          " of another repository in its place, or remove it and archive the file again, from "
          "pg_wal of the server that is on the timeline: walvault check --repair.");
}

// That of the newest timeline, of those that were left or of the others, which the chosen backup,
// or any, can reach.
std::optional<HistoryCourse> find_newest_course(const ClusterView& cluster,
                                                const PlanRequest& request,
                                                const LeftTimelines& left, bool are_left) {
  auto archived = cluster.archive.timelines();
  std::ranges::reverse(archived);
  for (const auto timeline : archived) {
    const auto branch = newest_branch(cluster.archive, timeline);
    if ((left.find(branch) != nullptr) != are_left) continue;
    const auto key = cluster.archive.key_of(history_file_name(timeline));
    std::optional<HistoryCourse> course;
    try {
      const bool needs_history = !are_left && timeline.value > 1;
      if (needs_history && !cluster.archive.find_header(key)) throw missing_history(timeline);
      course.emplace(course_of(cluster.archive, branch));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      if (are_left) continue;
      throw damaged_history(timeline, key, error);
    }
    const bool reachable = std::ranges::any_of(cluster.backups, [&](const BackupInfo& backup) {
      return (!request.backup_id || backup.id == *request.backup_id) &&
             lies_on(course->archive, backup, course->history);
    });
    if (reachable) return course;
  }
  return std::nullopt;
}

// Where all were left, of the newest: whoever asks for what there is gets it all the same.
std::optional<HistoryCourse> find_newest_course(const ClusterView& cluster,
                                                const PlanRequest& request) {
  const LeftTimelines left(cluster.archive);
  auto course = find_newest_course(cluster, request, left, false);
  return course ? course : find_newest_course(cluster, request, left, true);
}

HistoryCourse choose_course(const ClusterView& cluster, const PlanRequest& request) {
  if (request.timeline == "current") {
    return course_of(cluster.archive,
                     (request.backup_id ? get_backup(cluster.backups, *request.backup_id)
                                        : cluster.backups.back())
                         .timeline_branch());
  }
  if (request.timeline == "latest") {
    if (auto newest = find_newest_course(cluster, request)) return *std::move(newest);
    return course_of(cluster.archive,
                     (request.backup_id ? get_backup(cluster.backups, *request.backup_id)
                                        : cluster.backups.back())
                         .timeline_branch());
  }
  const auto branch = parse_timeline(cluster.archive, request.timeline);
  const auto archived = cluster.archive.branches();
  if (std::ranges::find(archived, branch) == archived.end()) {
    const auto known = list_of(archived, [&](const TimelineBranch& each) {
      const bool is_newest = each == newest_branch(cluster.archive, each.timeline);
      return is_newest ? std::to_string(each.timeline.value) : each.text();
    });
    throw Error(ErrorKind::not_found, "nothing of timeline " + request.timeline + " is archived",
                "Archived timelines: " + (known.empty() ? "none" : known) + ".");
  }
  return course_of(cluster.archive, branch);
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
                         const HistoryCourse& course) {
  const auto& history = course.history;
  std::erase_if(candidates, [&](const BackupInfo& backup) {
    return !lies_on(course.archive, backup, history);
  });
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

void check_wal(const RecoveryPlan& plan, const ClusterView& cluster) {
  const auto geometry = cluster.archive.identity().geometry;
  const auto& wal = plan.wal;
  const auto missing = SegmentName::containing(plan.timeline, wal.end, geometry);
  if (wal.end < plan.backup.stop) {
    throw Error(
        ErrorKind::unreachable_target,
        "WAL that backup " + plan.backup.id + " needs is not in the repository",
        "It needs " + plan.backup.start.text() + " to " + plan.backup.stop.text() + "; segment " +
            missing.text(geometry) + " is missing.",
        "Choose another backup with --backup." + next_moment(cluster, plan, missing.end(geometry)));
  }
  if (plan.timeline.value > 1 && !cluster.archive.find_history(plan.timeline)) {
    throw Error(
        ErrorKind::unreachable_target,
        "the history file of timeline " + std::to_string(plan.timeline.value) + " is not archived",
        "PostgreSQL does not recover onto a timeline without it.",
        "Archive " + history_file_name(plan.timeline) +
            " from pg_wal of the server that is on this timeline, or choose another with "
            "--timeline.");
  }
  const auto refuse = [&](const std::string& why) {
    auto [evidence, hint] = describe_wal_end(cluster, plan);
    return Error(ErrorKind::unreachable_target, why, std::move(evidence), std::move(hint));
  };
  const auto kind = plan.target.kind;
  if (kind == TargetKind::lsn && plan.target.lsn >= wal.end) {
    throw refuse("the target lies after the archived WAL");
  }
  // Where the records of the other kinds lie, the WAL itself tells.
  if (kind == TargetKind::latest && wal.gap_follows) {
    throw refuse("the archived WAL has a gap on the way to the target");
  }
}

}  // namespace

std::string next_moment(const ClusterView& cluster, const RecoveryPlan& plan, Lsn from) {
  const auto history = cluster.archive.history(plan.timeline);
  const BackupInfo* next = nullptr;
  for (const auto& backup : cluster.backups) {
    if (backup.identity_number == cluster.archive.identity().number && backup.start >= from &&
        lies_on(cluster.archive, backup, history) &&
        (next == nullptr || backup.stop < next->stop)) {
      next = &backup;
    }
  }
  if (next == nullptr) return {};
  return " The next moment that needs none of it is the end of backup " + next->id + ", " +
         to_rfc3339(next->stop_time) + ": --to-lsn " + next->stop.text() + ".";
}

WalEnd describe_wal_end(const ClusterView& cluster, const RecoveryPlan& plan) {
  const auto& wal = plan.wal;
  const auto geometry = cluster.archive.identity().geometry;
  const auto missing = SegmentName::containing(plan.timeline, wal.end, geometry);
  WalEnd end{.evidence = "Archived without a gap: until " + wal.end.text(),
             .hint = "Leave the target out to get all there is."};
  if (wal.segments > 0) end.evidence += ", last written to at " + to_rfc3339(wal.until);
  end.evidence += ".";
  if (wal.gap_follows) {
    end.evidence += " Segment " + missing.text(geometry) + " is missing, later ones are there.";
    end.hint =
        "Look for that segment on the old server and archive it, or choose a target before it, "
        "with --to or --to-lsn." +
        next_moment(cluster, plan, missing.end(geometry));
  } else if (wal.switches_from != TimelineId{}) {
    const auto from = std::to_string(wal.switches_from.value);
    const auto to = std::to_string(plan.timeline.value);
    end.evidence += " There timeline " + from + " was left for timeline " + to +
                    ", of which nothing is archived behind that.";
    end.hint = "Archive the first segment of timeline " + to +
               ", leave the target out to get all there is up to the change, or follow the old "
               "timeline with --timeline " +
               from + ".";
  } else if (plan.target.kind == TargetKind::time || plan.target.kind == TargetKind::lsn) {
    end.hint =
        "Archive more (SELECT pg_switch_wal() on the server), or leave the target out to get "
        "all there is.";
  }
  return end;
}

ClusterIdentity choose_identity(const std::vector<ClusterIdentity>& identities,
                                const std::vector<BackupInfo>& backups,
                                const PlanRequest& request) {
  const auto has = [&](const ClusterIdentity& identity, auto&& matches) {
    return std::ranges::any_of(backups, [&](const BackupInfo& backup) {
      return backup.identity_number == identity.number && matches(backup);
    });
  };
  const auto newest_with = [&](auto&& matches) {
    const auto it = std::find_if(identities.rbegin(), identities.rend(),
                                 [&](const auto& identity) { return has(identity, matches); });
    return it == identities.rend() ? identities.back() : *it;
  };
  if (request.backup_id) {
    return newest_with([&](const BackupInfo& backup) { return backup.id == *request.backup_id; });
  }
  if (request.target.kind == TargetKind::time) {
    return newest_with(
        [&](const BackupInfo& backup) { return starts_early_enough(backup, request.target); });
  }
  return identities.back();
}

HistoryCourse course_of(const WalArchive& archive, TimelineBranch branch) {
  auto view = archive.view_of(branch);
  auto history = view.history(branch.timeline);
  return {.branch = branch, .archive = std::move(view), .history = std::move(history)};
}

HistoryCourse follow_history(const ClusterView& cluster, const std::string& timeline) {
  const auto archived = cluster.archive.timelines();
  if (archived.empty()) {
    throw Error(ErrorKind::not_found,
                "no WAL of cluster " + cluster.archive.identity().name + " is archived", {},
                "Set archive_command on the server; walvault check proves it.");
  }
  if (cluster.backups.empty() && (timeline == "latest" || timeline == "current")) {
    return course_of(cluster.archive, newest_branch(cluster.archive, archived.back()));
  }
  PlanRequest request;
  request.timeline = timeline;
  return choose_course(cluster, request);
}

RecoveryPlan choose_recovery(const ClusterView& cluster, const PlanRequest& request) {
  auto candidates = cluster.backups;
  std::erase_if(candidates, [&](const BackupInfo& backup) {
    return backup.identity_number != cluster.archive.identity().number;
  });
  if (candidates.empty()) {
    const bool has_earlier = !cluster.backups.empty();
    throw Error(ErrorKind::not_found,
                "there is no backup of cluster " + cluster.archive.identity().name + " to restore",
                has_earlier ? "Its backups are all from before it was upgraded; the newest is " +
                                  cluster.backups.back().id + "."
                            : "",
                has_earlier ? "Restore the cluster as it was before with --backup ID or --to TIME."
                            : "Take one with: walvault backup --cluster " +
                                  cluster.archive.identity().name);
  }
  const auto course = choose_course({cluster.archive, candidates}, request);
  if (request.backup_id) candidates = {get_backup(candidates, *request.backup_id)};

  RecoveryPlan plan;
  plan.backup = choose_backup(std::move(candidates), request.target, course);
  plan.timeline = course.history.timeline();
  plan.target = request.target;
  plan.wal = wal_from(course.archive, course.history, plan.backup.start);
  const auto note_branch = [&](TimelineId timeline) {
    const auto branch = newest_branch(course.archive, timeline);
    if (branch != newest_branch(cluster.archive, timeline)) plan.branches.push_back(branch);
  };
  for (const auto& ancestor : course.history.ancestors()) note_branch(ancestor.timeline);
  note_branch(plan.timeline);
  return plan;
}

RecoveryPlan plan_recovery(const ClusterView& cluster, const PlanRequest& request) {
  auto plan = choose_recovery(cluster, request);
  check_wal(plan, {cluster.archive.with(plan.branches), cluster.backups});
  return plan;
}

}  // namespace walvault
