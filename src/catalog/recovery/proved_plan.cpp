#include "catalog/recovery/proved_plan.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/format.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

std::string timeline_of(const WalArchive& archive, const RecoveryPlan& plan) {
  const auto view = archive.with(plan.branches);
  return TimelineBranch{.timeline = plan.timeline, .branch = view.branch_of(plan.timeline)}.text();
}

ProvedPlan plan_with(const ClusterView& cluster, const PlanRequest& request) {
  auto left = cluster.backups;
  auto pinned = request;
  while (true) {
    auto proved = resolve(cluster, plan_recovery({cluster.archive, left}, pinned), request.purpose);
    const auto& backup = proved.plan.backup;
    const auto kind = request.target.kind;
    // With "immediate", or where the history ends there, it is the last record of the backup's own
    // WAL.
    const bool may_be_last = kind == TargetKind::immediate || kind == TargetKind::latest;
    if (!may_be_last && proved.stop.lsn && *proved.stop.lsn < backup.stop) {
      // Commit times may run backwards: this one comes before the backup's end.
      const bool has_earlier = std::ranges::any_of(left, [&](const BackupInfo& each) {
        return each.identity_number == backup.identity_number && each.start < backup.start;
      });
      if (request.backup_id || !has_earlier) {
        throw Error(ErrorKind::unreachable_target,
                    "the target lies before the end of the backup to start from",
                    "Asked: " + request.target.asked + ", which is " + proved.stop.lsn->text() +
                        ". Backup " + backup.id + " is consistent from " + backup.stop.text() +
                        " on.",
                    "The earliest position is --to-lsn " + backup.stop.text() + ".");
      }
      // With fewer backups "latest" and "current" must not mean another history.
      pinned.timeline = timeline_of(cluster.archive, proved.plan);
      std::erase_if(left, [id = backup.id](const BackupInfo& each) { return each.id == id; });
      continue;
    }
    if (proved.stop.lsn && !request.backup_id &&
        (kind == TargetKind::name || kind == TargetKind::xid)) {
      // Where it lies is known by now, and so the newest backup before it.
      auto by_position = pinned;
      by_position.target.kind = TargetKind::lsn;
      by_position.target.lsn = *proved.stop.lsn;
      auto plan = plan_recovery({cluster.archive, left}, by_position);
      plan.target = request.target;
      // Its WAL is part of what was proved.
      if (plan.timeline == proved.plan.timeline && plan.backup.start >= backup.start) {
        proved.plan = std::move(plan);
      }
    }
    return proved;
  }
}

// Whether more backups might help.
bool is_without_a_way(const Error& error) {
  return error.kind() == ErrorKind::unreachable_target || error.kind() == ErrorKind::not_found;
}

Error found_twice(const RecoveryTarget& target, const std::vector<Lsn>& positions) {
  return {ErrorKind::usage,
          "there are " + std::to_string(positions.size()) + " restore points named \"" +
              target.name + "\"",
          "At " + list_of(positions, [](Lsn lsn) { return lsn.text(); }) +
              "; of the WAL between them not all can be replayed.",
          "Choose one by its position: --to-lsn " + positions.back().text()};
}

// Of a name that is in none of the stretches: the last one has what is nearest to now.
Error found_nowhere(const std::vector<Error>& refused) {
  const auto& last = refused.back();
  const auto& first = refused.front();
  if (first.message() == last.message()) return last;
  return {last.kind(), last.message(),
          last.detail() + " From earlier backups on: " + first.message() + ".", last.hint()};
}

// Where the WAL that follows a backup cannot be replayed on: damage, wal_level = minimal, a hole.
std::optional<Lsn> find_border(const RecoveryPlan& plan, const WalChain& chain) {
  if (!chain.broken.empty()) return chain.end;
  if (plan.wal.gap_follows) return plan.wal.end;
  return std::nullopt;
}

