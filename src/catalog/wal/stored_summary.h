// A segment's summary as its WAL object holds it: docs/repository-format.md,
// "Summaries".
#pragma once

#include <string_view>

#include "postgres/wal_summary.h"

namespace walvault {

// What a trailer gives as the version of the summary that this program writes.
inline constexpr std::uint32_t wal_summary_version = 1;

// No summary is longer.
inline constexpr std::size_t wal_summary_bytes_max = 1u << 20;

[[nodiscard]] Bytes encode_wal_summary(const WalSummary& summary);

// Error{corrupt} naming the key.
[[nodiscard]] WalSummary decode_wal_summary(ByteView stored, std::string_view key);

}  // namespace walvault
