#include "app/results/backup_result.h"

namespace walvault {

nlohmann::ordered_json backup_json(const BackupInfo& info) {
  return {{"id", info.id},
          {"cluster", info.cluster},
          {"label", info.label},
          {"kind", "full"},
          {"timeline", info.timeline.value},
          {"start_lsn", info.start.text()},
          {"stop_lsn", info.stop.text()},
          {"start_time", to_rfc3339(info.start_time)},
          {"stop_time", to_rfc3339(info.stop_time)},
          {"postgres_version", info.postgres_version()},
          {"from_standby", info.from_standby},
          {"files", info.files},
          {"size_bytes", info.size_bytes},
          {"new_bytes", info.new_bytes},
          {"stored_bytes", info.stored_bytes},
          {"duration_s", static_cast<double>(info.duration.count()) / 1000},
          {"damaged_pages", info.damaged_pages},
          {"skipped_files", info.skipped_files}};
}

nlohmann::ordered_json window_json(const ClusterIdentity& identity, const RecoveryWindow& window) {
  const auto& last = window.last_transaction;
  return {{"timeline", window.timeline.timeline.value},
          {"branch", window.timeline.branch},
          {"earliest_time", to_rfc3339(window.earliest_time)},
          {"latest_time", to_rfc3339(window.latest_time)},
          {"last_transaction_time",
           last ? nlohmann::ordered_json(to_rfc3339(*last)) : nlohmann::ordered_json(nullptr)},
          {"earliest_lsn", window.earliest.text()},
          {"latest_lsn", window.latest.text()},
          {"system_identifier", std::to_string(identity.system_identifier)}};
}

nlohmann::ordered_json gap_json(const WalGap& gap) {
  return {{"timeline", gap.timeline.timeline.value},
          {"branch", gap.timeline.branch},
          {"from_lsn", gap.from.text()},
          {"to_lsn", gap.to.text()},
          {"reason", gap.damage.empty() ? "missing" : "damaged"},
          {"text", gap.damage}};
}

nlohmann::ordered_json cluster_json(const ClusterIdentity& identity) {
  return {{"name", identity.name},
          {"system_identifier", std::to_string(identity.system_identifier)},
          {"postgres_version", std::to_string(identity.postgres_major)},
          {"wal_segment_bytes", identity.geometry.segment_bytes}};
}

std::string window_text(const RecoveryWindow& window) {
  return to_local_text(window.earliest_time) + "  to  " + to_local_text(window.latest_time) +
         "  on timeline " + std::to_string(window.timeline.timeline.value);
}

}  // namespace walvault
