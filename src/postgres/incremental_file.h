// What a server from 17 on sends in place of a relation's file in an incremental backup,
// under the name INCREMENTAL.FILE (backup/basebackup_incremental.c): which blocks changed
// since the backup before, and these.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace walvault {

// base/5/INCREMENTAL.1259 gives base/5/1259; nullopt for what is no relation's.
[[nodiscard]] std::optional<std::string> path_of_incremental(std::string_view path);

struct IncrementalHeader {
  // Those that follow, ascending; numbers within the file.
  std::vector<std::uint32_t> blocks;
  // Blocks before this one that do not follow are as they were in the backup before; those
  // from it on are zeros.
  std::uint32_t truncation_block = 0;

  // How many the whole file has.
  [[nodiscard]] std::uint32_t length_blocks() const;
};

// Not thread-safe.
class IncrementalHeaderReader {
 public:
  // `file_bytes`: of all that arrives. `segment_blocks`: the most that a file of a
  // relation has.
  IncrementalHeaderReader(std::uint64_t file_bytes, std::uint32_t block_bytes,
                          std::uint32_t segment_blocks);

  // Takes of the front of `bytes` what belongs to the header. True when it is complete.
  // Error{corrupt} for anything that no server sends.
  [[nodiscard]] bool feed(ByteView& bytes);

  // REQUIRES: it is complete.
  [[nodiscard]] IncrementalHeader take();

 private:
  [[nodiscard]] std::size_t needed() const;
  void check_lengths();

  std::uint64_t file_bytes_;
  std::uint32_t block_bytes_;
  std::uint32_t segment_blocks_;
  Bytes header_;
  std::optional<std::size_t> header_bytes_;  // once the count of blocks is known
  std::uint32_t count_ = 0;
  std::uint32_t truncation_block_ = 0;
};

}  // namespace walvault
