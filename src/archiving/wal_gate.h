// The gate that WAL passes on its way into an archive: whether it goes on with what is archived,
// as far as its source can show that. Refused is only what contradicts the archive for sure.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "archiving/offered_file.h"
#include "archiving/server_notes.h"
#include "catalog/wal/wal_archive.h"
#include "postgres/wal_page.h"

namespace walvault {

// Whether a file of a pg_wal with this header holds the WAL that its name says, and was not made of
// another one to be used again: that may be of the same position on an older timeline.
[[nodiscard]] bool is_wal_of_its_name(const std::string& pg_wal, const WalSegmentHeader& header,
                                      const SegmentName& segment, WalGeometry geometry);

// Whether a pg_wal's server has left a timeline within a segment, or before it: by the history of
// the newest timeline that it knows.
[[nodiscard]] bool is_left_within(const std::string& pg_wal, const SegmentName& segment,
                                  WalGeometry geometry);

// SHA-256 of a whole segment's bytes; nullopt: it does not tell (file_digest_tells). Error{corrupt}
// for a damaged first page.
[[nodiscard]] std::optional<Digest> find_telling_digest(ByteView content,
                                                        const SegmentName& segment);

// The segment before one; of a timeline's first that of the timeline which it came from.
// nullopt: it is not there.
[[nodiscard]] std::optional<SegmentName> find_segment_before(const std::string& pg_wal,
                                                             const SegmentName& segment,
                                                             WalGeometry geometry);

// What a server archived last, if that is the segment before an offered one, in the same places:
// then it goes on with what is archived.
[[nodiscard]] std::optional<Digest> find_noted_before(const WalArchive& archive,
                                                      const SegmentName& segment,
                                                      const std::string& place,
                                                      const std::optional<LastArchived>& last);

// The digest of the segment before an offered one, as the server has it; nullopt: it has it no
// more. `last`: what that server archived last, which is enough where it is that segment. Else the
// file is read, and compared with what is archived: Error{conflict} where that is another.
[[nodiscard]] std::optional<Digest> expect_follows_archived(
    const WalArchive& archive, const OfferedFile& offered, const SegmentName& segment,
    const std::string& place, const std::optional<LastArchived>& last);

// Of a segment that a server sends: Error{conflict} where another one is archived in its place.
void expect_same_as_archived(const WalArchive& archive, const SegmentName& segment,
                             const Digest& own);

// How one timeline's segments of a pg_wal, where nobody writes, hang together with what is
// archived.
struct WalPlacement {
  // Behind it they follow the archived WAL, as far as numbers are next to each other. nullopt:
  // there is nothing that both have.
  std::optional<SegmentName> shared = {};
  std::optional<Digest> digest = {};      // of that
  std::optional<RandomId> archiver = {};  // for whom it was archived
};

// `segments`: of one timeline, ascending; the last one need not be filled (`is_last_whole`).
// Compared is the newest that both have, or where they have none the one before the first, on the
// timeline that this one came from; of a file that is used again what its server noted, `last`.
// Error{conflict} where that differs.
[[nodiscard]] WalPlacement place_segments(const WalArchive& archive, const std::string& pg_wal,
                                          std::span<const SegmentName> segments, bool is_last_whole,
                                          const std::optional<LastArchived>& last);

}  // namespace walvault
