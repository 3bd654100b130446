#include "repository/chunk_encoder.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::size_t known_chunks_max = 65536;  // about 8 MiB

// A smaller chunk is not worth a frame of its own.
constexpr std::uint32_t delta_chunk_bytes_min = 4096;

// What is read at once of bases; pieces that would take more are stored whole.
constexpr std::size_t bases_bytes_max = 16u << 20;

constexpr CompressionSetting metadata_compression{.algorithm = Compression::zstd, .level = 1};

bool may_be_delta(const Piece* piece) {
  return piece->parent && !piece->parent->chunk.zero && piece->length >= delta_chunk_bytes_min;
}

Series series_of(const Piece& piece, Series of_content) {
  return piece.is_metadata ? Series::metadata : of_content;
}

}  // namespace

std::optional<ChunkRef> KnownChunks::find(const ChunkId& id) {
  const std::lock_guard lock(mutex_);
  const auto it = refs_.find(id);
  if (it == refs_.end()) return std::nullopt;
  return it->second;
}

void KnownChunks::add(const ChunkRef& ref) {
  const std::lock_guard lock(mutex_);
  if (refs_.size() < known_chunks_max) refs_.emplace(ref.id, ref);
}

void BaseDamage::note(const Error& error) {
  if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::unavailable) {
    throw Error(error);
  }
  const std::lock_guard lock(mutex_);
  if (text_.empty()) text_ = one_line(error);
}

void BaseDamage::note(const DamagedChunk& damage) {
  note(static_cast<const Error&>(damage));
  const std::lock_guard lock(mutex_);
  packs_.insert(damage.pack());
}

const CompressionSetting& ChunkEncoder::setting_of(const Piece& piece) const {
  return piece.is_metadata ? metadata_compression : options_.compression;
}

void ChunkEncoder::encode(ChunkBatch& batch) {
  std::vector<Piece*> fresh;
  for (auto& piece : batch.pieces) {
    if (piece.is_settled) continue;
    const auto bytes = batch.bytes_of(piece);
    if (is_all_zero(bytes)) {
      piece.outcome = Outcome::zero;
      piece.ref.zero = true;
      continue;
    }
    const auto id = sha256(bytes);
    if (piece.parent && !piece.parent->chunk.zero && piece.parent->chunk.id == id) {
      piece.outcome = Outcome::borrowed;
      continue;
    }
    if (piece.length < chunk_bytes && !piece.is_metadata) {
      if (const auto known = known_.find(id)) {
        piece.outcome = Outcome::known;
        piece.ref = *known;
        continue;
      }
    }
    piece.ref.id = id;
    fresh.push_back(&piece);
  }
  encode_deltas(batch, fresh);
  encode_whole(batch, fresh);
}

// Takes those out of `fresh` that are stored as a difference from what the parent
// has at their place.
void ChunkEncoder::encode_deltas(ChunkBatch& batch, std::vector<Piece*>& fresh) {
  if (options_.delta_depth == 0) return;
  std::vector<FramePlace> places;
  std::set<std::pair<std::uint32_t, std::uint32_t>> frames;
  std::size_t bytes = 0;
  for (auto* piece : fresh) {
    if (!may_be_delta(piece)) continue;
    for (const auto& place : piece->parent->chunk.places()) {
      if (frames.emplace(place.pack, place.frame.offset).second) bytes += place.frame.length;
      places.push_back(place);
    }
    if (bytes <= bases_bytes_max) continue;
    places.resize(places.size() - piece->parent->chunk.places().size());
    piece->parent.reset();
  }
  if (places.empty()) return;
  auto* const worth = options_.worth;
  if (worth != nullptr && !worth->wants_bases()) return;
  const auto began = worth != nullptr ? worth->now() : SteadyTime{};
  try {
    bases_.read(std::move(places), [](std::uint64_t) {});
  } catch (const Error& error) {
    damage_.note(error);
    return;
  }
  const auto read = worth != nullptr ? worth->now() : SteadyTime{};
  std::uint64_t saved_bytes = 0;
  std::erase_if(fresh, [&](Piece* piece) {
    if (!may_be_delta(piece)) return false;
    try {
      return encode_delta(batch, *piece, saved_bytes);
    } catch (const DamagedChunk& damage) {
      damage_.note(damage);
      return false;
    }
  });
  if (worth != nullptr) worth->note_read(read - began, saved_bytes);
}

// False: stored by itself it takes little more.
bool ChunkEncoder::encode_delta(ChunkBatch& batch, Piece& piece, std::uint64_t& saved_bytes) {
  const auto& parent = piece.parent->chunk;
  const auto places = parent.places();
  // At the greatest depth from what the others were made against in the first place.
  const bool is_deepest = parent.bases.size() >= options_.delta_depth;
  const auto base =
      is_deepest ? decoder_.decode_last_base(bases_, parent) : decoder_.decode_base(bases_, parent);
  const auto bytes = batch.bytes_of(piece);
  const auto& setting = setting_of(piece);
  auto stored =
      encode_delta_frame(compressor_, setting.algorithm == Compression::zstd ? setting.level : 1,
                         base.id, base.bytes, bytes);
  // What it would take by itself: a large one about as much as its like took.
  const auto whole = piece.length >= group_member_bytes_max
                         ? places.back().frame.length
                         : encode_full_frame(compressor_, setting, bytes).size();
  if (stored.size() > whole / 2) return false;
  saved_bytes += whole - stored.size();
  piece.lent_bases.assign(is_deepest ? places.end() - 1 : places.begin(), places.end());
  piece.frame = batch.frames.size();
  batch.frames.push_back({.series = series_of(piece, Series::delta), .stored = std::move(stored)});
  return true;
}

// Large chunks each in a frame of its own, small ones together.
void ChunkEncoder::encode_whole(ChunkBatch& batch, const std::vector<Piece*>& fresh) {
  std::vector<ByteView> group;
  std::size_t group_bytes = 0;
  const auto put = [&](Series series, Bytes stored) {
    batch.frames.push_back({.series = series, .stored = std::move(stored)});
  };
  const auto& setting = options_.compression;
  const auto end_group = [&] {
    if (group.size() == 1) {
      put(Series::data, encode_full_frame(compressor_, setting, group.front()));
    }
    if (group.size() > 1) put(Series::data, encode_group_frame(compressor_, setting, group));
    group.clear();
    group_bytes = 0;
  };
  const auto is_alone = [](const Piece* piece) {
    return piece->length >= group_member_bytes_max || piece->is_metadata;
  };
  for (auto* piece : fresh) {
    if (!is_alone(piece)) continue;
    piece->frame = batch.frames.size();
    put(series_of(*piece, Series::data),
        encode_full_frame(compressor_, setting_of(*piece), batch.bytes_of(*piece)));
  }
  for (auto* piece : fresh) {
    if (is_alone(piece)) continue;
    if (group_bytes + piece->length > chunk_bytes || group.size() >= group_members_max) end_group();
    piece->frame = batch.frames.size();
    piece->ref.frame.ordinal = static_cast<std::uint32_t>(group.size());
    group.push_back(batch.bytes_of(*piece));
    group_bytes += piece->length;
  }
  end_group();
}

}  // namespace walvault
