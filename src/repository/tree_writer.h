// The pipeline that turns files into a stored tree, in one pass and bounded
// memory: the caller's thread cuts chunks and looks the parent up; workers hash
// and compress; one thread puts frames into packs and builds maps and the file
// table; `uploads` more store finished packs.
//
// Nothing of it is visible before WriterSession::commit of the root.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "codec/compression.h"
#include "repository/pack.h"
#include "repository/parent_content.h"
#include "repository/tree.h"
#include "repository/writer_session.h"

namespace walvault {

// Not thread-safe: one caller's thread.
class TreeWriter {
 public:
  struct Options {
    CompressionSetting compression;
    unsigned jobs = 2;
    // How many frames may lie below a chunk that is stored as a difference from what
    // the parent has at its place; 0: none is. At most delta_bases_max.
    std::size_t delta_depth = 4;
    // Where reading what they are made against takes too long, few are (DeltaWorth).
    bool weighs_deltas = false;
    // So many packs are stored at once, beside the one that is being filled.
    unsigned uploads = 1;
    PackBuilder::Limits data_pack{};
    PackBuilder::Limits delta_pack{.bytes_max = 16u << 20, .frames_max = 16384};
    PackBuilder::Limits metadata_pack{.bytes_max = 16u << 20, .frames_max = 16384};
    // After so many stored bytes, or a sixteenth of all if that is more, what is stored
    // so far is recorded for the next run to find, should this one be killed.
    std::uint64_t unfinished_bytes_min = 512u << 20;
  };
  struct Totals {
    std::uint64_t files = 0;
    std::uint64_t size_bytes = 0;    // of all files
    std::uint64_t zero_bytes = 0;    // of those, in chunks that are all zeros
    std::uint64_t new_bytes = 0;     // in chunks that were not in the repository
    std::uint64_t stored_bytes = 0;  // of packs that this run wrote
  };

  // `session` must outlive the writer.
  TreeWriter(const WriterSession& session, Options options);
  ~TreeWriter();

  // A directory or a link.
  void add(FileEntry entry);

  // A file: `entry.size` bytes follow by `append`, in pieces of any size.
  void begin_file(FileEntry entry);
  void append(ByteView bytes);
  // Returns the CRC-32C of what was appended. Error{corrupt} when that was not
  // `size` bytes.
  std::uint32_t end_file();

  // A file that is known to hold what the parent's of that path does, unread. Returns
  // its CRC-32C. nullopt, and nothing was added: the parent has none of this size, or
  // not all of it may be borrowed.
  [[nodiscard]] std::optional<std::uint32_t> reuse_file(FileEntry entry);

  // A file much of which is as in the parent's of that path. Chunks follow, those that are
  // not the parent's by `append`, and end_file with the CRC-32C of the whole. nullopt, and
  // nothing was begun: the parent has none.
  struct KnownFile {
    std::uint64_t size = 0;
    std::uint32_t crc = 0;
  };
  [[nodiscard]] std::optional<KnownFile> begin_file_of_parent(FileEntry entry);
  // The next chunk, which the parent has in the same length. UnusableParent.
  void append_chunk_of_parent();
  // The content of the parent's chunks of these numbers, ascending, all read at once.
  // UnusableParent.
  void read_chunks_of_parent(const std::vector<std::uint64_t>& numbers,
                             const std::function<void(std::uint64_t number, ByteView)>& sink);
  void end_file(std::uint32_t crc);

  // Bytes beside the files. Several may be open at a time, and beside a file.
  // `may_borrow`: unless the parent's stream of that name is known to be damaged.
  void begin_stream(const std::string& name, bool may_borrow = true);
  void append_to_stream(const std::string& name, ByteView bytes);
  void end_stream(const std::string& name);

  // Waits until every pack is stored. Returns the root, without its head.
  [[nodiscard]] Root finish();

  // After finish().
  [[nodiscard]] const Totals& totals() const;

  // What was found damaged in the parent, so that it was not borrowed from;
  // empty for nothing.
  [[nodiscard]] const std::string& parent_damage() const;

  // After finish(): packs of the parent in which a chunk was found damaged while it
  // was read to store a difference from it. Others in them may have been borrowed.
  [[nodiscard]] const std::set<PackName>& damaged_bases() const;

 private:
  class Pipeline;
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace walvault
