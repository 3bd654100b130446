// Archives the segment that PostgreSQL offers, and beside it those which it will offer
// next.
#pragma once

#include <optional>
#include <string>

#include "archiving/acknowledgements.h"
#include "archiving/push.h"

namespace walvault {

struct PushAheadOptions {
  PushOptions push;  // `threads` is for all together
  unsigned ahead = 0;
  // Segments that are stored at once, behind the offered one. 1: each only when the
  // one before it is there.
  unsigned uploads = 1;
};

struct PushAheadResult {
  PushResult offered;
  unsigned ahead = 0;  // segments that were archived beside it
};

// As push_wal_file. Segments that wait behind it
// (archive_status/*.ready beside the file) are archived in parallel, up to `ahead` of
// them, and noted; a call for one that was noted looks whether the note is true, and is
// done. What happens to those never fails the call at hand.
//
// Behind one that fails none is begun. With `uploads` above 1 only segments of which none
// is archived so far are stored at the same time, behind the offered one.
//
// `notes`: nullptr for none; then nothing is archived ahead.
[[nodiscard]] PushAheadResult push_and_ahead(const WalArchive& archive, const OfferedFile& offered,
                                             Clock& clock, const PushAheadOptions& options,
                                             const Acknowledgements* notes);

}  // namespace walvault
