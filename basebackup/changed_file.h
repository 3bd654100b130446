// One file of an incremental backup as it arrives: the blocks that changed, put together
// with what the parent has into the whole file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "postgres/incremental_file.h"
#include "repository/tree_writer.h"

namespace walvault {

// Not thread-safe.
class ChangedFile {
 public:
  struct Sizes {
    std::uint32_t block_bytes = 8192;  // a divisor of a chunk
    std::uint32_t segment_blocks = 131072;
  };

  // `entry.size`: of what arrives. `tree` must outlive this.
  ChangedFile(TreeWriter& tree, FileEntry entry, Sizes sizes);

  void feed(ByteView bytes);

  // Of the whole file. Error{corrupt} when not all of it came.
  struct Whole {
    std::uint64_t size = 0;
    std::uint32_t crc = 0;
  };
  [[nodiscard]] Whole finish();

 private:
  [[nodiscard]] std::uint64_t chunks() const;
  [[nodiscard]] std::uint32_t chunk_length(std::uint64_t chunk) const;
  [[nodiscard]] bool is_changed(std::uint64_t chunk) const;
  [[nodiscard]] bool is_taken_over(std::uint64_t chunk) const;
  void begin();
  void pass_unchanged();
  void begin_chunk();
  void end_chunk();
  void read_ahead();
  [[nodiscard]] ByteView old_part(std::uint64_t chunk) const;
  void add_to_crc(ByteView content);

  TreeWriter& tree_;
  FileEntry entry_;
  const Sizes sizes_;
  IncrementalHeaderReader reader_;
  std::optional<IncrementalHeader> header_;

  TreeWriter::KnownFile old_;             // what the parent has
  std::uint64_t kept_bytes_ = 0;          // so much of that still counts, but for what changed
  bool keeps_all_ = false;                // chunks may be taken over unread
  std::uint64_t chunk_ = 0;               // the next one
  std::size_t next_block_ = 0;            // of the header's: the next one that arrives
  std::size_t block_filled_ = 0;          // bytes of it that have arrived
  Bytes content_;                         // of the chunk that waits for blocks; empty for none
  std::map<std::uint64_t, Bytes> ahead_;  // the parent's chunks, read a few at a time

  // The checksum of the whole, of which most is never seen: of the parent's, with what
  // changed in it; and of what was added behind it.
  std::uint32_t old_crc_ = 0;
  std::uint64_t old_bytes_ = 0;
  std::uint32_t added_crc_ = 0;
  std::uint64_t added_bytes_ = 0;
};

}  // namespace walvault
