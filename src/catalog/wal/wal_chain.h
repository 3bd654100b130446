// Proof that a stretch of archived WAL is one chain of whole records, from the
// summaries of its segments.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "catalog/wal/wal_stretch.h"
#include "postgres/wal_summary.h"

namespace walvault {

// The end of a transaction, or a restore point, whose record crosses from one
// segment into the next.
struct CrossingRecord {
  Lsn lsn;
  std::optional<TransactionGlimpse> end;
  std::optional<RestorePoint> restore_point;
};

// A segment that continues the chain.
struct ChainSegment {
  SegmentName name;
  std::string key;
  WalSummary summary;
  // The record that began in the segment before and ends in this one.
  std::optional<CrossingRecord> crossing;
};

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
};

// Walks a stretch from its first segment on, and hands each one that continues
// the chain to `each`, until the chain breaks. `archive` is the view that the
// stretch was taken of.
[[nodiscard]] WalChain prove_chain(const WalArchive& archive, const WalStretch& stretch,
                                   const std::function<void(const ChainSegment&)>& each);

}  // namespace walvault
