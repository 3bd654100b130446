#include "catalog/recovery/target_resolution.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/format.h"
#include "catalog/wal/transaction_ends.h"

namespace walvault {
namespace {

constexpr std::size_t names_shown_max = 5;
// File times come from a coarser clock than commit times.
constexpr std::chrono::seconds mtime_slack{1};

struct Match {
  Lsn lsn;
  TransactionRecord transaction;
};

class Resolver {
 public:
  Resolver(const ClusterView& cluster, const RecoveryPlan& plan, RecoveryPurpose purpose)
      : archive_(cluster.archive), plan_(plan), backups_(cluster.backups), purpose_(purpose) {}

  ProvedPlan resolve() {
    const auto& target = plan_.target;
    if (purpose_ == RecoveryPurpose::standby) {
      reach_consistency();
    } else {
      switch (target.kind) {
        case TargetKind::immediate: reach_consistency(); break;
        case TargetKind::latest: reach_end(); break;
        case TargetKind::lsn: find_position(); break;
        case TargetKind::time: find_time(); break;
        case TargetKind::xid: find_transaction(); break;
        case TargetKind::name: find_restore_point(); break;
      }
    }
    return {.plan = plan_, .stop = stop_, .chain = std::move(chain_)};
  }

 private:
  // On behind the stop, too: where the chain breaks there, replay may not read
  // ahead.
  void walk(const std::function<void(const ChainSegment&)>& each) {
    chain_ = prove_chain(archive_, plan_.wal, each);
  }

  [[nodiscard]] std::string segment_text(const SegmentName& name) const {
    return name.text(archive_.identity().geometry);
  }

  [[nodiscard]] std::string nearest() const {
    if (chain_.begin <= plan_.backup.stop) return "Choose another backup with --backup.";
    return "The last position that can be reached is --to-lsn " + chain_.begin.text() + ".";
  }

  [[nodiscard]] Error broken() const {
    const auto next = next_moment({archive_, backups_}, plan_,
                                  chain_.broken_in.end(archive_.identity().geometry));
    if (chain_.is_minimal) {
      return {ErrorKind::unreachable_target,
              "the WAL on the way to the target was written with wal_level = minimal",
              "Segment " + segment_text(chain_.broken_in) + ": " + chain_.broken + ". " +
                  proved_until(),
              nearest() + next};
    }
    return {
        ErrorKind::unreachable_target, "the archived WAL is damaged on the way to the target",
        "Segment " + segment_text(chain_.broken_in) + ": " + chain_.broken + ". " + proved_until(),
        nearest() + next + " Or put a good copy of that segment in its place."};
  }

  [[nodiscard]] std::string proved_until() const {
    return "Proved until " + chain_.end.text() +
           (chain_.has_ends ? ", the last transaction of " + to_rfc3339(chain_.until) : "") + ".";
  }

  [[nodiscard]] Error behind(const std::string& what) const {
    auto [evidence, hint] = describe_wal_end({archive_, backups_}, plan_);
    return {ErrorKind::unreachable_target, what,
            "Asked: " + plan_.target.asked + ". " + evidence + " " + proved_until(),
            nearest() + " " + hint};
  }

  void reach_consistency() {
    bool reached = false;
    walk([&](const ChainSegment& segment) { reached |= segment.summary.end >= plan_.backup.stop; });
    if (!reached) throw inconsistent();
    // PostgreSQL looks whether it is consistent when it sees the next record. Where there is none
    // it has to stop behind the last one.
    const bool ends_there = chain_.end <= plan_.backup.stop;
    if (ends_there && purpose_ == RecoveryPurpose::target) stop_.lsn = chain_.begin;
  }

  [[nodiscard]] Error inconsistent() const {
    if (!chain_.broken.empty()) return broken();
    return {ErrorKind::unreachable_target,
            "the archived WAL ends before backup " + plan_.backup.id + " is consistent",
            "It needs WAL up to " + plan_.backup.stop.text() + "; proved is up to " +
                chain_.end.text() + ".",
            "Choose another backup with --backup."};
  }

  void reach_end() {
    walk([](const ChainSegment&) {});
    if (!chain_.broken.empty()) throw broken();
    if (chain_.end < plan_.backup.stop) throw inconsistent();
    // Of the newest timeline nothing is archived, and its parent may go on, into another history.
    const auto last = plan_.wal.partial.value_or(plan_.wal.last).timeline;
    if (last != plan_.timeline) stop_.lsn = chain_.begin;
  }

