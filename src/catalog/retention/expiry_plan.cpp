#include "catalog/retention/expiry_plan.h"

#include <algorithm>
#include <limits>
#include <set>

#include "catalog/records/backup_list.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/recovery_plan.h"
#include "catalog/recovery/rival_timeline.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

// One identity of the cluster: what its WAL and its backups are.
class IdentityView {
 public:
  IdentityView(const Repository& repository, const ClusterIdentity& identity, bool keep_ledgers)
      : archive_(WalArchive(repository, identity).at_this_moment(keep_ledgers)) {
    for (const auto& branch : archive_.branches()) {
      courses_.push_back(course_of(archive_, branch));
    }
  }

  // A backup with a fault counts towards nothing, but where it is the only way to moments,
  // it is kept with its WAL: a fault may be mended, what is deleted is gone.
  // `doubtful` gets those that would count if what was found damaged before is right.
  void describe(const std::vector<BackupInfo>& backups, const BackupFaults& faults,
                RetentionInput& input, std::set<std::string>& doubtful) {
    const auto all = recoverable_moments({archive_, backups}).windows;
    windows_ =
        faults.empty() ? all : recoverable_moments({archive_, without(backups, faults)}).windows;
    const LeftTimelines left(archive_);
    for (const auto& course : courses_) {
      const bool is_over = course.branch.branch != archive_.branch_of(course.branch.timeline) ||
                           left.is_abandoned(course.branch);
      // They are in order.
      std::optional<RetentionStretch> last;
      for (const auto& window : all) {
        if (window.timeline != course.branch) continue;
        if (last) input.stretches.push_back(std::move(*last));
        last =
            RetentionStretch{.backups = {}, .last_written = window.latest_time, .is_over = is_over};
        for (const auto& backup : backups) {
          if (!is_mine(backup) || !lies_on(course.archive, backup, course.history) ||
              backup.stop < window.earliest || backup.stop > window.latest) {
            continue;
          }
          last->backups.insert(backup.id);
          if (!backup.is_whole()) continue;
          const auto fault = faults.find(backup.id);
          if (fault == faults.end()) {
            input.restorable.insert(backup.id);
          } else if (!fault->second.is_lost) {
            doubtful.insert(backup.id);
          }
        }
      }
      if (!last) continue;
      last->last_written = last_written(course);
      last->grew_beside = grew_beside(course);
      input.stretches.push_back(std::move(*last));
    }
    for (const auto& restored : left.still_recovering(input.now)) {
      input.stretches.push_back(recovered_by(restored));
    }
  }

  // Adds the WAL that none of the backups which stay needs, and the windows.
  void complete(ExpiryPlan& plan, bool is_newest, bool may_remove_wal) {
    if (may_remove_wal) find_unneeded(plan, is_newest);
    bool changes = false;
    for (const auto& range : plan.wal) {
      if (range.identity_number != archive_.identity().number) continue;
      archive_.forget(range.timeline, range.first, range.behind);
      changes = true;
    }
    std::vector<BackupInfo> kept;
    for (std::size_t i = 0; i < plan.backups.size(); ++i) {
      if (plan.verdicts[i].stays()) {
        if (!plan.faults.contains(plan.backups[i].id)) kept.push_back(plan.backups[i]);
      } else {
        changes |= is_mine(plan.backups[i]);
      }
    }
    auto after = changes ? recoverable_moments({archive_, kept}).windows : windows_;
    plan.windows.push_back({.identity = archive_.identity(),
                            .before = std::move(windows_),
                            .after = std::move(after)});
  }

