#include "archiving/server_history.h"

#include <fcntl.h>

#include <vector>

#include "archiving/segment_check.h"
#include "archiving/wal_gate.h"
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

namespace {

// A server that dies with more unarchived segments had been ill for long: check tells of the rest.
constexpr std::size_t segments_before_max = 16;

void archive_history_beside(const WalArchive& archive, const OfferedFile& offered,
                            TimelineId timeline, Clock& clock, const PushOptions& options) {
  const auto name = history_file_name(timeline);
  const auto path = offered.directory + "/" + name;
  if (timeline.value == 1 || !find_status(path)) return;
  if (archive.repository().storage().find_size(archive.key_of(name))) return;
  (void)push_wal_file(archive, OfferedFile(path), clock, options);
}

void archive_segments_before(const WalArchive& archive, const OfferedFile& offered,
                             const SegmentName& segment, Clock& clock, const PushOptions& options) {
  const auto geometry = archive.identity().geometry;
  std::vector<SegmentName> missing;
  auto before = find_segment_before(offered.directory, segment, geometry);
  while (before && before->timeline < segment.timeline && missing.size() < segments_before_max &&
         !archive.has_segment(*before)) {
    missing.push_back(*before);
    before = find_segment_before(offered.directory, *before, geometry);
  }
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    const auto path = offered.directory + "/" + it->text(geometry);
    (void)push_wal_file(archive, OfferedFile(path), clock, options);
  }
}

}  // namespace

void archive_what_is_never_offered(const WalArchive& archive, const OfferedFile& offered,
                                   const SegmentName& segment, Clock& clock,
                                   const PushOptions& options) {
  // A retry: it was brought before that.
  if (archive.has_segment(segment)) return;
  const auto file = find_file(offered.path, O_RDONLY);
  Bytes first(wal_segment_header_bytes);
  if (!file || read_at(*file, first, 0, offered.path) != first.size()) return;
  (void)check_segment(archive.identity(), offered.name, first);
  auto unlinked = options;
  unlinked.origin.before.reset();
  archive_history_beside(archive, offered, segment.timeline, clock, unlinked);
  archive_segments_before(archive, offered, segment, clock, unlinked);
}

}  // namespace walvault
