// global/pg_control (catalog/pg_control.h): what a data directory says of
// itself. Little-endian, 64-bit builds.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

// Below the data directory.
inline constexpr std::string_view control_file_path = "global/pg_control";

// Bytes of a CheckPoint, from 13 to 18.
inline constexpr std::size_t checkpoint_copy_bytes = 88;

struct ControlFile {
  std::uint64_t system_identifier = 0;
  std::uint32_t control_version = 0;  // 1300, 1700, 1800
  std::uint32_t catalog_version = 0;
  Lsn checkpoint;
  Lsn redo;
  TimelineId timeline;              // of the checkpoint
  std::uint64_t next_full_xid = 0;  // at the checkpoint, epoch in the upper half
  // The checkpoint as its WAL record has it.
  std::array<std::uint8_t, checkpoint_copy_bytes> checkpoint_copy{};
  // What recovery demands to be no smaller (CheckRequiredParameterValues).
  std::uint32_t max_connections = 0;
  std::uint32_t max_worker_processes = 0;
  std::uint32_t max_wal_senders = 0;
  std::uint32_t max_prepared_transactions = 0;
  std::uint32_t max_locks_per_transaction = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t relation_segment_blocks = 0;
  std::uint32_t wal_block_bytes = 0;
  std::uint32_t wal_segment_bytes = 0;
  std::uint32_t data_checksum_version = 0;  // 0: off
};

// Error{corrupt} for a wrong CRC, a version not known, or bytes cut short.
[[nodiscard]] ControlFile parse_control_file(ByteView content);

}  // namespace walvault
