#include "catalog/wal/wal_ledger.h"

#include <algorithm>

#include "base/error.h"
#include "catalog/wal/stored_summary.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr std::uint8_t ledger_version = 2;
// No segment size gives a directory more: 4 GiB of 1 MiB.
constexpr std::size_t ledger_entries_max = 4096;
constexpr std::size_t manager_offset = 17;  // of xl_rmid in a record's header

// Whether the record that begins with `first` may be one that a target means.
bool may_be_target(const WalTail& tail) {
  if (tail.first.size() <= manager_offset) return true;
  const auto manager = static_cast<ResourceManager>(tail.first[manager_offset]);
  return manager == ResourceManager::transaction || manager == ResourceManager::xlog ||
         manager == ResourceManager::tablespace;
}

}  // namespace

const ChainSummary* WalLedger::find(std::uint64_t number) const {
  const auto it = std::ranges::lower_bound(entries, number, {}, &LedgerEntry::number);
  return it != entries.end() && it->number == number ? &it->chain : nullptr;
}

std::string ledger_name(std::span<const StoredSegment> segments) {
  ByteWriter list;
  // What another version has made lies beside it.
  list.u64(ledger_version);
  for (const auto& segment : segments) {
    list.u64(segment.number);
    list.u64(segment.stored_bytes);
  }
  return sha256(list.bytes()).hex().substr(0, 32);
}

void trim_for_ledger(std::vector<LedgerEntry>& entries) {
  const WalTail* before = nullptr;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto& summary = entries[i].chain.summary;
    summary.checkpoints.clear();
    summary.timeline_changes.clear();
    summary.database_changes.clear();
    summary.file_changes.clear();
    summary.file_drops.clear();
    summary.row_counts.clear();
    summary.left_out = 0;
    // Of a record that crosses, only its header matters, where it is known to be
    // no target. Of the first one's head it is not known.
    const bool follows = i > 0 && entries[i - 1].number + 1 == entries[i].number;
    if (!follows) before = nullptr;
    const auto keep_header = [](Bytes& bytes) {
      if (bytes.size() > wal_record_header_bytes) bytes.resize(wal_record_header_bytes);
    };
    if (before != nullptr && !may_be_target(*before)) keep_header(summary.head.first);
    if (summary.tail) {
      before = &*summary.tail;
    } else if (summary.head.left == 0) {
      before = nullptr;
    }
  }
  for (auto& entry : entries) {
    auto& tail = entry.chain.summary.tail;
    // With a header that is cut in two, how much of it lies here counts.
    if (tail && !may_be_target(*tail) && tail->first.size() > wal_record_header_bytes) {
      tail->first.resize(wal_record_header_bytes);
    }
  }
}

Bytes encode_wal_ledger(const WalLedger& ledger) {
  ByteWriter out;
  out.u8(ledger_version);
  out.varint(ledger.entries.size());
  for (const auto& entry : ledger.entries) {
    out.varint(entry.number);
    out.raw(digest_or_zeros(entry.chain.digest).view());
    out.string(as_text(encode_wal_summary({entry.chain.summary, entry.chain.origin})));
  }
  return out.take();
}

WalLedger decode_wal_ledger(ByteView payload, std::string_view key) {
  ByteReader in(payload, key);
  if (const auto version = in.u8(); version != ledger_version) {
    throw Error(ErrorKind::corrupt, "the ledger " + std::string(key) + " is of another version",
                "It is " + std::to_string(version) + ".");
  }
  WalLedger ledger;
  const auto count = in.count(2);
  if (count > ledger_entries_max) {
    throw Error(ErrorKind::corrupt, "the ledger " + std::string(key) + " is damaged",
                "It has " + std::to_string(count) + " entries.");
  }
  ledger.entries.resize(count);
  std::uint64_t behind = 0;
  for (auto& entry : ledger.entries) {
    entry.number = in.varint();
    if (entry.number < behind) {
      throw Error(ErrorKind::corrupt, "the ledger " + std::string(key) + " is damaged",
                  "Its entries are not in order.");
    }
    behind = entry.number + 1;
    entry.chain.digest = read_optional_digest(in);
    const auto length = in.count(1);
    auto stored = decode_wal_summary(in.raw(length), key);
    entry.chain.summary = std::move(stored.summary);
    entry.chain.origin = stored.origin;
  }
  in.expect_end();
  return ledger;
}

}  // namespace walvault
