#include "basebackup/own_wal.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "catalog/recovery/own_checkpoint.h"
#include "catalog/recovery/recovery_plan.h"
#include "catalog/recovery/timeline_division.h"
#include "catalog/wal/wal_chain.h"
#include "catalog/wal/wal_expiry.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wal_poll_first{50};
constexpr milliseconds wal_poll_max{1000};

// Waits until every segment from start to stop is in the repository.
void wait_for_wal(const WalArchive& archive, const BackupInfo& info, Clock& clock,
                  milliseconds timeout, WalStreamer* streamer, const Reporter& reporter) {
  const auto geometry = archive.identity().geometry;
  auto segment = SegmentName::containing(info.timeline, info.start, geometry);
  const auto last = SegmentName::before(info.timeline, info.stop, geometry);
  const auto deadline = clock.steady() + timeout;
  auto pause = wal_poll_first;
  bool noted = false;
  while (true) {
    while (segment <= last && archive.has_segment(segment)) ++segment.number;
    if (segment > last) return;
    if (segment == last && streamer != nullptr && info.from_standby) {
      // Its primary may be idle: then the segment is not filled for as long as that.
      if (streamer->has_kept_unfinished()) return;
      streamer->keep_unfinished(info.stop);
    }
    reporter.check_cancelled();
    if (streamer != nullptr) streamer->check();
    if (clock.steady() >= deadline) {
      throw Error(ErrorKind::unavailable,
                  "WAL that the backup needs did not arrive in the repository",
                  "Waited " + format_duration(timeout) + " for segment " + segment.text(geometry) +
                      " (up to " + last.text(geometry) + "). No backup was recorded.",
                  streamer != nullptr
                      ? "Look into the server's log for what ended the stream."
                      : "Look at pg_stat_archiver and the server's log: archive_command has to be "
                        "walvault-archive into this repository, under --cluster " +
                            archive.identity().name + ".");
    }
    if (!noted && pause > wal_poll_first) {
      noted = true;
      reporter.info("waiting for WAL up to " + info.stop.text() +
                    (streamer != nullptr ? " to be streamed" : " to be archived"));
    }
    clock.sleep_for(pause);
    pause = std::min(pause * 2, wal_poll_max);
  }
}

// Its archivers may have died before its name was durable, and nobody else will offer it again.
void settle_wal(const WalArchive& archive, const BackupInfo& info) {
  const auto geometry = archive.identity().geometry;
  auto segment = SegmentName::containing(info.timeline, info.start, geometry);
  const auto last = SegmentName::before(info.timeline, info.stop, geometry);
  std::vector<std::string> keys;
  for (; segment <= last; ++segment.number) keys.push_back(archive.key_of(segment.text(geometry)));
  archive.repository().storage().settle(keys);
}

// The WAL is there by name; that this server wrote it, its own checkpoint in it tells.
void check_wal_is_the_servers(const WalArchive& archive, const BackupInfo& info) {
  if (look_for_own_checkpoint(archive, info) != OwnCheckpoint::not_held) return;
  const auto timeline = std::to_string(info.timeline.value);
  throw Error(ErrorKind::conflict, "the archived WAL is not what this server wrote",
              "It does not hold the server's checkpoint at " + info.control.checkpoint.text() +
                  ". No backup was recorded.",
              "Another server archives as cluster " + archive.identity().name +
                  ": end that. If both were promoted onto timeline " + timeline +
                  " and this one is to go on: walvault timeline set-aside " + timeline);
}

// A backup that lies before one which was complete when it began.
void expect_not_expiring(const WalArchive& archive, const BackupInfo& info) {
  if (!is_expiring(archive, info.timeline_branch(), info.start, info.stop)) {
    return;
  }
  throw Error(ErrorKind::unavailable, "WAL that the backup needs is being expired",
              "It starts at " + info.start.text() +
                  ", before a backup that was complete when it began. No backup was recorded.",
              "Run the backup again.");
}

// A backup that its own WAL does not make consistent is none, though every
// segment of that is there.
WalChain check_wal_is_whole(const WalArchive& archive, const BackupInfo& info) {
  const auto course = course_of(archive, info.timeline_branch());
  auto chain = prove_chain(course.archive, wal_from(course.archive, course.history, info.start),
                           [](const ChainSegment&) {});
  if (chain.end >= info.stop) return chain;
  if (chain.broken.empty()) {
    throw Error(ErrorKind::unavailable, "WAL that the backup needs is gone from the repository",
                "It was there up to " + info.stop.text() + "; now it ends at " + chain.end.text() +
                    ". No backup was recorded.",
                "Run the backup again.");
  }
  throw Error(ErrorKind::corrupt, "the archived WAL of the backup is damaged",
              "Segment " + chain.broken_in.text(archive.identity().geometry) + ": " + chain.broken +
                  ". It is needed up to " + info.stop.text() + ". No backup was recorded.",
              "Run the backup again. If that happens again, the server's pg_wal is damaged, or "
              "archive_command is not handed what the server wrote.");
}

// Whether another one archived before this backup than since: a copy of the server, perhaps, or the
// server itself in another place.
void warn_of_archivers(const WalArchive& archive, const BackupInfo& info, const WalChain& chain,
                       const Reporter& reporter) {
  const auto geometry = archive.identity().geometry;
  auto changes = chain.archiver_changes;
  const auto first = SegmentName::containing(info.timeline, info.start, geometry);
  const auto archiver_of = [&](const SegmentName& segment) {
    const auto found = find_any_summary(archive, segment);
    return found ? found->origin.archiver : std::nullopt;
  };
  if (changes.empty() && first.number > 0) {
    const auto before = archiver_of({.timeline = first.timeline, .number = first.number - 1});
    const auto since = before ? archiver_of(first) : std::nullopt;
    if (since && *before != *since) {
      changes.push_back({.segment = first, .from = *before, .to = *since});
    }
  }
  if (changes.empty()) return;
  reporter.warn(describe(changes.front(), geometry) +
                ". If the server was moved, all is well from this backup on. Otherwise two servers "
                "archive under this name: walvault check says more");
}

}  // namespace

void expect_own_wal(const WalArchive& archive, const BackupInfo& info, Clock& clock,
                    milliseconds timeout, WalStreamer* streamer, const Reporter& reporter) {
  wait_for_wal(archive, info, clock, timeout, streamer, reporter);
  check_wal_is_the_servers(archive, info);
  expect_not_expiring(archive, info);
  warn_of_archivers(archive, info, check_wal_is_whole(archive, info), reporter);
  settle_wal(archive, info);
}

}  // namespace walvault
