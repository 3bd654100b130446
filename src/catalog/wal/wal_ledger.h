// A ledger: what a whole directory of archived segments (those of one log, 256
// of 16 MiB) says of its part of the chain, in one object. Derived: whoever finds
// none reads the segments. docs/repository-format.md, "Ledgers".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/wal/wal_archive.h"

namespace walvault {

struct LedgerEntry {
  std::uint64_t number = 0;  // of the segment
  // Without what the chain and the search for a target do not need.
  ChainSummary chain;

  bool operator==(const LedgerEntry&) const = default;
};

// Segments that cannot be summarized have no entry.
struct WalLedger {
  std::vector<LedgerEntry> entries;  // ascending by number

  // nullptr: it has none.
  [[nodiscard]] const ChainSummary* find(std::uint64_t number) const;
};

// The last part of a ledger's key: a digest over which segments there are and
// how long their objects. A ledger of other content than the directory has is
// so never found.
[[nodiscard]] std::string ledger_name(std::span<const StoredSegment> segments);

// Takes from the summaries of neighbours what a ledger need not hold.
void trim_for_ledger(std::vector<LedgerEntry>& entries);

[[nodiscard]] Bytes encode_wal_ledger(const WalLedger& ledger);

// Error{corrupt} naming the key.
[[nodiscard]] WalLedger decode_wal_ledger(ByteView payload, std::string_view key);

}  // namespace walvault
