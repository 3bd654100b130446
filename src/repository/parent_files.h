// What the parent backup holds at a file and offset: the first place a writer
// looks for content it need not store again.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "repository/tree_reader.h"
#include "repository/writer_session.h"

namespace walvault {

// Takes 16 bytes of memory for each file of the parent, and a few decoded
// chunks of its file table. Not thread-safe.
class ParentFiles {
 public:
  explicit ParentFiles(const WriterSession& session);

  // A file of the parent, read from front to back.
  class File {
   public:
    // The chunk at number `index`, if the parent has one that may be borrowed
    // (or one of zeros). Indexes must not go backwards by more than a map.
    [[nodiscard]] std::optional<ChunkRef> chunk(std::uint64_t index);

    // The parent's reference to map number `index`.
    [[nodiscard]] std::optional<ChunkRef> map(std::size_t index) const;
    [[nodiscard]] std::size_t maps() const { return entry_.maps.size(); }
    [[nodiscard]] const FileEntry& entry() const { return entry_; }

   private:
    friend class ParentFiles;
    File(ParentFiles& parent, FileEntry entry) : parent_(&parent), entry_(std::move(entry)) {}

    ParentFiles* parent_;
    FileEntry entry_;
    std::optional<std::size_t> loaded_map_;
    std::vector<ChunkRef> refs_;
  };

  // nullopt: the parent has no file of that path.
  [[nodiscard]] std::optional<File> find(std::string_view path);

  // The chunks of a stream of the parent, nullopt for one that may not be borrowed;
  // empty where there is none of that name.
  [[nodiscard]] std::vector<std::optional<ChunkRef>> stream(std::string_view name) const;

  // Empty where there is no parent.
  [[nodiscard]] const PackTable& packs() const { return reader_ ? reader_->root().packs : none_; }

  // A parent that is damaged costs space, never the next backup: where it
  // cannot be read, nothing is borrowed. This says what was met first.
  [[nodiscard]] const std::string& damage() const { return damage_; }

 private:
  struct Place {
    std::uint64_t path_hash;
    std::uint32_t table_chunk;
    std::uint32_t offset;
  };
  struct CachedChunk {
    std::uint32_t index;
    Bytes bytes;
  };

  void index_files();
  void expect_readable(const ChunkRef& ref) const;
  void note_damage(const Error& error);
  [[nodiscard]] bool may_borrow(const ChunkRef& ref) const;
  [[nodiscard]] const Bytes& table_chunk(std::uint32_t index);

  std::optional<TreeReader> reader_;
  PackTable none_;
  std::string damage_;
  std::vector<Place> places_;       // ascending by hash
  std::vector<bool> borrowable_;    // by pack index
  std::vector<bool> damaged_;       // likewise
  std::vector<CachedChunk> cache_;  // most recently used first
};

}  // namespace walvault
