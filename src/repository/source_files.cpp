#include "repository/source_files.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace walvault {
namespace {

constexpr std::size_t cached_chunks_max = 8;

std::uint64_t hash_of(std::string_view path) { return std::hash<std::string_view>{}(path); }

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::uint32_t name_hash_of(std::string_view path) {
  return static_cast<std::uint32_t>(hash_of(last_part(path)));
}

}  // namespace

SourceFiles::SourceFiles(const WriterSession& session, const Root& root, Kind kind)
    : kind_(kind), reader_(session.repository(), root) {
  for (const auto& entry : packs().entries()) {
    borrowable_.push_back(session.may_borrow(entry.name));
    damaged_.push_back(session.is_damaged(entry.name));
    lender_.push_back(session.lenders().find(entry.name).value());
  }
  try {
    index_files();
  } catch (const Error& error) {
    note_damage(error);
    places_.clear();
  }
}

// What is in the same pack is not relied upon either.
void SourceFiles::note_damage(const Error& error) {
  const bool may_be_passed_over = kind_ == Kind::unfinished ? error.kind() != ErrorKind::internal
                                                            : error.kind() == ErrorKind::corrupt;
  if (!may_be_passed_over) throw Error(error);
  if (const auto* const chunk = dynamic_cast<const DamagedChunk*>(&error)) {
    const auto index = packs().find(chunk->pack());
    if (index && *index < damaged_.size()) damaged_[*index] = true;
    if (index && *index < borrowable_.size()) borrowable_[*index] = false;
  }
  if (damage_.empty()) damage_ = one_line(error);
}

void SourceFiles::index_files() {
  for (std::uint32_t i = 0; i < reader_.table_chunks(); ++i) {
    expect_readable(reader_.root().stream("files").chunks.at(i));
    const auto chunk = reader_.table_chunk(i);
    ByteReader in(chunk, "a file table");
    while (in.left() > 0) {
      const auto offset = static_cast<std::uint32_t>(in.position());
      const auto entry = read_file_entry(in);
      if (entry.kind != EntryKind::file) continue;
      places_.push_back({.path_hash = hash_of(entry.path),
                         .size = entry.size,
                         .name_hash = name_hash_of(entry.path),
                         .table_chunk = i,
                         .offset = offset});
    }
  }
  std::ranges::sort(places_, {}, &Place::path_hash);
}

void SourceFiles::index_names() {
  by_name_.resize(places_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::ranges::sort(by_name_, {}, [&](std::uint32_t i) {
    return std::pair(places_[i].name_hash, places_[i].size);
  });
}

// What is known to be damaged is not tried: its disk may not answer.
void SourceFiles::expect_readable(const ChunkRef& ref) const {
  if (!ref.zero && ref.pack < damaged_.size() && damaged_[ref.pack]) {
    throw DamagedChunk(packs(), ref, "Its pack is gone or damaged.");
  }
}

bool SourceFiles::may_borrow(const ChunkRef& ref) const {
  // A pack beyond the root's own table was not pinned.
  return std::ranges::all_of(ref.places(), [&](const FramePlace& place) {
    return place.pack < borrowable_.size() && borrowable_[place.pack];
  });
}

std::optional<LentRef> SourceFiles::lent(ChunkRef ref) const {
  if (!may_borrow(ref)) return std::nullopt;
  if (ref.zero) return LentRef{std::move(ref)};
  ref.pack = lender_[ref.pack];
  for (auto& base : ref.bases) base.pack = lender_[base.pack];
  return LentRef{std::move(ref)};
}

const Bytes& SourceFiles::table_chunk(std::uint32_t index) {
  const auto it = std::ranges::find(cache_, index, &CachedChunk::index);
  if (it != cache_.end()) {
    std::rotate(cache_.begin(), it, it + 1);
  } else {
    if (cache_.size() >= cached_chunks_max) cache_.pop_back();
    cache_.insert(cache_.begin(), {.index = index, .bytes = reader_.table_chunk(index)});
  }
  return cache_.front().bytes;
}

FileEntry SourceFiles::entry_at(const Place& place) {
  const auto& chunk = table_chunk(place.table_chunk);
  ByteReader in(ByteView(chunk).subspan(place.offset), "a file table");
  return read_file_entry(in);
}

std::optional<SourceFiles::File> SourceFiles::find(std::string_view path) {
  const auto hash = hash_of(path);
  for (auto it = std::ranges::lower_bound(places_, hash, {}, &Place::path_hash);
       it != places_.end() && it->path_hash == hash; ++it) {
    try {
      auto entry = entry_at(*it);
      if (entry.path == path) return File(*this, std::move(entry));
    } catch (const Error& error) {
      // It was right when it was indexed.
      note_damage(error);
    }
  }
  return std::nullopt;
}

std::optional<SourceFiles::File> SourceFiles::find_namesake(std::string_view path,
                                                            std::uint64_t size) {
  if (by_name_.size() != places_.size()) index_names();
  const auto name = name_hash_of(path);
  const auto key = [&](std::uint32_t i) {
    return std::pair(places_[i].name_hash, places_[i].size);
  };
  const auto above = std::ranges::lower_bound(by_name_, std::pair(name, size), {}, key);
  std::optional<Place> nearest;
  if (above != by_name_.end() && places_[*above].name_hash == name) nearest = places_[*above];
  if (above != by_name_.begin()) {
    const auto& below = places_[*std::prev(above)];
    if (below.name_hash == name && below.size > 0 &&
        (!nearest || size - below.size < nearest->size - size)) {
      nearest = below;
    }
  }
  if (!nearest) return std::nullopt;
  try {
    auto entry = entry_at(*nearest);
    if (last_part(entry.path) == last_part(path)) return File(*this, std::move(entry));
  } catch (const Error& error) {
    note_damage(error);
  }
  return std::nullopt;
}

std::vector<std::optional<LentRef>> SourceFiles::stream(std::string_view name) const {
  std::vector<std::optional<LentRef>> refs;
  // Of a source that can be read in part only nothing is known to be right.
  if (!damage_.empty()) return refs;
  for (const auto& stream : reader_.root().streams) {
    if (stream.name != name) continue;
    for (const auto& ref : stream.chunks) refs.push_back(lent(ref));
  }
  return refs;
}

std::optional<LentRef> SourceFiles::File::chunk(std::uint64_t index) {
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
        source_->expect_readable(entry_.maps[map]);
        refs_ = source_->reader_.chunks_of_map(entry_, map);
      } catch (const Error& error) {
        source_->note_damage(error);
      }
    }
    const auto position = static_cast<std::size_t>(index % map_chunks_max);
    if (position < refs_.size()) ref = refs_[position];
  }
  if (!ref) return std::nullopt;
  return source_->lent(std::move(*ref));
}

std::optional<LentRef> SourceFiles::File::map(std::size_t index) const {
  if (index >= entry_.maps.size()) return std::nullopt;
  return source_->lent(entry_.maps[index]);
}

}  // namespace walvault
