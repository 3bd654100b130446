// Reads trees: roots, file tables, maps, chunks. Every chunk that leaves here
// has been checked against its id.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "repository/chunk_decoder.h"
#include "repository/repository.h"
#include "repository/tree.h"

namespace walvault {

// Not thread-safe. Lists, and a file's content, are read ahead of what is asked for.
class TreeReader {
 public:
  // Error{not_found} when there is no such root.
  TreeReader(const Repository& repository, const std::string& root_key);
  TreeReader(const Repository& repository, Root root);
  TreeReader(const TreeReader&) = delete;
  TreeReader& operator=(const TreeReader&) = delete;

  [[nodiscard]] const Root& root() const { return root_; }

  // The decoded file table, chunk by chunk; memory does not grow with it.
  [[nodiscard]] std::size_t table_chunks() const { return table_->chunks.size(); }
  [[nodiscard]] Bytes table_chunk(std::size_t index);
  void for_each_entry(const std::function<void(FileEntry&)>& each);

  // The chunks of a file that map number `index` of it lists. Their pack
  // indexes are those of root().packs. Error{corrupt} when the map does not
  // cover exactly what the entry's size says.
  [[nodiscard]] std::vector<ChunkRef> chunks_of_map(const FileEntry& entry, std::size_t index);

  // Every chunk of map number `index` that is stored, those of zeros left out.
  // `offset` in the file, `length` plain, both in bytes.
  using EachChunk =
      std::function<void(std::uint64_t offset, std::uint32_t length, const ChunkRef& ref)>;
  void for_each_stored_chunk(const FileEntry& entry, std::size_t map, const EachChunk& each);
  // Of a whole file, whatever its size.
  void for_each_stored_chunk(const FileEntry& entry, const EachChunk& each);

  // A file's content, a chunk at a time.
  void read_file(const FileEntry& entry, const std::function<void(ByteView)>& sink);
  void read_stream(std::string_view name, const std::function<void(ByteView)>& sink);

 private:
  void read_chunks(std::span<const ChunkRef> refs, std::uint64_t& left,
                   const std::function<void(ByteView)>& sink);

  Root root_;
  const Stream* table_;
  ChunkReader lists_;
  ChunkReader content_;
};

}  // namespace walvault
