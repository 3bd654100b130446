#include "repository/tree_reader.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

Root load_root(const Repository& repository, const std::string& key) {
  const auto object = repository.storage().find(key);
  if (!object) throw Error(ErrorKind::not_found, "there is no backup at " + key);
  return decode_root(repository.codec(), *object, key);
}

std::uint32_t chunk_length(const FileEntry& entry, std::uint64_t offset) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(chunk_bytes, entry.size - offset));
}

}  // namespace

TreeReader::TreeReader(const Repository& repository, const std::string& root_key)
    : TreeReader(repository, load_root(repository, root_key)) {}

TreeReader::TreeReader(const Repository& repository, Root root)
    : root_(std::move(root)),
      table_(&root_.stream("files")),
      lists_(repository.storage(), root_.packs, repository.clock()),
      content_(repository.storage(), root_.packs, repository.clock()) {}

Bytes TreeReader::table_chunk(std::size_t index) { return lists_.read(table_->chunks.at(index)); }

void TreeReader::for_each_entry(const std::function<void(FileEntry&)>& each) {
  for (std::size_t i = 0; i < table_chunks(); ++i) {
    const auto chunk = table_chunk(i);
    ByteReader in(chunk, "a file table");
    while (in.left() > 0) {
      auto entry = read_file_entry(in);
      each(entry);
    }
  }
}

std::vector<ChunkRef> TreeReader::chunks_of_map(const FileEntry& entry, std::size_t index) {
  const auto map = lists_.read(entry.maps.at(index));
  auto refs = decode_map(map, root_.packs);
  const auto chunks = (entry.size + chunk_bytes - 1) / chunk_bytes;
  const auto expected = std::min<std::uint64_t>(map_chunks_max, chunks - index * map_chunks_max);
  if (refs.size() != expected) {
    throw Error(ErrorKind::corrupt, "the chunk list of \"" + entry.path + "\" has a hole",
                "A map of it lists " + std::to_string(refs.size()) + " chunks where " +
                    std::to_string(expected) + " are expected.");
  }
  return refs;
}

void TreeReader::for_each_stored_chunk(const FileEntry& entry, std::size_t map,
                                       const EachChunk& each) {
  const auto refs = chunks_of_map(entry, map);
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (refs[i].zero) continue;
    const auto offset = (map * map_chunks_max + i) * std::uint64_t{chunk_bytes};
    each(offset, chunk_length(entry, offset), refs[i]);
  }
}

void TreeReader::for_each_stored_chunk(const FileEntry& entry, const EachChunk& each) {
  if (entry.chunk && !entry.chunk->zero) each(0, chunk_length(entry, 0), *entry.chunk);
  for (std::size_t map = 0; map < entry.maps.size(); ++map) {
    for_each_stored_chunk(entry, map, each);
  }
}

void TreeReader::read_chunks(std::span<const ChunkRef> refs, std::uint64_t& left,
                             const std::function<void(ByteView)>& sink) {
  for (const auto& ref : refs) {
    const auto expected = std::min<std::uint64_t>(chunk_bytes, left);
    const auto chunk = ref.zero ? Bytes(expected) : content_.read(ref);
    if (chunk.size() != expected) throw DamagedChunk(root_.packs, ref, "It has another length.");
    left -= expected;
    sink(chunk);
  }
}

void TreeReader::read_file(const FileEntry& entry, const std::function<void(ByteView)>& sink) {
  auto left = entry.size;
  if (entry.chunk) read_chunks({&*entry.chunk, 1}, left, sink);
  for (std::size_t map = 0; map < entry.maps.size(); ++map) {
    read_chunks(chunks_of_map(entry, map), left, sink);
  }
}

void TreeReader::read_stream(std::string_view name, const std::function<void(ByteView)>& sink) {
  const auto& stream = root_.stream(name);
  auto left = stream.size;
  read_chunks(stream.chunks, left, sink);
}

}  // namespace walvault
