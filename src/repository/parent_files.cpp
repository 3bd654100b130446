#include "repository/parent_files.h"

#include <algorithm>
#include <functional>

namespace walvault {
namespace {

constexpr std::size_t cached_chunks_max = 8;

std::uint64_t hash_of(std::string_view path) { return std::hash<std::string_view>{}(path); }

}  // namespace

ParentFiles::ParentFiles(const WriterSession& session) {
  if (session.source() == nullptr) return;
  try {
    reader_.emplace(session.repository(), *session.source());
    for (const auto& entry : packs().entries()) {
      borrowable_.push_back(session.may_borrow(entry.name));
      damaged_.push_back(session.is_damaged(entry.name));
    }
    index_files();
  } catch (const Error& error) {
    note_damage(error);
    places_.clear();
  }
}

// What is in the same pack is not relied upon either.
void ParentFiles::note_damage(const Error& error) {
  if (error.kind() != ErrorKind::corrupt) throw Error(error);
  if (const auto* const chunk = dynamic_cast<const DamagedChunk*>(&error)) {
    const auto index = packs().find(chunk->pack());
    if (index && *index < damaged_.size()) damaged_[*index] = true;
    if (index && *index < borrowable_.size()) borrowable_[*index] = false;
  }
  if (damage_.empty()) damage_ = error.message() + ": " + error.detail();
}

void ParentFiles::index_files() {
  for (std::uint32_t i = 0; i < reader_->table_chunks(); ++i) {
    expect_readable(reader_->root().stream("files").chunks.at(i));
    const auto chunk = reader_->table_chunk(i);
    ByteReader in(chunk, "a file table");
    while (in.left() > 0) {
      const auto offset = static_cast<std::uint32_t>(in.position());
      const auto entry = read_file_entry(in);
      if (entry.kind != EntryKind::file || entry.size == 0) continue;
      places_.push_back({.path_hash = hash_of(entry.path), .table_chunk = i, .offset = offset});
    }
  }
  std::ranges::sort(places_, {}, &Place::path_hash);
}

// What is known to be damaged is not tried: its disk may not answer.
void ParentFiles::expect_readable(const ChunkRef& ref) const {
  if (!ref.zero && ref.pack < damaged_.size() && damaged_[ref.pack]) {
    throw DamagedChunk(packs(), ref, "Its pack is gone or damaged.");
  }
}

bool ParentFiles::may_borrow(const ChunkRef& ref) const {
  // A pack beyond the root's own table was not pinned.
  return std::ranges::all_of(ref.places(), [&](const FramePlace& place) {
    return place.pack < borrowable_.size() && borrowable_[place.pack];
  });
}

const Bytes& ParentFiles::table_chunk(std::uint32_t index) {
  const auto it = std::ranges::find(cache_, index, &CachedChunk::index);
  if (it != cache_.end()) {
    std::rotate(cache_.begin(), it, it + 1);
  } else {
    if (cache_.size() >= cached_chunks_max) cache_.pop_back();
    cache_.insert(cache_.begin(), {.index = index, .bytes = reader_->table_chunk(index)});
  }
  return cache_.front().bytes;
}

std::optional<ParentFiles::File> ParentFiles::find(std::string_view path) {
  const auto hash = hash_of(path);
  for (auto it = std::ranges::lower_bound(places_, hash, {}, &Place::path_hash);
       it != places_.end() && it->path_hash == hash; ++it) {
    try {
      const auto& chunk = table_chunk(it->table_chunk);
      ByteReader in(ByteView(chunk).subspan(it->offset), "a file table");
      auto entry = read_file_entry(in);
      if (entry.path == path) return File(*this, std::move(entry));
    } catch (const Error& error) {
      // It was right when it was indexed.
      note_damage(error);
    }
  }
  return std::nullopt;
}

std::vector<std::optional<ChunkRef>> ParentFiles::stream(std::string_view name) const {
  std::vector<std::optional<ChunkRef>> refs;
  // Of a parent that can be read in part only nothing is known to be right.
  if (!reader_ || !damage_.empty()) return refs;
  for (const auto& stream : reader_->root().streams) {
    if (stream.name != name) continue;
    for (const auto& ref : stream.chunks) {
      refs.push_back(may_borrow(ref) ? std::optional(ref) : std::nullopt);
    }
  }
  return refs;
}

std::optional<ChunkRef> ParentFiles::File::chunk(std::uint64_t index) {
  std::optional<ChunkRef> ref;
  if (entry_.chunk) {
    if (index == 0) ref = entry_.chunk;
  } else {
    const auto map = static_cast<std::size_t>(index / map_chunks_max);
    if (map >= entry_.maps.size()) return std::nullopt;
    if (loaded_map_ != map) {
      loaded_map_ = map;
      refs_.clear();
      try {
        parent_->expect_readable(entry_.maps[map]);
        refs_ = parent_->reader_->chunks_of_map(entry_, map);
      } catch (const Error& error) {
        parent_->note_damage(error);
      }
    }
    const auto position = static_cast<std::size_t>(index % map_chunks_max);
    if (position < refs_.size()) ref = refs_[position];
  }
  if (!ref || !parent_->may_borrow(*ref)) return std::nullopt;
  return ref;
}

std::optional<ChunkRef> ParentFiles::File::map(std::size_t index) const {
  if (index >= entry_.maps.size() || !parent_->may_borrow(entry_.maps[index])) return std::nullopt;
  return entry_.maps[index];
}

}  // namespace walvault
