#include "app/results/plan_result.h"

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "catalog/recovery/recovery_demands.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

std::string target_text(const RecoveryTarget& target) {
  const std::string how = target.inclusive ? "" : ", stopping just before";
  switch (target.kind) {
    case TargetKind::latest: return "the end of the archived WAL";
    case TargetKind::time:
      return to_local_text(target.time) + " (" + to_rfc3339(target.time) + ")" + how;
    case TargetKind::lsn: return "WAL position " + target.lsn.text() + how;
    case TargetKind::xid: return "transaction " + target.asked + how;
    case TargetKind::name: return "restore point \"" + target.name + "\"";
    case TargetKind::immediate: return "the end of the backup";
  }
  return {};
}

// Where that is in the WAL.
std::string stop_text(const RecoveryStop& stop) {
  if (!stop.lsn) return {};
  std::string text = "  Stops:    ";
  text += stop.inclusive ? "after" : "before";
  text += " the record at " + stop.lsn->text();
  if (const auto& transaction = stop.transaction) {
    text += ", the ";
    text += transaction->end == TransactionEnd::commit ? "commit" : "abort";
    text += " of transaction " + std::to_string(transaction->xid) + " at " +
            to_rfc3339(transaction->time);
  }
  return text + "\n";
}

ordered_json created_tablespaces(const ProvedPlan& proved) {
  auto list = ordered_json::array();
  for (const auto& creation : recovery_demands(proved).tablespaces) {
    list.push_back({{"location", creation.location}, {"lsn", creation.lsn.text()}});
  }
  return list;
}

}  // namespace

ordered_json plan_json(const ProvedPlan& proved, WalGeometry geometry) {
  const auto& plan = proved.plan;
  const auto& stop = proved.stop;
  const auto& target = plan.target;
  const auto name = [&](const SegmentName& segment) {
    return plan.wal.segments == 0 ? ordered_json(nullptr) : ordered_json(segment.text(geometry));
  };
  const auto optional = [](bool is_there, auto&& value) {
    return is_there ? ordered_json(value) : ordered_json(nullptr);
  };
  return {{"backup", plan.backup.id},
          {"timeline", plan.timeline.value},
          {"target",
           {{"asked", target.asked},
            {"lsn", optional(stop.lsn.has_value(), stop.lsn.value_or(Lsn{}).text())},
            {"xid", optional(target.kind == TargetKind::xid, target.xid)},
            {"time", optional(target.kind == TargetKind::time, to_rfc3339(target.time))},
            {"inclusive", target.inclusive},
            {"stops", optional(stop.lsn.has_value(), stop.inclusive ? "behind" : "before")},
            {"time_proved", stop.time_proved}}},
          {"segments", plan.wal.segments},
          {"wal_bytes", plan.wal.segments * geometry.segment_bytes},
          {"first_segment", name(plan.wal.first)},
          {"last_segment", name(plan.wal.last)},
          {"partial_segment", optional(plan.wal.partial.has_value(),
                                       plan.wal.partial.value_or(SegmentName{}).text(geometry))},
          {"data_bytes", plan.backup.size_bytes},
          {"created_tablespaces", created_tablespaces(proved)},
          {"linked_by_content", proved.chain.linked_by_content},
          {"linked_by_position", proved.chain.linked_by_position}};
}

std::string plan_text(const ProvedPlan& proved, WalGeometry geometry) {
  const auto& plan = proved.plan;
  std::string text =
      "Plan:\n  Backup:   " + plan.backup.id + ", taken " + to_local_text(plan.backup.start_time) +
      ", " + format_size(plan.backup.size_bytes) + "\n  Target:   " + target_text(plan.target) +
      "\n" + stop_text(proved.stop) + "  Timeline: " + std::to_string(plan.timeline.value) + "\n";
  if (plan.wal.segments > 0) {
    text += "  WAL:      " + std::to_string(plan.wal.segments) + " segments without a gap, " +
            plan.wal.first.text(geometry) + " to " + plan.wal.last.text(geometry) + "\n";
  }
  if (plan.wal.partial) {
    text += "            and of " + plan.wal.partial->text(geometry) +
            " what its server wrote, up to " + plan.wal.end.text() + "\n";
  }
  for (const auto& creation : recovery_demands(proved).tablespaces) {
    text += "  Replay makes a tablespace in " + creation.location + ", at " + creation.lsn.text() +
            "\n";
  }
  return text;
}

}  // namespace walvault