// A named point may lie anywhere: it is looked for in each stretch of WAL that can be replayed,
// from the first backup in that on. Expiry, too, leaves holes before backups that are kept longer.
ProvedPlan plan_to_name(const ClusterView& cluster, const PlanRequest& request) {
  auto left = cluster.backups;
  auto pinned = request;
  std::optional<ProvedPlan> found;
  std::vector<Lsn> positions;
  std::vector<Error> refused;
  while (true) {
    std::optional<RecoveryPlan> first;
    std::optional<Lsn> border;
    try {
      first = choose_recovery({cluster.archive, left}, pinned);
      auto proved = plan_with({cluster.archive, left}, pinned);
      border = find_border(*first, proved.chain);
      // A plan may have gone over to a later stretch: commit times and backups overlap.
      const bool is_known = std::ranges::find(positions, *proved.stop.lsn) != positions.end();
      if (!is_known) positions.push_back(*proved.stop.lsn);
      if (!found) found = std::move(proved);
    } catch (const Error& error) {
      if (!is_without_a_way(error) || (!first && !found && refused.empty())) throw;
      if (!first) break;
      refused.push_back(error);
      const auto view = cluster.archive.with(first->branches);
      border = find_border(*first, prove_chain(view, first->wal, [](const ChainSegment&) {}));
    }
    if (!border) break;
    std::erase_if(left, [&](const BackupInfo& backup) {
      return backup.identity_number == first->backup.identity_number &&
             (backup.start < *border || backup.id == first->backup.id);
    });
    // With fewer backups "latest" and "current" must not mean another history.
    pinned.timeline = timeline_of(cluster.archive, *first);
  }
  if (positions.size() > 1) throw found_twice(request.target, positions);
  if (found) return *std::move(found);
  throw found_nowhere(refused);
}

// The timeline on which a plan's stop lies.
TimelineId timeline_of_stop(const WalArchive& view, const ProvedPlan& proved) {
  const auto& plan = proved.plan;
  if (proved.stop.lsn) return view.history(plan.timeline).at(*proved.stop.lsn);
  // As soon as it is consistent; or, of a target in time, without any WAL behind that.
  if (plan.target.kind != TargetKind::latest) return plan.backup.timeline;
  // The newer timelines of its history may have nothing archived.
  return plan.wal.partial.value_or(plan.wal.last).timeline;
}

// Whether PostgreSQL, when it looks for an id for its next timeline from `timeline` upwards,
// finds each one that was used taken: the first one without a history file is the one it
// takes. With a hole among them, as a branch leaves that was set aside, it would use an id again
// that lies below the newest.
bool finds_all_used_ids(const WalArchive& view, TimelineId timeline) {
  constexpr std::uint32_t looks_max = 1000;
  std::uint32_t newest = timeline.value;
  for (const auto& branch : view.branches()) newest = std::max(newest, branch.timeline.value);
  if (newest - timeline.value > looks_max) return false;
  auto& storage = view.repository().storage();
  for (std::uint32_t id = timeline.value + 1; id <= newest; ++id) {
    if (!storage.find_size(view.key_of(history_file_name({id})))) return false;
  }
  return true;
}

// The same plan, on the ancestor on which its stop lies; as it was where that one's own
// WAL does not reach to the stop.
ProvedPlan on_the_timeline_of_the_stop(const ClusterView& cluster, const PlanRequest& request,
                                       ProvedPlan proved) {
  const auto view = cluster.archive.with(proved.plan.branches);
  const auto timeline = timeline_of_stop(view, proved);
  if (timeline == proved.plan.timeline) return proved;
  auto own = request;
  own.backup_id = proved.plan.backup.id;
  own.timeline = TimelineBranch{.timeline = timeline, .branch = view.branch_of(timeline)}.text();
  // The record that was found for a position, or at which the history ends.
  const auto kind = own.target.kind;
  if (proved.stop.lsn && (kind == TargetKind::lsn || kind == TargetKind::latest)) {
    own.target.kind = TargetKind::lsn;
    own.target.lsn = *proved.stop.lsn;
    own.target.inclusive = proved.stop.inclusive;
  }
  try {
    auto moved = plan_with(cluster, own);
    const bool is_same =
        moved.stop.lsn == proved.stop.lsn && moved.stop.inclusive == proved.stop.inclusive;
    if (!is_same || !finds_all_used_ids(cluster.archive.with(moved.plan.branches), timeline))
      return proved;
    moved.plan.target = proved.plan.target;
    moved.asked_for = proved.plan.timeline;
    moved.then_on = proved.then_on;
    return moved;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
    return proved;
  }
}

