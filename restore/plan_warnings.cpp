#include "restore/plan_warnings.h"

#include "base/format.h"
#include "catalog/recovery/left_timelines.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

// Where the plan goes along another one than was asked for, or than ends where its WAL does.
void warn_of_another_timeline(const WalArchive& archive, const ProvedPlan& proved,
                              const Reporter& reporter) {
  const auto& plan = proved.plan;
  const bool is_end = plan.target.kind == TargetKind::latest;
  const bool is_time = plan.target.kind == TargetKind::time;
  const auto own = std::to_string(plan.timeline.value);
  if (is_end && proved.asked_for != TimelineId{}) {
    reporter.warn("of timeline " + std::to_string(proved.asked_for.value) +
                  " itself nothing is archived: this ends at " + stop_position(proved).text() +
                  " of timeline " + own);
  }
  if (proved.then_on != TimelineId{}) {
    const auto then_on = std::to_string(proved.then_on.value);
    reporter.warn("at " + to_rfc3339(plan.target.time) + " the cluster was on timeline " + then_on +
                  ", and what was committed there last is not in the history that goes on. To get "
                  "that moment as it was: --timeline " +
                  then_on);
  }
  if (!is_end && (!is_time || proved.stop.time_proved)) return;
  const auto view = archive.with(plan.branches);
  if (const auto departure = find_departure_behind(view, plan.timeline, plan.wal.end)) {
    reporter.warn("timeline " + own + " went on to " + departure->at.text() + ", where timeline " +
                  std::to_string(departure->first.value) + " left it: the WAL from " +
                  plan.wal.end.text() +
                  " to there is not archived, and what was committed in it is lost");
  }
}

}  // namespace

void warn_of(const WalArchive& archive, const ProvedPlan& proved, const Reporter& reporter) {
  const auto& plan = proved.plan;
  const auto geometry = archive.identity().geometry;
  if (plan.target.kind == TargetKind::time && !proved.stop.time_proved) {
    reporter.warn("no transaction after " + to_rfc3339(plan.target.time) +
                  " is archived: replay goes to the end of the archived WAL, and whether an "
                  "earlier transaction is still to come is not known");
  }
  if (const auto& changes = proved.chain.archiver_changes; !changes.empty()) {
    reporter.warn(describe(changes.front(), geometry) +
                  (changes.size() > 1
                       ? ", and so it changed " + std::to_string(changes.size()) + " times"
                       : std::string()) +
                  ": if that is a copy's, choose a target before it");
  }
  if (plan.wal.is_partial_contradicted &&
      stop_position(proved) > plan.wal.partial->start(geometry)) {
    reporter.warn("of segment " + plan.wal.partial->text(geometry) +
                  " parts of two servers are archived, which contradict each other: this goes on "
                  "with the one that reaches further, and has nothing of the other");
  }
  warn_of_another_timeline(archive, proved, reporter);
  const LeftTimelines left(archive);
  const TimelineBranch branch{.timeline = plan.timeline,
                              .branch = archive.with(plan.branches).branch_of(plan.timeline)};
  const auto* const said = left.find_said(branch);
  if (said != nullptr && said->at < stop_position(proved)) {
    reporter.warn(
        "timeline " + std::to_string(plan.timeline.value) + " was left at " + said->at.text() +
        " on " + to_rfc3339(said->when) + " (" + said->reason + "), and this goes on behind it" +
        (left.find(branch) == nullptr ? ": of what was to follow instead, nothing is archived"
                                      : std::string()));
  }
  if (!plan.backup.damaged_pages.empty()) {
    reporter.warn("the backup " + plan.backup.id +
                  " has damaged pages that the server found when it was taken: " +
                  plan.backup.damaged_pages.front());
  }
}

}  // namespace walvault
