#include "repository/chunk_decoder.h"

#include <algorithm>
#include <chrono>

namespace walvault {
namespace {

// Of what is read ahead.
constexpr std::uint64_t ahead_bytes_min = 64u << 10;
constexpr std::uint64_t ahead_bytes_max = 1u << 20;
constexpr std::uint64_t kept_bytes_max = 8u << 20;
constexpr std::chrono::seconds given_up_after{60};

constexpr auto other_digest = "Its content has another digest.";

// What goes wrong in `action` is damage of the frame at `place`.
template <typename Action>
void blaming(const StoredFrames& frames, const ChunkRef& ref, const FramePlace& place,
             Action&& action) {
  try {
    action();
  } catch (const DamagedChunk&) {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    throw DamagedChunk(frames.packs(), ref, place, one_line(error));
  }
}

}  // namespace

DamagedChunk::DamagedChunk(const PackTable& packs, const ChunkRef& ref, const FramePlace& at_fault,
                           const std::string& why)
    : Error(ErrorKind::corrupt, "a stored chunk is damaged",
            why + " Chunk " + ref.id.hex().substr(0, 16) + "... " +
                (at_fault == ref.place() ? "in " : "is stored as a difference; its base in ") +
                packs.at(at_fault.pack).name.key() + " at byte " +
                std::to_string(at_fault.frame.offset) + ".",
            "Restore from another backup, or from a copy of the repository."),
      pack_(packs.at(at_fault.pack).name) {}

void StoredFrames::read(std::vector<FramePlace> places,
                        const std::function<void(std::uint64_t)>& reading) {
  ranges_.clear();
  std::ranges::sort(places);
  std::uint64_t holes = 0;
  for (const auto& [pack, frame] : places) {
    const std::uint64_t begin = frame.offset;
    const auto end = begin + frame.length;
    const bool is_behind = !ranges_.empty() && ranges_.back().pack == pack;
    const auto hole = is_behind && begin > ranges_.back().end ? begin - ranges_.back().end : 0;
    if (is_behind && hole <= hole_bytes_max && holes + hole <= holes_bytes_max) {
      holes += hole;
    } else {
      ranges_.push_back({.pack = pack, .begin = begin, .end = begin, .bytes = {}});
    }
    ranges_.back().end = std::max(ranges_.back().end, end);
  }
  for (auto& range : ranges_) {
    const auto length = range.end - range.begin;
    reading(length);
    range.bytes =
        storage_.find(packs_.at(range.pack).name.key(), {.offset = range.begin, .length = length});
  }
}

void StoredFrames::read_ahead(const std::vector<FramePlace>& places, Clock& clock) {
  std::uint64_t kept = 0;
  std::erase_if(ranges_, [&](const Range& range) {
    kept += range.end - range.begin;
    return kept > kept_bytes_max;
  });
  for (const auto& place : places) {
    if (const auto range = find_range(place); range != ranges_.end()) {
      ranges_.splice(ranges_.begin(), ranges_, range);
      continue;
    }
    const std::uint64_t begin = place.frame.offset;
    const auto goes_on = [&](const Range& range) {
      return range.pack == place.pack && range.begin <= begin &&
             begin <= range.end + hole_bytes_max;
    };
    const auto before = std::ranges::find_if(ranges_, goes_on);
    const auto ahead = before == ranges_.end() ? ahead_bytes_min
                                               : std::clamp(2 * (before->end - before->begin),
                                                            ahead_bytes_min, ahead_bytes_max);
    const auto& pack = packs_.at(place.pack);
    Range range{.pack = place.pack, .begin = begin, .end = begin + place.frame.length, .bytes = {}};
    const auto frame_end = range.end;
    range.end = std::max(frame_end, std::min(begin + ahead, std::uint64_t{pack.size}));
    const auto read = [&] {
      range.bytes = storage_.find(pack.name.key(), {.offset = begin, .length = range.end - begin});
    };
    const auto began = clock.steady();
    bool is_read = false;
    try {
      read();
      is_read = true;
    } catch (const Error&) {
      // A place on the disk behind the frame that cannot be read is nothing to this chunk. A
      // store that was waited for in vain is not asked again.
      const auto took = clock.steady() - began;
      if (range.end == frame_end || took > given_up_after) throw;
    }
    if (!is_read) {
      range.end = frame_end;
      read();
    }
    ranges_.push_front(std::move(range));
  }
}

std::list<StoredFrames::Range>::const_iterator StoredFrames::find_range(
    const FramePlace& place) const {
  // There are not many: they were put together.
  return std::ranges::find_if(ranges_, [&](const Range& range) {
    return range.pack == place.pack && range.begin <= place.frame.offset &&
           place.frame.offset + std::uint64_t{place.frame.length} <= range.end;
  });
}

ByteView StoredFrames::at(const ChunkRef& ref, const FramePlace& place) const {
  const auto range = find_range(place);
  if (range == ranges_.end()) throw Error(ErrorKind::internal, "a frame was not read");
  if (!range->bytes) throw DamagedChunk(packs_, ref, place, "Its pack is gone.");
  const auto begin = place.frame.offset - range->begin;
  if (begin + place.frame.length > range->bytes->size()) {
    throw DamagedChunk(packs_, ref, place, "Its pack is cut short.");
  }
  return ByteView(*range->bytes).subspan(begin, place.frame.length);
}

// A chunk that is stored itself, not checked yet.
ByteView ChunkDecoder::whole_chunk(const StoredFrames& frames, const ChunkRef& ref,
                                   const FramePlace& place) {
  auto frame = place;
  frame.frame.ordinal = 0;
  if (decoded_place_ != frame) {
    decoded_place_.reset();
    const auto stored = frames.at(ref, place);
    blaming(frames, ref, place, [&] { decode_frame(compressor_, stored, decoded_); });
    decoded_place_ = frame;
  }
  if (place.frame.ordinal >= decoded_.chunks.size()) {
    throw DamagedChunk(frames.packs(), ref, place, "Its frame holds fewer chunks.");
  }
  return decoded_.chunks[place.frame.ordinal];
}

ByteView ChunkDecoder::follow(const StoredFrames& frames, const ChunkRef& ref, bool check_links) {
  const auto places = ref.places();
  auto chunk = whole_chunk(frames, ref, places.back());
  for (auto i = places.size() - 1; i-- > 0;) {
    const auto stored = frames.at(ref, places[i]);
    const auto expect_base = [&] {
      if (sha256(chunk) == base_of_delta_frame(stored)) return;
      throw DamagedChunk(frames.packs(), ref, places[i + 1], other_digest);
    };
    blaming(frames, ref, places[i], [&] {
      if (check_links) expect_base();
      try {
        decode_delta_frame(compressor_, stored, chunk, base_);
      } catch (const Error&) {
        // Another base may be why.
        expect_base();
        throw;
      }
    });
    std::swap(chunk_, base_);
    chunk = chunk_;
  }
  return chunk;
}

ByteView ChunkDecoder::decode(const StoredFrames& frames, const ChunkRef& ref) {
  const auto chunk = follow(frames, ref, false);
  if (sha256(chunk) == ref.id) return chunk;
  // Which of the frames it is takes a digest of each.
  if (!ref.bases.empty()) (void)follow(frames, ref, true);
  throw DamagedChunk(frames.packs(), ref, other_digest);
}

ChunkDecoder::Base ChunkDecoder::decode_base(const StoredFrames& frames, const ChunkRef& ref) {
  return {.bytes = follow(frames, ref, false), .id = ref.id};
}

ChunkDecoder::Base ChunkDecoder::decode_last_base(const StoredFrames& frames, const ChunkRef& ref) {
  const auto places = ref.places();
  const auto& made_of_it = places.at(places.size() - 2);
  const auto stored = frames.at(ref, made_of_it);
  ChunkId id;
  blaming(frames, ref, made_of_it, [&] { id = base_of_delta_frame(stored); });
  return {.bytes = whole_chunk(frames, ref, places.back()), .id = id};
}

Bytes ChunkReader::read(const ChunkRef& ref) {
  if (ref.zero) {
    throw Error(ErrorKind::corrupt, "a stored list is damaged",
                "It gives zeros where a part of a tree should be.");
  }
  frames_.read_ahead(ref.places(), clock_);
  const auto chunk = decoder_.decode(frames_, ref);
  return {chunk.begin(), chunk.end()};
}

}  // namespace walvault
