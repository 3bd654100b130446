#include "catalog/recovery/target_resolution.h"

#include <algorithm>
#include <limits>
#include <map>
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
  Resolver(const WalArchive& archive, const RecoveryPlan& plan,
           const std::vector<BackupInfo>& backups, bool up_to_consistency)
      : archive_(archive), plan_(plan), backups_(backups), up_to_consistency_(up_to_consistency) {}

  ProvedPlan resolve() {
    const auto& target = plan_.target;
    if (up_to_consistency_) {
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
    return name.text(archive_.identity().segment_bytes);
  }

  [[nodiscard]] std::string nearest() const {
    if (chain_.begin <= plan_.backup.stop) return "Choose another backup with --backup.";
    return "The last position that can be reached is --to-lsn " + chain_.begin.text() + ".";
  }

  [[nodiscard]] Error broken() const {
    return {ErrorKind::unreachable_target, "the archived WAL is damaged on the way to the target",
            "Segment " + segment_text(chain_.broken_in) + ": " + chain_.broken + ". Proved until " +
                chain_.end.text() +
                (chain_.has_ends ? ", the last transaction of " + to_rfc3339(chain_.until) : "") +
                ".",
            nearest() +
                next_moment(archive_, plan_, backups_,
                            chain_.broken_in.end(archive_.identity().segment_bytes)) +
                " Or put a good copy of that segment in its place."};
  }

  [[nodiscard]] Error behind(const std::string& what) const {
    auto [evidence, hint] = describe_wal_end(archive_, plan_, backups_);
    return {
        ErrorKind::unreachable_target, what,
        "Asked: " + plan_.target.asked + ". " + evidence + " Proved until " + chain_.end.text() +
            (chain_.has_ends ? ", the last transaction of " + to_rfc3339(chain_.until) : "") + ".",
        nearest() + " " + hint};
  }

  void reach_consistency() {
    bool reached = false;
    walk([&](const ChainSegment& segment) { reached |= segment.summary.end >= plan_.backup.stop; });
    if (!reached) throw inconsistent();
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
  }

  // The first record at or behind the position has to be there.
  void find_position() {
    bool found = false;
    walk([&](const ChainSegment& segment) { found |= segment.summary.last >= plan_.target.lsn; });
    stop_.lsn = plan_.target.lsn;
    stop_.inclusive = plan_.target.inclusive;
    if (found || chain_.begin >= plan_.target.lsn) return stop_at_the_record();
    if (!chain_.broken.empty()) throw broken();
    throw behind("the target lies behind the last archived record");
  }

  // A position before a switch of timelines may be one behind which the ancestor has no
  // record that counts: which timeline the stop lies on is told by the record's own
  // position.
  void stop_at_the_record() {
    const auto segment_bytes = archive_.identity().segment_bytes;
    const auto history = archive_.history(plan_.timeline);
    if (history.at(*stop_.lsn) == plan_.timeline) return;
    for (auto number = stop_.lsn->value / segment_bytes;; ++number) {
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
    // And behind the switch there is none of this history.
    if (plan_.wal.switches_from != TimelineId{}) {
      throw behind("the archived WAL ends at a change of timeline");
    }
    const auto last_asked = target.time - std::chrono::microseconds{target.inclusive ? 0 : 1};
    if (last_asked > std::max(plan_.wal.until + mtime_slack, chain_.frontier)) {
      throw behind("the target lies behind the archived WAL");
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
      if (point.lsn < plan_.backup.start) return;
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
    auto whole = archive_.make_summary(segment.key, std::numeric_limits<std::size_t>::max());
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
    return match;
  }

  [[nodiscard]] SegmentSource source_of(const SegmentName& name, const std::string& key) const {
    return {
        .name = name, .key = key, .timeline = plan_.timeline, .key_behind = [this](auto number) {
          return key_in_stretch(archive_, plan_.wal, number);
        }};
  }

  // The first meant record that begins in a segment.
  std::optional<Match> search(const ChainSegment& segment,
                              const std::function<bool(const TransactionRecord&)>& is_it) {
    std::optional<Match> match;
    visit_transaction_ends(archive_, source_of(segment.name, segment.key),
                           [&](Lsn start, const TransactionRecord& end) {
                             if (start >= plan_.backup.start && is_it(end)) {
                               match = Match{.lsn = start, .transaction = end};
                             }
                             return !match;
                           });
    return match;
  }

  const WalArchive& archive_;
  const RecoveryPlan& plan_;
  const std::vector<BackupInfo>& backups_;
  const bool up_to_consistency_;
  WalChain chain_;
  RecoveryStop stop_;
};

ProvedPlan resolve(const WalArchive& archive, const RecoveryPlan& plan,
                   const std::vector<BackupInfo>& backups, bool up_to_consistency) {
  return Resolver(archive.with(plan.branches), plan, backups, up_to_consistency).resolve();
}

std::string timeline_of(const WalArchive& archive, const RecoveryPlan& plan) {
  const auto view = archive.with(plan.branches);
  return TimelineBranch{.timeline = plan.timeline, .branch = view.branch_of(plan.timeline)}.text();
}

ProvedPlan plan_with(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                     const PlanRequest& request, bool up_to_consistency) {
  auto left = backups;
  auto pinned = request;
  while (true) {
    auto proved =
        resolve(archive, plan_recovery(archive, left, pinned), backups, up_to_consistency);
    const auto& backup = proved.plan.backup;
    const auto kind = request.target.kind;
    if (proved.stop.lsn && *proved.stop.lsn < backup.stop) {
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
      pinned.timeline = timeline_of(archive, proved.plan);
      std::erase_if(left, [id = backup.id](const BackupInfo& each) { return each.id == id; });
      continue;
    }
    if (proved.stop.lsn && !request.backup_id &&
        (kind == TargetKind::name || kind == TargetKind::xid)) {
      // Where it lies is known by now, and so the newest backup before it.
      auto by_position = pinned;
      by_position.target.kind = TargetKind::lsn;
      by_position.target.lsn = *proved.stop.lsn;
      auto plan = plan_recovery(archive, left, by_position);
      plan.target = request.target;
      // Its WAL is part of what was proved.
      if (plan.timeline == proved.plan.timeline && plan.backup.start >= backup.start) {
        proved.plan = std::move(plan);
      }
    }
    return proved;
  }
}

// A named point may lie anywhere. Behind a hole, such as expiry leaves before backups
// that are kept longer, it is looked for from the first backup there.
ProvedPlan plan_to_name(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                        const PlanRequest& request, bool up_to_consistency) {
  auto left = backups;
  auto pinned = request;
  std::optional<Error> first;
  while (true) {
    try {
      return plan_with(archive, left, pinned, up_to_consistency);
    } catch (const Error& error) {
      if (!first) first = error;
      if (error.kind() != ErrorKind::unreachable_target) throw *first;
    }
    std::size_t dropped = 0;
    try {
      const auto plan = plan_recovery(archive, left, pinned);
      if (plan.wal.gap_follows) {
        dropped = std::erase_if(left, [&](const BackupInfo& backup) {
          return backup.identity_number == plan.backup.identity_number &&
                 backup.start < plan.wal.end;
        });
      }
      pinned.timeline = timeline_of(archive, plan);
    } catch (const Error&) {
      throw *first;
    }
    if (dropped == 0 || left.empty()) throw *first;
  }
}

// The timeline on which a plan's stop lies.
TimelineId timeline_of_stop(const WalArchive& view, const ProvedPlan& proved) {
  const auto& plan = proved.plan;
  if (proved.stop.lsn) return view.history(plan.timeline).at(*proved.stop.lsn);
  // As soon as it is consistent; or, of a target in time, without any WAL behind that.
  return plan.target.kind == TargetKind::latest ? plan.timeline : plan.backup.timeline;
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
ProvedPlan on_the_timeline_of_the_stop(const WalArchive& archive,
                                       const std::vector<BackupInfo>& backups,
                                       const PlanRequest& request, ProvedPlan proved) {
  const auto view = archive.with(proved.plan.branches);
  const auto timeline = timeline_of_stop(view, proved);
  if (timeline == proved.plan.timeline) return proved;
  auto own = request;
  own.backup_id = proved.plan.backup.id;
  own.timeline = TimelineBranch{.timeline = timeline, .branch = view.branch_of(timeline)}.text();
  // The record that was found for a position.
  if (own.target.kind == TargetKind::lsn) own.target.lsn = *proved.stop.lsn;
  try {
    auto moved = plan_with(archive, backups, own, false);
    const bool is_same =
        moved.stop.lsn == proved.stop.lsn && moved.stop.inclusive == proved.stop.inclusive;
    if (!is_same || !finds_all_used_ids(archive.with(moved.plan.branches), timeline)) return proved;
    moved.plan.target = proved.plan.target;
    return moved;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::internal) throw;
    return proved;
  }
}

// Whether more backups might help.
bool is_without_a_way(const Error& error) {
  return error.kind() == ErrorKind::unreachable_target || error.kind() == ErrorKind::not_found;
}

// Plans with those backups that `is_out` lets in. Of the others `passed_over` is told, and what it
// says goes into the error when nothing is left.
ProvedPlan plan_without(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                        const PlanRequest& request, bool up_to_consistency,
                        const std::function<bool(const BackupInfo&)>& is_out,
                        const std::function<std::string()>& passed_over) {
  const bool anywhere = request.target.kind == TargetKind::name && !request.backup_id;
  auto left = backups;
  auto pinned = request;
  while (true) {
    try {
      auto proved = (anywhere ? plan_to_name : plan_with)(archive, left, pinned, up_to_consistency);
      const auto& backup = proved.plan.backup;
      if (request.backup_id || !is_out(backup)) {
        if (up_to_consistency) return proved;
        return on_the_timeline_of_the_stop(archive, left, pinned, std::move(proved));
      }
      // With fewer backups "latest" and "current" must not mean another history.
      pinned.timeline = timeline_of(archive, proved.plan);
      std::erase_if(left, [id = backup.id](const auto& each) { return each.id == id; });
    } catch (const Error& error) {
      const auto others = is_without_a_way(error) ? passed_over() : std::string();
      if (others.empty()) throw;
      throw Error(ErrorKind::corrupt,
                  "no backup from which the target can be reached can be restored whole",
                  "Passed over: " + others + ". Without these, " + error.message() + ".",
                  "Bring what is lost back from a copy of the repository, or choose a target that "
                  "another backup reaches. walvault verify tells what is lost, walvault extract "
                  "gets single files.");
    }
  }
}

}  // namespace

ProvedPlan plan_proved_recovery(const WalArchive& archive, const std::vector<BackupInfo>& backups,
                                const PlanRequest& request, bool up_to_consistency,
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
    return plan_without(archive, backups, request, up_to_consistency, has_fault, names);
  } catch (const Error& error) {
    // Corrupt: only those that were passed over lead there.
    const bool may_help = is_without_a_way(error) || error.kind() == ErrorKind::corrupt;
    if (!any_doubtful || !may_help) throw;
    const auto is_lost = [&](const BackupInfo& backup) {
      return has_fault(backup) && known.at(backup.id).is_lost;
    };
    auto proved = plan_without(archive, backups, request, up_to_consistency, is_lost, names);
    faults.tried_all_the_same(proved.plan.backup, known.at(proved.plan.backup.id));
    return proved;
  }
}

}  // namespace walvault
