// A segment's summary as its WAL object holds it: docs/repository-format.md,
// "Summaries".
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "codec/sha256.h"
#include "postgres/wal_summary.h"

namespace walvault {

// What a trailer gives as the version of the summary that this program writes, and the oldest
// that it reads.
inline constexpr std::uint32_t wal_summary_version = 2;
inline constexpr std::uint32_t wal_summary_version_min = 1;

// No summary is longer.
inline constexpr std::size_t wal_summary_bytes_max = 1u << 20;

// Where WAL comes from, as who archived it knew.
struct WalOrigin {
  // SHA-256 of the segment before, as this source had it; never taken from the archive.
  std::optional<Digest> before = {};
  // Which data directory it was archived for (archiving/server_notes.h).
  std::optional<RandomId> archiver = {};

  bool operator==(const WalOrigin&) const = default;
};

struct StoredSummary {
  WalSummary summary = {};
  WalOrigin origin = {};

  bool operator==(const StoredSummary&) const = default;
};

// In the newest version.
[[nodiscard]] Bytes encode_wal_summary(const StoredSummary& stored);

// REQUIRES: a version that this program reads. Error{corrupt} naming the key.
[[nodiscard]] StoredSummary decode_wal_summary(ByteView stored, std::string_view key,
                                               std::uint32_t version = wal_summary_version);

}  // namespace walvault