  // The first record at or behind the position has to be there.
  void find_position() {
    bool found = false;
    walk([&](const ChainSegment& segment) { found |= segment.summary.last >= plan_.target.lsn; });
    stop_.lsn = plan_.target.lsn;
    stop_.inclusive = plan_.target.inclusive;
    if (found || chain_.begin >= plan_.target.lsn) return stop_at_the_record();
    if (!chain_.broken.empty()) throw broken();
    throw behind("the target lies after the last archived record");
  }

  // A position before a switch of timelines may be one behind which the ancestor has no
  // record that counts: which timeline the stop lies on is told by the record's own
  // position.
  void stop_at_the_record() {
    const auto geometry = archive_.identity().geometry;
    const auto history = archive_.history(plan_.timeline);
    if (history.at(*stop_.lsn) == plan_.timeline) return;
    for (auto number = geometry.number_of(*stop_.lsn);; ++number) {
      const auto key = key_in_stretch(archive_, plan_.wal, number);
      if (!key) return;
      const auto record = first_record_from(
          archive_, source_of({.timeline = plan_.timeline, .number = number}, *key), *stop_.lsn);
      if (!record) continue;
      stop_.lsn = record;
      return;
    }
  }

  // PostgreSQL stops before the first end of a transaction whose time is past
  // the target, in the order of the WAL from the backup's checkpoint on.
  void find_time() {
    const auto& target = plan_.target;
    const auto is_past = [&](Timestamp time) {
      return target.inclusive ? time > target.time : time >= target.time;
    };
    const auto match = find_end(
        [&](const WalSummary& summary) {
          return summary.commits + summary.aborts > 0 && is_past(summary.latest);
        },
        [&](const TransactionGlimpse& end) { return is_past(end.time); },
        [&](const TransactionRecord& end) { return is_past(end.time); });
    if (match) {
      stop_at(*match, false);
      stop_.time_proved = true;
      return;
    }
    if (!chain_.broken.empty()) throw broken();
    if (plan_.wal.gap_follows) throw behind("the target lies where WAL is missing");
    const auto last_asked = target.time - std::chrono::microseconds{target.inclusive ? 0 : 1};
    if (last_asked > std::max(plan_.wal.until + mtime_slack, chain_.frontier)) {
      throw behind("the target lies after the archived WAL");
    }
    if (chain_.end < plan_.backup.stop) throw inconsistent();
    if (chain_.begin < plan_.backup.stop) {
      // Nothing but the backup itself: it is consistent where its WAL ends.
      return;
    }
    stop_.lsn = chain_.begin;
    stop_.inclusive = true;
  }

  void find_transaction() {
    // The number that PostgreSQL shows has an epoch above the 32 bits.
    const auto xid = static_cast<std::uint32_t>(plan_.target.xid);
    const auto is_it = [&](const TransactionRecord& end) {
      return end.xid == xid ||
             std::ranges::find(end.subtransactions, xid) != end.subtransactions.end();
    };
    const auto match = find_end(
        [&](const WalSummary& summary) {
          return summary.first_xid != 0 &&
                 xid - summary.first_xid <= summary.last_xid - summary.first_xid;
        },
        // Its subtransactions are not in the glimpse.
        [](const TransactionGlimpse&) { return true; }, is_it);
    if (!match) {
      if (!chain_.broken.empty()) throw broken();
      throw behind("no such transaction ends in the archived WAL");
    }
    stop_at(*match, plan_.target.inclusive);
  }

  void find_restore_point() {
    std::vector<RestorePoint> points;
    std::vector<std::string> others;
    const auto take = [&](const RestorePoint& point) {
      if (point.lsn < plan_.backup.start || point.lsn >= behind_all()) return;
      if (point.name == plan_.target.name) {
        points.push_back(point);
      } else {
        others.push_back("\"" + point.name + "\" of " + to_rfc3339(point.time));
      }
    };
    walk([&](const ChainSegment& segment) {
      if (segment.crossing && segment.crossing->restore_point) {
        take(*segment.crossing->restore_point);
      }
      for (const auto& point : all_points(segment)) take(point);
    });
    if (points.size() > 1) {
      std::string list;
      for (const auto& point : points) {
        list += (list.empty() ? "" : "; ") + to_rfc3339(point.time) + " at " + point.lsn.text();
      }
      throw Error(ErrorKind::usage,
                  "there are " + std::to_string(points.size()) + " restore points named \"" +
                      plan_.target.name + "\"",
                  list + ".", "Choose one by its position: --to-lsn " + points.back().lsn.text());
    }
    if (points.empty()) {
      if (!chain_.broken.empty()) throw broken();
      auto error = behind("no restore point of that name is in the archived WAL");
      const auto shown = std::min(others.size(), names_shown_max);
      const auto known = list_of(std::span(others).last(shown), std::identity());
      throw Error(error.kind(), error.message(), error.detail(),
                  known.empty() ? error.hint() : "The last ones that are: " + known + ".");
    }
    stop_.lsn = points.front().lsn;
    stop_.inclusive = true;
  }

