#include "archiving/server_history.h"

#include "base/file.h"

namespace walvault {

bool archive_server_history(const WalArchive& archive, ReplicationConnection& server, Clock& clock,
                            const PushOptions& options) {
  const auto timeline = server.identify_system().timeline;
  if (timeline.value == 1) return false;
  const auto pushed =
      push_timeline_history(archive, timeline, server.timeline_history(timeline), clock, options);
  return !pushed.already_there;
}

void archive_history_beside(const WalArchive& archive, const OfferedFile& offered,
                            TimelineId timeline, Clock& clock, const PushOptions& options) {
  if (timeline.value == 1) return;
  const auto name = history_file_name(timeline);
  const auto path = offered.directory + "/" + name;
  if (!find_status(path)) return;
  if (archive.repository().storage().find_size(archive.key_of(name))) return;
  (void)push_wal_file(archive, OfferedFile(path), clock, options);
}

}  // namespace walvault
