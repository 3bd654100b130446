#include "restore/wal_on_the_way.h"

#include "base/error.h"
#include "catalog/wal/wal_check.h"

namespace walvault {
namespace {

// Segments that PostgreSQL may read ahead of what it replays: half a megabyte of
// records, of a server that switches often.
constexpr std::uint64_t read_ahead_max = 64;

// The number of the last segment that replay has to read.
std::uint64_t last_needed(const WalArchive& view, const ProvedPlan& proved, bool standby) {
  const auto& plan = proved.plan;
  const auto geometry = view.identity().geometry;
  if (standby || plan.target.kind == TargetKind::immediate) {
    return SegmentName::before(plan.timeline, plan.backup.stop, geometry).number;
  }
  const auto end = SegmentName::before(plan.timeline, plan.wal.end, geometry).number;
  if (!proved.stop.lsn) return end;
  // The record at which it stops, or the first one behind that position, may end
  // in a later segment.
  auto number = geometry.number_of(*proved.stop.lsn);
  for (; number < end; ++number) {
    const auto key = key_in_stretch(view, plan.wal, number);
    const auto chain =
        key ? view.find_chain_summary({.timeline = {}, .number = number}, *key) : std::nullopt;
    if (chain && chain->summary.last >= *proved.stop.lsn) break;
  }
  return number;
}

}  // namespace

bool expect_readable(const WalArchive& archive, const ProvedPlan& proved, unsigned jobs,
                     bool standby, const std::function<void()>& check_cancelled) {
  const auto& plan = proved.plan;
  const auto view = archive.with(plan.branches);
  const auto last_read = last_needed(view, proved, standby);
  const auto damaged = find_unreadable(view, plan.wal, 0, last_read, jobs, check_cancelled);
  if (!damaged) {
    return !find_unreadable(view, plan.wal, last_read + 1, last_read + read_ahead_max, jobs,
                            check_cancelled);
  }
  const auto geometry = archive.identity().geometry;
  // The last record that lies wholly before it.
  Lsn last;
  const auto number = damaged->name.number - 1;
  if (const auto key = key_in_stretch(view, plan.wal, number)) {
    const auto before = view.find_chain_summary({.timeline = {}, .number = number}, *key);
    if (before) last = before->summary.last;
  }
  throw Error(ErrorKind::unreachable_target, "the archived WAL is damaged on the way to the target",
              "Segment " + damaged->name.text(geometry) + ": " + damaged->why + ".",
              (last >= plan.backup.stop
                   ? "The last position that can be reached is --to-lsn " + last.text() + "."
                   : "Choose another backup with --backup.") +
                  std::string(" Or put a good copy of that segment in its place."));
}

}  // namespace walvault
