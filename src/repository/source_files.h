// What one tree that a writer may borrow from holds at a file and offset: where it looks
// for content that it need not store again.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "repository/tree_reader.h"
#include "repository/writer_session.h"

namespace walvault {

// Takes 36 bytes of memory for each file of the tree, a few decoded chunks of its file table,
// and what is read ahead (ChunkReader). Not thread-safe.
class SourceFiles {
 public:
  // `root`: one of the session's sources. Both must outlive this. Where it is nobody's
  // backup, whatever cannot be read of it is taken for damaged.
  enum class Kind { backup, unfinished };
  SourceFiles(const WriterSession& session, const Root& root, Kind kind);

  // A file of the tree, read from front to back.
  class File {
   public:
    // The chunk at number `index`, if the tree has one that may be borrowed
    // (or one of zeros). Indexes must not go backwards by more than a map.
    [[nodiscard]] std::optional<LentRef> chunk(std::uint64_t index);

    // The tree's reference to map number `index`.
    [[nodiscard]] std::optional<LentRef> map(std::size_t index) const;
    [[nodiscard]] std::size_t maps() const { return entry_.maps.size(); }
    [[nodiscard]] const FileEntry& entry() const { return entry_; }

   private:
    friend class SourceFiles;
    File(SourceFiles& source, FileEntry entry) : source_(&source), entry_(std::move(entry)) {}

    SourceFiles* source_;
    FileEntry entry_;
    std::optional<std::size_t> loaded_map_;
    std::vector<ChunkRef> refs_;
  };

  // nullopt: the tree has no file of that path.
  [[nodiscard]] std::optional<File> find(std::string_view path);

  // A file of that path's last part in whatever directory: of several the one next in
  // size. A copy of a database has its files under the names of the first.
  [[nodiscard]] std::optional<File> find_namesake(std::string_view path, std::uint64_t size);

  // The chunks of a stream, nullopt for one that may not be borrowed; empty where there
  // is none of that name.
  [[nodiscard]] std::vector<std::optional<LentRef>> stream(std::string_view name) const;

  // A source that is damaged costs space, never the next backup: where it
  // cannot be read, nothing is borrowed. This says what was met first.
  [[nodiscard]] const std::string& damage() const { return damage_; }

 private:
  struct Place {
    std::uint64_t path_hash;
    std::uint64_t size;
    std::uint32_t name_hash;  // of the last part
    std::uint32_t table_chunk;
    std::uint32_t offset;
  };
  struct CachedChunk {
    std::uint32_t index;
    Bytes bytes;
  };

  void index_files();
  void index_names();
  [[nodiscard]] FileEntry entry_at(const Place& place);
  [[nodiscard]] const PackTable& packs() const { return reader_.root().packs; }
  void expect_readable(const ChunkRef& ref) const;
  void note_damage(const Error& error);
  [[nodiscard]] bool may_borrow(const ChunkRef& ref) const;
  // nullopt: it may not be borrowed.
  [[nodiscard]] std::optional<LentRef> lent(ChunkRef ref) const;
  [[nodiscard]] const Bytes& table_chunk(std::uint32_t index);

  const Kind kind_;
  TreeReader reader_;
  std::string damage_;
  std::vector<Place> places_;           // ascending by hash of the path
  std::vector<std::uint32_t> by_name_;  // of these, ascending by hash of the name and size
  std::vector<bool> borrowable_;        // by pack index
  std::vector<bool> damaged_;           // likewise
  std::vector<std::uint32_t> lender_;   // likewise: its index of the session's lenders
  std::vector<CachedChunk> cache_;      // most recently used first
};

}  // namespace walvault
