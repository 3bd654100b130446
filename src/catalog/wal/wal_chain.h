// Proof that a stretch of archived WAL is one chain of whole records, from the
// summaries of its segments.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "catalog/wal/wal_stretch.h"
#include "postgres/wal_summary.h"

namespace walvault {

// A record that crosses from one segment into the next, of the kinds that matter to a recovery.
struct CrossingRecord {
  Lsn lsn;
  std::optional<TransactionGlimpse> end;
  std::optional<RestorePoint> restore_point;
  std::optional<ParameterChange> parameter_change;
  std::optional<TablespaceCreation> tablespace_creation;
};

// A segment that continues the chain.
struct ChainSegment {
  SegmentName name;
  std::string key;
  WalSummary summary;
  // The record that began in the segment before and ends in this one.
  std::optional<CrossingRecord> crossing;
};

// Within a timeline, who archived changes, as far as that is known: another data directory went on,
// a copy's perhaps.
struct ArchiverChange {
  SegmentName segment;  // the first of the other
  RandomId from{};
  RandomId to{};
};

// In words.
[[nodiscard]] std::string describe(const ArchiverChange& change, WalGeometry geometry);

struct WalChain {
  Lsn begin;        // of the last record that is proved; zero: none is
  Lsn end;          // behind it
  Timestamp until;  // the latest end of a transaction in what is proved
  bool has_ends = false;
  // The latest time that anything in what is proved has: an end of a transaction
  // or a restore point. Zero: nothing has one.
  Timestamp frontier{};
  // What breaks it, in words, and in which segment; empty: all of the stretch is
  // one chain.
  std::string broken;
  SegmentName broken_in;
  // It breaks because its server wrote what no recovery can pass: nothing is damaged.
  bool is_minimal = false;

  // What is in it, from where replay begins.
  std::vector<ParameterChange> parameter_changes;
  std::vector<TablespaceCreation> tablespace_creations;
  std::vector<ArchiverChange> archiver_changes;
  std::optional<RandomId> archiver;  // the last one that is known
  // Borders of segments at which the later one's source had the very segment before it that is
  // archived; and those at which only the positions of records tell that one follows the other.
  std::uint64_t linked_by_content = 0;
  std::uint64_t linked_by_position = 0;
};

// Walks a stretch from its first segment on, and hands each one that continues
// the chain to `each`, until the chain breaks. `archive` is the view that the
// stretch was taken of.
[[nodiscard]] WalChain prove_chain(const WalArchive& archive, const WalStretch& stretch,
                                   const std::function<void(const ChainSegment&)>& each);

}  // namespace walvault
