// Finds in the archived WAL what a transaction did that cannot be undone:
// dropped, truncated and rewritten relations, dropped databases, deleted rows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/records/catalogue_snapshot.h"
#include "catalog/wal/wal_archive.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_record.h"

namespace walvault {

enum class ChangeKind {
  none,  // nothing but rows
  dropped,
  truncated,
  reindexed,
  truncated_or_reindexed,  // no name of a file is known
  rewritten,               // VACUUM FULL, CLUSTER, ALTER TABLE: WAL does not tell them apart
  moved,                   // to another tablespace
  database_dropped,
};

[[nodiscard]] std::string change_kind_name(ChangeKind kind);  // "dropped"

// A relation that a transaction changed, by name where one is known.
struct ChangedRelation {
  RelationFile file;
  std::string database;  // empty: not known
  std::string name;
  char kind = 0;              // pg_class.relkind; 0: not known
  bool removed = false;       // its file
  std::uint64_t deleted = 0;  // rows

  bool operator==(const ChangedRelation&) const = default;
};

// A transaction that ended.
struct TransactionChange {
  Lsn lsn;   // of the record that ends it
  Lsn stop;  // replay has to stop before this record to be before the change
  TimelineId timeline;
  Timestamp time;
  std::uint32_t xid = 0;
  TransactionEnd end = TransactionEnd::commit;
  ChangeKind kind = ChangeKind::none;
  std::uint64_t rows_deleted = 0;
  std::uint32_t files_removed = 0;
  std::vector<ChangedRelation> relations;
};

struct ChangeQuery {
  bool files = false;    // ends of transactions that removed files, and dropped databases
  bool deletes = false;  // that deleted rows
  std::optional<std::uint32_t> xid;
  // Ends within `around` of `time`.
  std::optional<Timestamp> time;
  std::chrono::microseconds around{};
  // Only ends between these times.
  std::optional<Timestamp> from;
  std::optional<Timestamp> until;
};

struct ChangeSearch {
  std::uint64_t segments = 0;  // that were looked at
  // Stretches that are missing or cannot be read, in words.
  std::vector<std::string> holes;
  // What segments held too much of to be counted in full.
  std::uint64_t left_out = 0;
};

// Walks the archived WAL of a history from `start` on, over gaps, and hands each
// end that the query means to `each`, in order. Rows and files of a transaction
// that began before `start` count only from there.
ChangeSearch find_changes(const WalArchive& archive, const TimelineHistory& history, Lsn start,
                          const ChangeQuery& query,
                          const std::function<void(const TransactionChange&)>& each,
                          const std::function<void()>& check_cancelled);

}  // namespace walvault
