#include "maintenance/repair.h"

#include "archiving/wal_streamer.h"
#include "postgres/client/replication_connection.h"

namespace walvault {
namespace {

constexpr std::chrono::milliseconds look_every{50};
// Without a segment that comes whole for so long, none will.
constexpr std::chrono::minutes silence_max{2};

}  // namespace

void fetch_missing_wal(const WalArchive& archive, const WalGap& gap, bool accepted,
                       const ConnectOptions& options, Clock& clock) {
  const auto geometry = archive.identity().geometry;
  const auto server = connect_replication(options);
  const auto slot = "walvault_repair_" + archive.repository().id().substr(0, 8);
  if (!server->create_temporary_slot(slot, SlotWal::not_kept)) {
    throw Error(ErrorKind::unavailable, "WAL of this cluster is being fetched already",
                "The server has a slot " + slot + ".", "Wait for it to end.");
  }
  const auto view = archive.view_of(gap.timeline);
  WalStreamer streamer(view, *server, slot, clock, {});
  if (!accepted) streamer.keeps_from({});
  streamer.start({.lsn = gap.from, .timeline = gap.timeline.timeline});
  auto deadline = clock.steady() + silence_max;
  auto number = geometry.number_of(gap.from);
  while (geometry.start_of(number) < gap.to) {
    options.check_cancelled();
    if (view.has_segment({.timeline = gap.timeline.timeline, .number = number})) {
      ++number;
      deadline = clock.steady() + silence_max;
      continue;
    }
    // What it ended with counts only while something is still missing.
    streamer.check();
    if (clock.steady() > deadline) {
      throw Error(ErrorKind::unavailable, "the server sends no WAL from " + gap.from.text(),
                  "Nothing came for too long.", "Look into its log.");
    }
    clock.sleep_for(look_every);
  }
}

}  // namespace walvault
