// The checksum that PostgreSQL puts on each page of a relation
// (storage/checksum_impl.h), where the cluster has data checksums.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

inline constexpr std::size_t data_page_bytes = 8192;

// The number of the block that a file of a relation begins with, by its path in the
// data directory: base/5/16384.1 begins with block 131072. nullopt: the file holds
// no pages with checksums. `segment_blocks` as in pg_control.
[[nodiscard]] std::optional<std::uint32_t> first_block_of(std::string_view path,
                                                          std::uint32_t segment_blocks);

// REQUIRES: one page.
[[nodiscard]] std::uint16_t page_checksum(ByteView page, std::uint32_t block);

// Whether a page of a backup is what its checksum says.
enum class PageVerdict {
  right,
  wrong,
  empty,          // never written to: it has none
  written_since,  // behind `start`, where the backup starts: it may be torn, and replay
                  // writes it anew
};
[[nodiscard]] PageVerdict judge_page(ByteView page, std::uint32_t block, Lsn start);

}  // namespace walvault
