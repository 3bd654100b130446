#include "app/backup_text.h"

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
          {"damaged_pages", info.damaged_pages}};
}

}  // namespace walvault
