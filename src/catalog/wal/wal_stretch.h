// Unbroken runs of archived WAL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

// Segments of one timeline, one after another.
struct WalRun {
  TimelineId timeline;
  std::uint64_t first = 0;
  std::uint64_t segments = 0;
};

// The WAL that replay finds from a position on, along one timeline's history,
// until the first segment that is not archived.
struct WalStretch {
  std::uint64_t segments = 0;
  std::vector<WalRun> runs;  // the same, in order, by the timeline that each is archived under
  std::uint64_t stored_bytes = 0;
  SegmentName first;  // valid when segments > 0
  SegmentName last;
  Lsn begin;  // where replay begins
  Lsn end;    // the position behind it; the start when there is nothing
  // When the last file was last written to: no commit in it is later.
  Timestamp until;
  // What follows is archived only in part: the last segment that its server wrote, or the one in
  // which a backup of a standby ends. `end` lies in it then. Of several parts the one that reaches
  // furthest; of a segment that holds a switch that of the newer timeline, which begins with what
  // the older one had written. `partial_object` is the last part of its key.
  std::optional<SegmentName> partial;
  std::string partial_object;
  // Another part of that segment has other WAL, which does not reach as far: two servers wrote it.
  bool is_partial_contradicted = false;
  // A later segment of the same history is archived: what stops the stretch is
  // a hole and not the end.
  bool gap_follows = false;
  // The segment in which the history leaves `switches_from` is archived only as that timeline wrote
  // it, and goes on behind the switch, into a history that was abandoned: replay has to be stopped
  // at `end`, which is the switch. Zero: no such thing.
  TimelineId switches_from;
};

[[nodiscard]] WalStretch wal_from(const WalArchive& archive, const TimelineHistory& history,
                                  Lsn start);

// The key under which a segment of a stretch is stored, the partial one too;
// nullopt: the stretch does not have it.
[[nodiscard]] std::optional<std::string> key_in_stretch(const WalArchive& archive,
                                                        const WalStretch& stretch,
                                                        std::uint64_t number);

// Of what is archived of a segment in part, the key of what reaches furthest; nullopt: nothing is.
[[nodiscard]] std::optional<std::string> find_furthest_part(const WalArchive& archive,
                                                            const SegmentName& segment);

// Whether all segments that a backup needs by itself are archived, by their names; the last one
// may be there in part. `archive` is a view of its branch.
[[nodiscard]] bool has_own_wal(const WalArchive& archive, const BackupInfo& backup);

// Whether a backup lies on a history: replay from it can follow that history,
// of which `archive` is the view.
[[nodiscard]] bool lies_on(const WalArchive& archive, const BackupInfo& backup,
                           const TimelineHistory& history);

}  // namespace walvault
