// A backup as a tree of content: chunk references, maps (the chunk list of a
// file), file entries, and the root that holds it all together.
// docs/repository-format.md, "Maps", "File table", "Roots".
//
//   root       +----------+---+------+--------+------------+---------+-------+--------+
//              | envelope | h | head | digest | pack table | streams | notes | digest |
//              |    32    | 4 |  h   |   32   |            |         |       |   32   |
//              +----------+---+------+--------+------------+---------+-------+--------+
//              '------- one read lists a backup ------'
//
//   What a root leads to, each arrow a chunk reference:
//
//     root --> stream "files": the file table --> a file of one chunk ------> its chunk
//          |                                  '-> a larger file --> map --> its chunks
//          '-> stream "manifest" --> its chunks          (a map: up to 4096 of them, 1 GiB)
//
//   chunk reference: kind | chunk id 32 | pack, offset, length, ordinal (varints) | bases
//   kind 0 is a chunk of zeros, and nothing follows. `pack` is an index into the pack table,
//   which names every pack that a restore needs: so gc reads roots and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "repository/pack.h"

namespace walvault {

// One map covers this many chunks of its file at most: 1 GiB.
inline constexpr std::size_t map_chunks_max = 4096;

// The packs that a tree needs, each once; references name them by index.
class PackTable {
 public:
  struct Entry {
    PackName name;
    std::uint64_t size = 0;  // bytes as stored
  };

  // The index of `name`, new or not.
  std::uint32_t add(const PackName& name, std::uint64_t size);
  // Sets a place aside for a pack whose digest is known only when it is full.
  std::uint32_t reserve(const WriterId& writer);
  void resolve(std::uint32_t index, const Digest& digest, std::uint64_t size);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::optional<std::uint32_t> find(const PackName& name) const;
  // Error{corrupt} for an index out of range: it was read from disk.
  [[nodiscard]] const Entry& at(std::uint32_t index) const;

  void write(ByteWriter& out) const;
  [[nodiscard]] static PackTable read(ByteReader& in);

 private:
  std::vector<Entry> entries_;
  std::map<PackName, std::uint32_t> index_;
};

// A frame, and a chunk in it. `pack` is an index into a PackTable.
struct FramePlace {
  std::uint32_t pack = 0;
  FrameLocation frame;

  auto operator<=>(const FramePlace&) const = default;
};

// A DELTA has at most this many frames below it; what writers make of them is less.
inline constexpr std::size_t delta_bases_max = 8;

// Where one chunk is stored; a chunk of zeros is stored nowhere and has neither id
// nor place.
struct ChunkRef {
  bool zero = false;
  ChunkId id;
  std::uint32_t pack = 0;
  FrameLocation frame;
  // Of a DELTA: the frame that it was made against, then the one that this was made
  // against, and so on. The last is no DELTA.
  std::vector<FramePlace> bases = {};

  bool operator==(const ChunkRef&) const = default;
  [[nodiscard]] FramePlace place() const { return {.pack = pack, .frame = frame}; }
  // All frames that it takes to have the chunk.
  [[nodiscard]] std::vector<FramePlace> places() const;
};

void write_chunk_ref(ByteWriter& out, const ChunkRef& ref);
[[nodiscard]] ChunkRef read_chunk_ref(ByteReader& in);

// The map's bytes: the packs it needs, in order of first use, then the chunks
// in columns. `table` resolves the references' pack indexes; equal references
// give equal bytes whatever the table.
[[nodiscard]] Bytes encode_map(const std::vector<ChunkRef>& refs, const PackTable& table);

// Decodes a map. Error{corrupt} when it names a pack that `table`, its root's,
// does not.
[[nodiscard]] std::vector<ChunkRef> decode_map(ByteView map, const PackTable& table);

enum class EntryKind : std::uint8_t { file = 0, directory = 1, symlink = 2 };

struct FileEntry {
  EntryKind kind = EntryKind::file;
  std::string path;         // raw bytes, relative, '/' between parts
  std::string link_target;  // of a symlink
  std::uint32_t mode = 0;   // permission bits
  std::int64_t mtime = 0;   // seconds since 1970
  std::uint64_t size = 0;
  std::uint32_t crc = 0;  // CRC-32C of the whole content
  // A file of one chunk has its reference here; a larger one has a reference
  // to a map for each GiB of it; an empty one has neither.
  std::optional<ChunkRef> chunk;
  std::vector<ChunkRef> maps;

  bool operator==(const FileEntry&) const = default;
};

void write_file_entry(ByteWriter& out, const FileEntry& entry);
[[nodiscard]] FileEntry read_file_entry(ByteReader& in);

// A sequence of bytes of any length in the tree beside the files: the file
// table itself, the server's manifest.
struct Stream {
  std::string name;
  std::uint64_t size = 0;
  std::vector<ChunkRef> chunks;
};

inline constexpr std::size_t root_head_bytes_max = 16384;

// The commit point of a backup.
struct Root {
  Bytes head;  // at most root_head_bytes_max; what is in it is its writer's affair
  PackTable packs;
  std::vector<Stream> streams;
  std::map<std::string, Bytes> notes;  // small files that are kept apart

  // Error{not_found} when there is none of that name.
  [[nodiscard]] const Stream& stream(std::string_view name) const;
};

[[nodiscard]] Bytes encode_root(const ObjectCodec& codec, const Root& root, std::string_view key);
[[nodiscard]] Root decode_root(const ObjectCodec& codec, ByteView object, std::string_view key);

// The head alone, from the first `root_prefix_bytes` of a root.
inline constexpr std::size_t root_prefix_bytes = 16384 + 128;
[[nodiscard]] Bytes decode_root_head(const ObjectCodec& codec, ByteView prefix,
                                     std::string_view key);

}  // namespace walvault
