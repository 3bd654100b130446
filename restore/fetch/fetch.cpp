#include "restore/fetch/fetch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

// Why the absence of a segment is a hole and not the end of the archive; empty
// when it is the end. A hole it is when its own timeline goes on behind it, or
// when a descendant left its timeline in a later segment: that history ran
// through it. A timeline whose history is not archived may be a descendant.
// Who planned has looked at that, and said what is not there.
std::string evidence_of_gap(const WalArchive& archive, const SegmentName& segment,
                            const RecoveryPin& pin) {
  const auto geometry = archive.identity().geometry;
  if (pin.needs(segment)) return "It was archived when this recovery was planned.";
  const auto later = archive.segments(segment.timeline, segment.number + 1);
  if (!later.empty()) {
    return "Archived is " +
           SegmentName{.timeline = segment.timeline, .number = later.front().number}.text(
               geometry) +
           ".";
  }
  if (pin.is_there()) return {};
  for (const auto& branch : archive.branches()) {
    const auto timeline = branch.timeline;
    if (timeline <= segment.timeline) continue;
    // That of another branch of this timeline says nothing of this one.
    const auto view = archive.view_of(branch);
    if (view.branch_of(segment.timeline) != archive.branch_of(segment.timeline)) continue;
    const auto history = find_sound_history(view, timeline);
    if (!history) {
      return "Timeline " + std::to_string(timeline.value) +
             " is archived without a history file that can be read, so where it left this one is "
             "not "
             "known.";
    }
    const auto leaves = history->leaves(segment.timeline);
    if (leaves && geometry.number_of(*leaves) > segment.number) {
      return "Timeline " + std::to_string(timeline.value) + " leaves this one only at " +
             leaves->text() + ".";
    }
  }
  return {};
}

// PostgreSQL asks for WAL of the timeline that it is told to recover along, and of its ancestors.
void expect_planned(const RecoveryPin& pin, const SegmentName& segment, const std::string& name) {
  if (!pin.is_there() || segment.timeline <= pin.timeline) return;
  throw Error(ErrorKind::conflict,
              "WAL segment " + name + " is not on the way that this recovery was planned",
              "It was planned and proved along timeline " + std::to_string(pin.timeline.value) +
                  ", and recovery_target_timeline is another one now.",
              "Restore again with --timeline. To recover without the plan, make " +
                  std::string(recovery_pin_name) + " in the data directory an empty file.");
}

// Looks a second time, after everything that an answer of "absent" or "gap"
// rests on was read: the file may have been archived meanwhile, and a mount
// may have gone away, which would make everything look absent.
std::optional<Bytes> look_again(const WalArchive& archive, const std::string& key) {
  auto& storage = archive.repository().storage();
  if (Repository::open(storage).id() != archive.repository().id()) {
    throw Error(ErrorKind::unavailable, "the repository at " + storage.url() + " was exchanged");
  }
  return storage.find(key);
}

// Decodes the object beside the destination, and renames it there once it is
// known to be right. From `bytes_max` on the file is zeros.
void deliver(const Repository& repository, ByteView object, const std::string& key,
             unsigned threads, const std::string& destination, std::uint64_t bytes_max) {
  const auto temporary = destination + ".walvault-part";
  try {
    const auto file = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    std::uint64_t written = 0;
    decode_wal_object(repository.codec(), object, key, threads, repository.buffers(),
                      [&](ByteView part) {
                        const auto left = bytes_max - std::min(written, bytes_max);
                        const auto kept = std::min<std::uint64_t>(left, part.size());
                        write_all(file, part.first(kept), temporary);
                        if (kept < part.size()) {
                          write_all(file, Bytes(part.size() - kept), temporary);
                        }
                        written += part.size();
                      });
    // Not synced: after a crash PostgreSQL asks for the file again. And over
    // nothing: a rename that replaces a file makes ext4 write the new one out.
    ::unlink(destination.c_str());
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
                            const std::string& destination, unsigned threads,
                            const RecoveryPin& pin, std::optional<Lsn> left_at) {
  const auto kind = classify_wal_file(name);
  if (!kind) {
    throw Error(
        ErrorKind::usage, "\"" + name + "\" is not the name of a WAL file", {},
        "Use restore_command = 'walvault-fetch --cluster " + archive.identity().name + " %f %p'.");
  }
  auto key = archive.key_of(name);
  if (kind == WalFileKind::partial) {
    const auto newest = archive.find_partial_key(name);
    if (!newest) return FetchOutcome::absent;
    key = *newest;
  }
  const auto segment = SegmentName::parse(name, archive.identity().geometry);
  if (kind == WalFileKind::segment && !segment) {
    throw Error(ErrorKind::usage, "no WAL segment of this cluster is called " + name,
                "Its segments have " + std::to_string(archive.identity().geometry.segment_bytes) +
                    " bytes.",
                "Check --cluster.");
  }
  if (segment) expect_planned(pin, *segment, name);
  auto bytes_max = std::numeric_limits<std::uint64_t>::max();
  if (segment && left_at) {
    const auto start = segment->start(archive.identity().geometry);
    if (*left_at <= start) return FetchOutcome::absent;
    bytes_max = left_at->value - start.value;
  }
  auto object = archive.repository().storage().find(key);
  if (!object) {
    const auto evidence = segment ? evidence_of_gap(archive, *segment, pin) : "";
    object = look_again(archive, key);
    // Whatever lies behind it: the plan ends in it.
    if (!object && pin.partial.starts_with(name + ".partial.") && is_key_part(pin.partial)) {
      key.replace(key.find_last_of('/') + 1, std::string::npos, pin.partial);
      object = archive.repository().storage().find(key);
    }
    if (!object && evidence.empty()) return FetchOutcome::absent;
    if (!object) {
      throw Error(ErrorKind::corrupt,
                  "WAL segment " + name + " is missing from the archive, but " +
                      (pin.needs(*segment) ? "recovery needs it" : "later WAL is there"),
                  evidence,
                  "Recovery must not end here. Look for the segment on the old server (pg_wal) "
                  "and archive it, or restore to a target before it.")
          .transient();
    }
  }
  deliver(archive.repository(), *object, key, threads, destination, bytes_max);
  return FetchOutcome::delivered;
}

}  // namespace walvault
