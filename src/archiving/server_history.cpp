#include "archiving/server_history.h"

namespace walvault {

bool archive_server_history(const WalArchive& archive, ReplicationConnection& server, Clock& clock,
                            const PushOptions& options) {
  const auto timeline = server.identify_system().timeline;
  if (timeline.value == 1) return false;
  const auto pushed =
      push_timeline_history(archive, timeline, server.timeline_history(timeline), clock, options);
  return !pushed.already_there;
}

}  // namespace walvault