 private:
  void find_unneeded(ExpiryPlan& plan, bool is_newest) const {
    const auto horizon = horizon_of(plan, is_newest);
    for (const auto& course : courses_) {
      const auto& branch = course.branch;
      // Which backups lead there is not known without its history file.
      if (branch.timeline.value > 1 && !course.archive.find_history(branch.timeline)) continue;
      const auto needed = needed_of(plan, branch);
      const auto view = archive_.with({branch});
      // A gap is looked for from where the branch's history has it begin.
      std::optional<std::uint64_t> stays_before;
      if (!course.history.ancestors().empty()) {
        stays_before = number_of(course.history.ancestors().back().end) - 1;
      }
      bool any_goes = false;
      // Between the segment that stays before and this one.
      const auto note_hole = [&](std::uint64_t stays) {
        if (stays_before && any_goes) {
          plan.holes.push_back({.identity_number = archive_.identity().number,
                                .timeline = branch,
                                .first = *stays_before + 1,
                                .behind = stays});
        }
        stays_before = stays;
        any_goes = false;
      };
      std::optional<WalRange> range;
      const auto end_range = [&] {
        if (range) plan.wal.push_back(*range);
        range.reset();
      };
      for (const auto& segment : view.segments(branch.timeline)) {
        const auto number = segment.number;
        if (number >= horizon || number >= needed.all_from) {
          note_hole(number);
          break;
        }
        if (std::ranges::any_of(needed.stretches, [&](const auto& stretch) {
              return stretch.first <= number && number <= stretch.second;
            })) {
          end_range();
          note_hole(number);
          continue;
        }
        any_goes = true;
        if (range && range->behind != number) end_range();
        if (!range) {
          range = WalRange{.identity_number = archive_.identity().number,
                           .timeline = branch,
                           .first = number,
                           .behind = number};
        }
        range->behind = number + 1;
        ++plan.segments;
        plan.wal_stored_bytes += segment.stored_bytes;
      }
      // Nothing stays behind what goes last, but on a timeline that left it.
      if (range) note_hole(std::max(range->behind, last_departure(branch)));
      end_range();
    }
  }

  struct Needed {
    std::uint64_t all_from = std::numeric_limits<std::uint64_t>::max();
    std::vector<std::pair<std::uint64_t, std::uint64_t>> stretches;  // first and last
  };

  [[nodiscard]] bool is_mine(const BackupInfo& backup) const {
    return backup.identity_number == archive_.identity().number;
  }

  [[nodiscard]] std::uint64_t number_of(Lsn lsn) const {
    return archive_.identity().geometry.number_of(lsn);
  }

  [[nodiscard]] std::optional<Timestamp> last_written(const HistoryCourse& course) const {
    const auto timeline = course.branch.timeline;
    const auto geometry = archive_.identity().geometry;
    const auto segments = course.archive.segments(timeline);
    SegmentName behind{.timeline = timeline, .number = 0};
    if (!segments.empty()) {
      behind.number = segments.back().number + 1;
    } else if (!course.history.ancestors().empty()) {
      behind.number = number_of(course.history.ancestors().back().end);
    }
    // The last one may not have been filled.
    if (const auto key = course.archive.find_partial_key(behind.text(geometry) + ".partial")) {
      return course.archive.last_written(*key);
    }
    const SegmentName last{.timeline = timeline, .number = behind.number - 1};
    const auto key =
        course.archive.key_of(segments.empty() ? history_file_name(timeline) : last.text(geometry));
    if (!archive_.repository().storage().find_size(key)) return Timestamp{};
    return course.archive.last_written(key);
  }

  // Whether transactions ended on it when another history that left it had begun.
  [[nodiscard]] bool grew_beside(const HistoryCourse& course) const {
    return std::ranges::any_of(courses_, [&](const HistoryCourse& other) {
      const auto leaves = other.history.leaves(course.branch.timeline);
      if (!leaves || other.archive.branch_of(course.branch.timeline) != course.branch.branch) {
        return false;
      }
      const auto began = find_begin(other.archive, other.history.at(*leaves), *leaves);
      return began && grew_after(course.archive, course.branch.timeline, *leaves, *began);
    });
  }

  // What a restore that has not ended recovers from.
  static RetentionStretch recovered_by(const LeftTimeline& restored) {
    return {.backups = {restored.backup}, .last_written = {}, .recovers_since = restored.when};
  }

  // The last segment in which another history leaves a branch.
  [[nodiscard]] std::uint64_t last_departure(TimelineBranch branch) const {
    std::uint64_t last = 0;
    for (const auto& course : courses_) {
      const auto leaves = course.history.leaves(branch.timeline);
      if (!leaves || course.archive.branch_of(branch.timeline) != branch.branch) continue;
      last = std::max(last, number_of(*leaves));
    }
    return last;
  }

