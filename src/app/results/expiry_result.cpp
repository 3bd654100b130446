#include "app/results/expiry_result.h"

#include <algorithm>

#include "app/results/backup_result.h"
#include "base/format.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

std::string joined(const std::vector<std::string>& reasons) {
  std::string text;
  for (const auto& reason : reasons) text.append(text.empty() ? "" : "; ").append(reason);
  return text;
}

std::string windows_text(const std::string& title, const ExpiryPlan& plan,
                         std::vector<RecoveryWindow> ExpiryWindows::*which) {
  std::string text = title + ":\n";
  bool any = false;
  for (const auto& windows : plan.windows) {
    for (const auto& window : windows.*which) {
      any = true;
      text.append("  ").append(window_text(window)).append("\n");
    }
  }
  return any ? text : text + "  nothing\n";
}

}  // namespace

ordered_json expiry_json(const ExpiryPlan& plan, const ExpiryResult* result) {
  ordered_json backups = ordered_json::array();
  for (const auto& verdict : plan.verdicts) {
    const auto fault = plan.faults.find(verdict.id);
    backups.push_back({{"id", verdict.id},
                       {"stays", verdict.stays()},
                       {"reasons", verdict.reasons},
                       {"fault", fault == plan.faults.end() ? ordered_json(nullptr)
                                                            : ordered_json(fault->second.why)}});
  }
  ordered_json before = ordered_json::array();
  ordered_json after = ordered_json::array();
  for (const auto& windows : plan.windows) {
    for (const auto& each : windows.before) before.push_back(window_json(windows.identity, each));
    for (const auto& each : windows.after) after.push_back(window_json(windows.identity, each));
  }
  return {{"expired", result != nullptr},
          {"backups", backups},
          {"damaged_backups", plan.damaged},
          {"segments", plan.segments},
          {"wal_stored_bytes", plan.wal_stored_bytes},
          {"segments_removed", result == nullptr ? 0 : result->segments},
          {"wal_left", result == nullptr ? "" : result->wal_left},
          {"windows_before", before},
          {"windows", after}};
}

std::string expiry_text(const ExpiryPlan& plan, const ExpiryResult* result) {
  std::string text;
  const std::string goes = result == nullptr ? "would go" : "deleted";
  for (std::size_t i = 0; i < plan.backups.size(); ++i) {
    const auto& backup = plan.backups[i];
    const auto& verdict = plan.verdicts[i];
    text.append(backup.id)
        .append("  ")
        .append(to_local_text(backup.start_time))
        .append(verdict.stays() ? "  stays: " + joined(verdict.reasons) : "  " + goes)
        .append("\n");
    if (const auto fault = plan.faults.find(backup.id); fault != plan.faults.end()) {
      text.append("  it cannot be restored whole, and does not count: ")
          .append(fault->second.why)
          .append("\n");
    }
  }
  text.append("WAL: ")
      .append(std::to_string(plan.segments))
      .append(" segments, ")
      .append(format_size(plan.wal_stored_bytes))
      .append(result == nullptr ? " would go\n"
                                : (result->wal_left.empty() ? " deleted\n" : " could go\n"));
  if (result != nullptr && !result->wal_left.empty()) {
    text.append("They were left for the next time: ").append(result->wal_left).append("\n");
  }
  if (plan.is_empty()) return text + windows_text("Recoverable", plan, &ExpiryWindows::before);
  return text + windows_text("Recoverable before", plan, &ExpiryWindows::before) +
         windows_text(result == nullptr          ? "Recoverable then"
                      : result->wal_left.empty() ? "Recoverable now"
                                                 : "Recoverable once the WAL has gone",
                      plan, &ExpiryWindows::after);
}

}  // namespace walvault
