// The ends of transactions as the archived WAL itself has them, with all that
// a summary leaves out.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "catalog/wal/wal_archive.h"
#include "postgres/wal_record.h"

namespace walvault {

// What is read: the segment `name` under `key`, and after it, while a record that
// began in it goes on, those that `key_behind` gives. `timeline` is the one that
// the history leads to, pages of which may follow.
struct SegmentSource {
  SegmentName name;
  std::string key;
  TimelineId timeline;
  std::function<std::optional<std::string>(std::uint64_t number)> key_behind;
};

// Calls `each` for every end of a transaction whose record begins in the segment,
// in order, until that returns false. Of a record that is not built as expected,
// what its first bytes tell. Error{unavailable} when the object is gone.
void visit_transaction_ends(const WalArchive& archive, const SegmentSource& source,
                            const std::function<bool(Lsn, const TransactionRecord&)>& each);

// Where the first record begins that begins at or behind `position`, of those that begin in
// the segment; nullopt: none does. Errors likewise.
[[nodiscard]] std::optional<Lsn> first_record_from(const WalArchive& archive,
                                                   const SegmentSource& source, Lsn position);

}  // namespace walvault