  // A summary's list ends where it is full; then the WAL itself is read.
  [[nodiscard]] std::vector<RestorePoint> all_points(const ChainSegment& segment) const {
    const auto& listed = segment.summary.restore_points;
    if (listed.size() < wal_summary_list_max) return listed;
    auto whole =
        archive_.make_summary(segment.key, {.list_max = std::numeric_limits<std::size_t>::max()});
    if (!whole) return listed;
    return std::move(whole->restore_points);
  }

  void stop_at(const Match& match, bool inclusive) {
    stop_.lsn = match.lsn;
    stop_.inclusive = inclusive;
    stop_.transaction = TransactionGlimpse{
        .end = match.transaction.end, .time = match.transaction.time, .xid = match.transaction.xid};
  }

  // The first record that ends a transaction and is meant: looked for in the
  // segments that may hold one, in order.
  std::optional<Match> find_end(const std::function<bool(const WalSummary&)>& may_hold,
                                const std::function<bool(const TransactionGlimpse&)>& may_be,
                                const std::function<bool(const TransactionRecord&)>& is_it) {
    std::optional<Match> match;
    std::optional<ChainSegment> previous;
    walk([&](const ChainSegment& segment) {
      if (match) return;
      if (segment.crossing && segment.crossing->end && may_be(*segment.crossing->end)) {
        match = search(*previous, is_it);
      }
      // What was not understood may be what is meant.
      if (!match && (may_hold(segment.summary) || segment.summary.not_understood > 0)) {
        match = search(segment, is_it);
      }
      if (segment.summary.tail) previous = segment;
    });
    // The WAL itself was searched, and no recovery gets there.
    if (match && chain_.is_minimal && match->lsn >= chain_.end) match.reset();
    return match;
  }

  [[nodiscard]] SegmentSource source_of(const SegmentName& name, const std::string& key) const {
    return {
        .name = name, .key = key, .timeline = plan_.timeline, .key_behind = [this](auto number) {
          return key_in_stretch(archive_, plan_.wal, number);
        }};
  }

  // Of the segment with the last switch, the former timeline's may be all there is.
  [[nodiscard]] Lsn behind_all() const {
    return plan_.wal.switches_from == TimelineId{} ? Lsn{~std::uint64_t{0}} : plan_.wal.end;
  }

  // The first meant record that begins in a segment.
  std::optional<Match> search(const ChainSegment& segment,
                              const std::function<bool(const TransactionRecord&)>& is_it) {
    std::optional<Match> match;
    visit_transaction_ends(
        archive_, source_of(segment.name, segment.key),
        [&](Lsn start, const TransactionRecord& end) {
          if (start >= plan_.backup.start && start < behind_all() && is_it(end)) {
            match = Match{.lsn = start, .transaction = end};
          }
          return !match;
        });
    return match;
  }

  const WalArchive& archive_;
  const RecoveryPlan& plan_;
  const std::vector<BackupInfo>& backups_;
  const RecoveryPurpose purpose_;
  WalChain chain_;
  RecoveryStop stop_;
};

}  // namespace

ProvedPlan resolve(const ClusterView& cluster, const RecoveryPlan& plan, RecoveryPurpose purpose) {
  const auto view = cluster.archive.with(plan.branches);
  return Resolver({view, cluster.backups}, plan, purpose).resolve();
}

Lsn stop_position(const ProvedPlan& proved) {
  if (proved.stop.lsn) return *proved.stop.lsn;
  return proved.plan.target.kind == TargetKind::immediate ? proved.plan.backup.stop
                                                          : proved.chain.end;
}

}  // namespace walvault
