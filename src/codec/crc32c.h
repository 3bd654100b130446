// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as PostgreSQL uses it
// for pg_control, WAL records and backup manifests (port/pg_crc32c.h).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace walvault {

// The checksum of `bytes`, or of more bytes after those that gave `before`.
[[nodiscard]] std::uint32_t crc32c(ByteView bytes, std::uint32_t before = 0);

// The checksum of A followed by B, from the checksums of both and B's length.
// It is its own inverse: combined with A's again, that of AB gives that of B.
[[nodiscard]] std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b,
                                           std::uint64_t bytes_b);

// The portable form, for processors without the instruction; the same result.
[[nodiscard]] std::uint32_t crc32c_portable(ByteView bytes, std::uint32_t before = 0);

}  // namespace walvault
