// Whole files into a stored tree, and out of it again.
#pragma once

#include <map>
#include <set>
#include <string>

#include "repository/tree_reader.h"
#include "repository/tree_writer.h"

namespace walvault {

using Files = std::map<std::string, Bytes>;

inline void write_tree_file(TreeWriter& tree, const std::string& path, ByteView content,
                            std::size_t piece_bytes = 100'003) {
  FileEntry entry;
  entry.path = path;
  entry.mode = 0600;
  entry.mtime = 1'790'000'000;
  entry.size = content.size();
  tree.begin_file(std::move(entry));
  while (!content.empty()) {
    const auto piece = content.first(std::min(piece_bytes, content.size()));
    tree.append(piece);
    content = content.subspan(piece.size());
  }
  (void)tree.end_file();
}

// All chunks of a file, in order.
[[nodiscard]] inline std::vector<ChunkRef> chunks_of(TreeReader& tree, const FileEntry& entry) {
  std::vector<ChunkRef> refs;
  if (entry.chunk) refs.push_back(*entry.chunk);
  for (std::size_t map = 0; map < entry.maps.size(); ++map) {
    const auto more = tree.chunks_of_map(entry, map);
    refs.insert(refs.end(), more.begin(), more.end());
  }
  return refs;
}

[[nodiscard]] inline Bytes read_tree_file(TreeReader& tree, const FileEntry& entry) {
  Bytes content;
  tree.read_file(
      entry, [&](ByteView chunk) { content.insert(content.end(), chunk.begin(), chunk.end()); });
  return content;
}

[[nodiscard]] inline std::map<std::string, FileEntry> entries_of(TreeReader& tree) {
  std::map<std::string, FileEntry> entries;
  tree.for_each_entry([&](FileEntry& entry) { entries[entry.path] = entry; });
  return entries;
}

[[nodiscard]] inline Files read_tree(TreeReader& tree) {
  Files files;
  for (const auto& [path, entry] : entries_of(tree)) {
    if (entry.kind == EntryKind::file) files[path] = read_tree_file(tree, entry);
  }
  return files;
}

// The packs that a reader of the tree comes by: those of its streams, its
// entries, its maps, and what the maps list.
[[nodiscard]] inline std::set<PackName> packs_reached(TreeReader& tree) {
  std::set<PackName> reached;
  const auto reach = [&](const ChunkRef& ref) {
    for (const auto& place : ref.places()) reached.insert(tree.root().packs.at(place.pack).name);
  };
  for (const auto& stream : tree.root().streams) {
    for (const auto& ref : stream.chunks) reach(ref);
  }
  for (const auto& [path, entry] : entries_of(tree)) {
    for (const auto& map : entry.maps) reach(map);
    for (const auto& ref : chunks_of(tree, entry)) reach(ref);
  }
  return reached;
}

}  // namespace walvault
