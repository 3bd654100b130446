#include "catalog/recovery/recovery_window.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "catalog/recovery/recovery_plan.h"
#include "catalog/wal/wal_chain.h"
#include "catalog/wal/wal_stretch.h"

namespace walvault {
namespace {

class Survey {
 public:
  explicit Survey(const ClusterView& cluster)
      : archive_(cluster.archive),
        backups_(cluster.backups),
        geometry_(cluster.archive.identity().geometry) {
    for (const auto& branch : archive_.branches()) {
      try {
        courses_.push_back(course_of(archive_, branch));
      } catch (const Error& error) {
        // No recovery gets onto it, and all others are as they are.
        if (error.kind() != ErrorKind::corrupt) throw;
        add_lost(branch, error.message());
      }
    }
  }

  RecoverableMoments run() {
    for (const auto& course : courses_) {
      find_windows(course);
      find_gaps(course);
    }
    accept_gaps();
    return std::move(found_);
  }

 private:
  void find_windows(const HistoryCourse& course) {
    Lsn covered;  // backups that start before it lie in a window already listed
    for (const auto& backup : backups_) {
      if (backup.identity_number != archive_.identity().number ||
          !lies_on(course.archive, backup, course.history) || backup.start < covered) {
        continue;
      }
      const auto stretch = wal_from(course.archive, course.history, backup.start);
      const auto chain = prove_chain(course.archive, stretch, [](const ChainSegment&) {});
      for (const auto& change : chain.archiver_changes) add(change);
      const bool whole = chain.broken.empty();
      if (!whole) add_damage(course, chain);
      const auto end = whole ? stretch.end : chain.end;
      if (end < backup.stop) continue;
      covered = end;
      if (is_part_of_another(course, backup, chain.begin)) continue;
      auto latest_time = std::max(chain.frontier, backup.stop_time);
      if (whole) latest_time = std::max(latest_time, stretch.until);
      found_.windows.push_back(
          {.timeline = course.branch,
           .earliest_time = backup.stop_time,
           .latest_time = latest_time,
           .last_transaction = chain.has_ends ? std::optional(chain.until) : std::nullopt,
           .earliest = backup.stop,
           .latest = end});
    }
  }

  // A window that has nothing which a descendant's has not is part of that one.
  [[nodiscard]] bool is_part_of_another(const HistoryCourse& course, const BackupInfo& backup,
                                        Lsn last_record) const {
    return std::ranges::any_of(courses_, [&](const HistoryCourse& other) {
      const auto leaves = other.history.leaves(course.branch.timeline);
      return leaves && other.archive.branch_of(course.branch.timeline) == course.branch.branch &&
             backup.stop <= *leaves && last_record < *leaves;
    });
  }

  // Where a chain breaks is where it does on every course that goes through.
  void add_damage(const HistoryCourse& course, const WalChain& chain) {
    const auto& segment = chain.broken_in;
    const TimelineBranch timeline{.timeline = segment.timeline,
                                  .branch = course.archive.branch_of(segment.timeline)};
    add({.timeline = timeline,
         .from = std::max(chain.end, segment.start(geometry_)),
         .to = segment.end(geometry_),
         .damage = chain.broken,
         .is_minimal = chain.is_minimal});
  }

  void add(WalGap gap) {
    const bool known = std::ranges::any_of(found_.gaps, [&](const WalGap& each) {
      return each.timeline == gap.timeline && each.from == gap.from && each.to == gap.to;
    });
    if (!known) found_.gaps.push_back(std::move(gap));
  }

  void add(const ArchiverChange& change) {
    auto& known = found_.archiver_changes;
    const auto it = std::ranges::lower_bound(known, change.segment, {}, &ArchiverChange::segment);
    if (it == known.end() || it->segment != change.segment) known.insert(it, change);
  }

  void find_gaps(const HistoryCourse& course) {
    const auto segments = course.archive.segments(course.branch.timeline);
    for (std::size_t i = 1; i < segments.size(); ++i) {
      if (segments[i].number == segments[i - 1].number + 1) continue;
      add_missing(course.branch, segments[i - 1].number + 1, segments[i].number);
    }
    if (!segments.empty()) add_end(course.archive, course.branch, segments.back().number);
    // What nobody archived of a timeline before this one left it: the segment of
    // the switch itself is one of this timeline too.
    for (const auto& ancestor : course.history.ancestors()) {
      const auto archived = course.archive.segments(ancestor.timeline);
      const auto leaves = geometry_.number_of(ancestor.end);
      if (archived.empty() || segments.empty() || archived.back().number + 1 >= leaves) continue;
      add_missing(
          {.timeline = ancestor.timeline, .branch = course.archive.branch_of(ancestor.timeline)},
          archived.back().number + 1, std::min(leaves, segments.front().number));
    }
    if (course.history.ancestors().empty() || segments.empty()) return;
    // From the segment of the switch to the first one of this timeline.
    const auto& parent = course.history.ancestors().back();
    if (course.archive.segments(parent.timeline).empty()) return;
    add_missing(course.branch, geometry_.number_of(parent.end), segments.front().number);
  }

  void add_end(const WalArchive& archive, TimelineBranch branch, std::uint64_t number) {
    const SegmentName last{.timeline = branch.timeline, .number = number};
    found_.ends.push_back({.timeline = branch,
                           .segment = last,
                           .modified = archive.last_written(archive.key_of(last.text(geometry_)))});
  }

  // A timeline whose history file cannot be read.
  void add_lost(TimelineBranch branch, const std::string& why) {
    const auto view = archive_.view_of(branch);
    const auto segments = view.segments(branch.timeline);
    if (segments.empty()) return;
    add_end(view, branch, segments.back().number);
    add({.timeline = branch,
         .from = geometry_.start_of(segments.front().number),
         .to = geometry_.start_of(segments.back().number + 1),
         .damage = why});
  }

  // Segments from `first` to before `behind`.
  void add_missing(TimelineBranch timeline, std::uint64_t first, std::uint64_t behind) {
    if (first >= behind) return;
    add({.timeline = timeline,
         .from = geometry_.start_of(first),
         .to = geometry_.start_of(behind),
         .damage = {}});
  }

  void accept_gaps() {
    const auto accepted = list_accepted_gaps(archive_.repository(), archive_.identity());
    auto expired = accepted;
    std::erase_if(expired, [](const AcceptedGap& each) { return !each.is_expired(); });
    for (auto& gap : found_.gaps) {
      // A segment that is there has not expired, whatever is the matter with it.
      if (gap.damage.empty() && covers(expired, gap.timeline, gap.from, gap.to)) {
        gap.state = GapState::expired;
      } else if (covers(accepted, gap.timeline, gap.from, gap.to)) {
        gap.state = GapState::accepted;
      }
    }
    std::ranges::sort(found_.gaps, {},
                      [](const WalGap& gap) { return std::tuple(gap.timeline, gap.from); });
  }

  const WalArchive& archive_;
  const std::vector<BackupInfo>& backups_;
  const WalGeometry geometry_;
  std::vector<HistoryCourse> courses_;
  RecoverableMoments found_;
};

}  // namespace

RecoverableMoments recoverable_moments(const ClusterView& cluster) { return Survey(cluster).run(); }

}  // namespace walvault