// Before a timeline began, the cluster was on the one that it came from, and may have committed
// there behind the place where that was left. Where a moment lies between what the history has of
// the one and the beginning of the next: the timeline that has more of that moment. Zero: none.
TimelineId find_timeline_then(const ClusterView& cluster, const PlanRequest& request,
                              const ProvedPlan& proved) {
  if (request.target.kind != TargetKind::time || request.timeline != "latest") return {};
  const auto view = cluster.archive.with(proved.plan.branches);
  const auto history = view.history(proved.plan.timeline);
  const auto next = proved.stop.time_proved ? history.at(*proved.stop.lsn) : history.timeline();
  TimelineSwitch left{};
  for (const auto& ancestor : history.ancestors()) {
    if (ancestor.timeline == next) break;
    left = ancestor;
  }
  if (left.timeline == TimelineId{}) return {};
  const auto began = find_begin(view, next, left.end);
  if (!began || request.target.time >= *began) return {};
  auto former = request;
  former.timeline =
      TimelineBranch{.timeline = left.timeline, .branch = view.branch_of(left.timeline)}.text();
  try {
    return stop_position(plan_with(cluster, former)) > left.end ? left.timeline : TimelineId{};
  } catch (const Error& error) {
    // It is no reason to refuse what was asked for.
    if (error.kind() == ErrorKind::internal) throw;
    return {};
  }
}

// Plans with those backups that `is_out` lets in. Of the others `passed_over` is told, and what it
// says goes into the error when nothing is left.
ProvedPlan plan_without(const ClusterView& cluster, const PlanRequest& request,
                        const std::function<bool(const BackupInfo&)>& is_out,
                        const std::function<std::string()>& passed_over) {
  const bool anywhere = request.target.kind == TargetKind::name && !request.backup_id;
  auto left = cluster.backups;
  auto pinned = request;
  while (true) {
    try {
      auto proved = (anywhere ? plan_to_name : plan_with)({cluster.archive, left}, pinned);
      const auto& backup = proved.plan.backup;
      if (request.backup_id || !is_out(backup)) {
        if (request.purpose == RecoveryPurpose::standby) return proved;
        proved.then_on = find_timeline_then({cluster.archive, left}, request, proved);
        // Then its last timeline has nothing archived.
        const bool ends_early =
            request.target.kind == TargetKind::latest && proved.stop.lsn.has_value();
        if (ends_early) proved.asked_for = proved.plan.timeline;
        return on_the_timeline_of_the_stop({cluster.archive, left}, pinned, std::move(proved));
      }
      // With fewer backups "latest" and "current" must not mean another history.
      pinned.timeline = timeline_of(cluster.archive, proved.plan);
      std::erase_if(left, [id = backup.id](const auto& each) { return each.id == id; });
    } catch (const Error& error) {
      const auto others = is_without_a_way(error) ? passed_over() : std::string();
      if (others.empty()) throw;
      throw Error(ErrorKind::corrupt,
                  "no backup from which the target can be reached can be restored whole",
                  "Passed over: " + others + ". Without these, " + error.message() + ".",
                  "Restore what is lost from a copy of the repository, or choose a target that "
                  "another backup reaches. walvault verify says what is lost, walvault extract "
                  "reads single files.");
    }
  }
}

}  // namespace

ProvedPlan plan_proved_recovery(const ClusterView& cluster, const PlanRequest& request,
                                const FaultCheck& faults) {
  std::map<std::string, BackupFault> known;
  bool any_doubtful = false;
  const auto names = [&] {
    std::string text;
    for (const auto& [id, fault] : known) {
      if (!fault.empty()) text += (text.empty() ? "" : "; ") + id + ": " + fault.why;
    }
    return text;
  };
  const auto has_fault = [&](const BackupInfo& backup) {
    const auto [it, is_new] = known.emplace(backup.id, BackupFault{});
    if (is_new) it->second = faults.of(backup);
    const auto& fault = it->second;
    if (is_new && !fault.empty()) faults.passed_over(backup, fault);
    any_doubtful |= !fault.empty() && !fault.is_lost;
    return !fault.empty();
  };
  try {
    return plan_without(cluster, request, has_fault, names);
  } catch (const Error& error) {
    // Corrupt: only those that were passed over lead there.
    const bool may_help = is_without_a_way(error) || error.kind() == ErrorKind::corrupt;
    if (!any_doubtful || !may_help) throw;
    const auto is_lost = [&](const BackupInfo& backup) {
      return has_fault(backup) && known.at(backup.id).is_lost;
    };
    auto proved = plan_without(cluster, request, is_lost, names);
    faults.tried_all_the_same(proved.plan.backup, known.at(proved.plan.backup.id));
    return proved;
  }
}

}  // namespace walvault
