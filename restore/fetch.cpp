#include "restore/fetch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

// A segment that is missing is a hole, not an end, when its own timeline goes
// on behind it, or when a descendant left its timeline in a later segment:
// that history ran through it.
void refuse_a_gap(const WalArchive& archive, const SegmentName& segment) {
  const auto segment_bytes = archive.identity().segment_bytes;
  const auto gap = [&](const std::string& evidence) {
    return Error(ErrorKind::corrupt,
                 "WAL segment " + segment.text(segment_bytes) +
                     " is missing from the archive, but later ones are there",
                 evidence,
                 "Recovery must not end here. Look for the segment on the old server (pg_wal) "
                 "and archive it, or restore to a target before it.");
  };
  const auto later = archive.segments(segment.timeline, segment.number + 1);
  if (!later.empty()) {
    throw gap("Archived is " +
              SegmentName{.timeline = segment.timeline, .number = later.front().number}.text(
                  segment_bytes) +
              ".");
  }
  for (const auto timeline : archive.timelines()) {
    if (timeline <= segment.timeline) continue;
    const auto leaves = archive.history(timeline).leaves(segment.timeline);
    if (leaves && leaves->value / segment_bytes > segment.number) {
      throw gap("Timeline " + std::to_string(timeline.value) + " leaves this one only at " +
                leaves->text() + ".");
    }
  }
}

void deliver(const std::string& destination, ByteView content) {
  const auto temporary = destination + ".walvault-part";
  try {
    const auto file = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file, content, temporary);
    // Not synced: after a crash PostgreSQL asks for the file again.
    if (::rename(temporary.c_str(), destination.c_str()) != 0) {
      throw system_error("rename \"" + temporary + "\"", errno);
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace

FetchOutcome fetch_wal_file(const WalArchive& archive, const std::string& name,
                            const std::string& destination, unsigned threads) {
  const auto kind = classify_wal_file(name);
  if (!kind) {
    throw Error(ErrorKind::usage, "\"" + name + "\" is not the name of a WAL file", {},
                "Use restore_command = 'walvault-fetch --cluster " + archive.identity().name +
                    " %f %p'.");
  }
  auto key = archive.key_of(name);
  if (kind == WalFileKind::partial) {
    const auto newest = archive.find_partial_key(name);
    if (!newest) return FetchOutcome::absent;
    key = *newest;
  }
  const auto object = archive.repository().storage().find(key);
  if (!object) {
    const auto segment = SegmentName::parse(name, archive.identity().segment_bytes);
    if (kind == WalFileKind::segment && segment) refuse_a_gap(archive, *segment);
    return FetchOutcome::absent;
  }
  deliver(destination, decode_wal_object(*object, key, threads));
  return FetchOutcome::delivered;
}

}  // namespace walvault