  // Behind the start of the newest backup nothing goes, whatever needs it. Of an
  // identity that was upgraded all may, once there is a backup behind the upgrade.
  [[nodiscard]] std::uint64_t horizon_of(const ExpiryPlan& plan, bool is_newest) const {
    std::uint64_t horizon = 0;
    for (const auto& backup : plan.backups) {
      if (is_mine(backup)) {
        horizon = number_of(backup.start);  // they are in order
      } else if (!is_newest && backup.identity_number > archive_.identity().number) {
        return std::numeric_limits<std::uint64_t>::max();
      }
    }
    return horizon;
  }

  [[nodiscard]] Needed needed_of(const ExpiryPlan& plan, TimelineBranch branch) const {
    Needed needed;
    for (std::size_t i = 0; i < plan.backups.size(); ++i) {
      const auto& backup = plan.backups[i];
      const auto& verdict = plan.verdicts[i];
      if (!verdict.stays() || !is_mine(backup)) continue;
      const auto first = number_of(backup.start);
      if (backup.timeline_branch() == branch) {
        needed.stretches.emplace_back(first,
                                      archive_.identity().geometry.number_before(backup.stop));
      }
      const bool leads_here = std::ranges::any_of(courses_, [&](const HistoryCourse& course) {
        return (course.branch == branch ||
                (course.history.leaves(branch.timeline) &&
                 course.archive.branch_of(branch.timeline) == branch.branch)) &&
               lies_on(course.archive, backup, course.history);
      });
      if (verdict.keeps_wal && leads_here) needed.all_from = std::min(needed.all_from, first);
    }
    return needed;
  }

  ArchiveMoment archive_;
  std::vector<HistoryCourse> courses_;
  std::vector<RecoveryWindow> windows_;  // before
};

// REQUIRES: both are of the same backups.
void add_what_stays(const std::vector<BackupVerdict>& from, std::vector<BackupVerdict>& to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i].keeps_wal |= from[i].keeps_wal;
    for (const auto& reason : from[i].reasons) {
      const bool is_known = std::ranges::find(to[i].reasons, reason) != to[i].reasons.end();
      if (!is_known) to[i].reasons.push_back(reason);
    }
  }
}

}  // namespace

bool ExpiryPlan::is_empty() const {
  return wal.empty() && std::ranges::all_of(verdicts, &BackupVerdict::stays);
}

ExpiryPlan plan_expiry(const Repository& repository, const std::string& cluster,
                       const RetentionPolicy& policy, Timestamp now, bool keep_ledgers) {
  const auto identities = cluster_identities(repository, cluster);
  auto list = list_backups(repository, cluster);
  std::vector<IdentityView> views;
  RetentionInput input{.backups = list.backups,
                       .restorable = {},
                       .keeps = list_backup_keeps(repository, cluster),
                       .stretches = {},
                       .now = now};
  ExpiryPlan plan;
  plan.faults =
      BackupConditions(repository, BackupConditions::Look::at_records).faults_of(list.backups);
  std::set<std::string> doubtful;
  for (const auto& identity : identities) {
    views.emplace_back(repository, identity, keep_ledgers)
        .describe(list.backups, plan.faults, input, doubtful);
  }
  plan.verdicts = judge_backups(policy, input);
  if (!doubtful.empty()) {
    // A mark may be wrong, or be mended: what stays without it stays too.
    input.restorable.merge(doubtful);
    add_what_stays(judge_backups(policy, input), plan.verdicts);
  }
  plan.backups = std::move(list.backups);
  plan.damaged = std::move(list.damaged);
  // What a backup that cannot be read needs is not known: then all WAL stays, as it
  // does where there is no policy.
  const bool may_remove_wal = plan.damaged.empty() && policy.has_rule();
  for (std::size_t i = 0; i < views.size(); ++i) {
    views[i].complete(plan, i + 1 == views.size(), may_remove_wal);
  }
  return plan;
}

}  // namespace walvault
