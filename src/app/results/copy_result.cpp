#include "app/results/copy_result.h"

#include <nlohmann/json.hpp>

namespace walvault {

using nlohmann::ordered_json;

ordered_json copy_json(const CopyReport& report) {
  ordered_json clusters = ordered_json::array();
  for (const auto& cluster : report.clusters) {
    ordered_json backups = ordered_json::array();
    for (const auto& backup : cluster.backups) {
      backups.push_back({{"id", backup.id},
                         {"state", copy_state_name(backup.state)},
                         {"packs", backup.packs.packs},
                         {"pack_bytes", backup.packs.bytes},
                         {"packs_there", backup.packs.packs_there},
                         {"detail", backup.why}});
    }
    ordered_json faults = ordered_json::array();
    for (const auto& fault : cluster.wal.faults) {
      faults.push_back({{"key", fault.key}, {"detail", fault.why}});
    }
    clusters.push_back({{"name", cluster.name},
                        {"failure", cluster.failure},
                        {"backups", backups},
                        {"wal_files", cluster.wal.files},
                        {"wal_bytes", cluster.wal.bytes},
                        {"wal_files_there", cluster.wal.there},
                        {"wal_files_failed", cluster.wal.fault_count},
                        {"failed", faults}});
  }
  return clusters;
}

}  // namespace walvault
