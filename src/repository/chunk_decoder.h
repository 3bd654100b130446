// From stored frames to chunks: reads frames, a few requests for many, and decodes
// each chunk, through the bases of a DELTA, checked against its id.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/compression.h"
#include "repository/pack.h"
#include "repository/tree.h"

namespace walvault {

// Error{corrupt} for a chunk that cannot be had.
class DamagedChunk : public Error {
 public:
  // `at_fault`: the frame that is damaged, the chunk's own or one of its bases.
  DamagedChunk(const PackTable& packs, const ChunkRef& ref, const FramePlace& at_fault,
               const std::string& why);
  DamagedChunk(const PackTable& packs, const ChunkRef& ref, const std::string& why)
      : DamagedChunk(packs, ref, ref.place(), why) {}

  [[nodiscard]] const PackName& pack() const { return pack_; }

 private:
  PackName pack_;
};

// Frames as stored, in memory. Not thread-safe.
class StoredFrames {
 public:
  // The references must outlive this.
  StoredFrames(Storage& storage, const PackTable& packs) : storage_(storage), packs_(packs) {}

  // Two frames are read at once that are no further apart than this, bytes.
  static constexpr std::uint32_t hole_bytes_max = 64u << 10;
  // Between all that are read.
  static constexpr std::uint64_t holes_bytes_max = 4u << 20;

  // Reads the frames at these places, in place of those that were read before.
  // `reading` is told of the bytes before they are.
  void read(std::vector<FramePlace> places, const std::function<void(std::uint64_t)>& reading);

  // Reads those of one chunk, for who goes on to the next: what was read so far stays, and
  // what follows is read with them, the more the longer that was of use. Not to be mixed
  // with read(). Memory: 8 MiB, and these frames. `clock`: whether a store that failed was
  // waited for.
  void read_ahead(const std::vector<FramePlace>& places, Clock& clock);

  // The bytes of a frame that was read, one of those that `ref` takes. DamagedChunk
  // when its pack is gone or cut short.
  [[nodiscard]] ByteView at(const ChunkRef& ref, const FramePlace& place) const;

  [[nodiscard]] const PackTable& packs() const { return packs_; }

 private:
  struct Range {
    std::uint32_t pack = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::optional<Bytes> bytes;  // nullopt: there is no such pack
  };

  [[nodiscard]] std::list<Range>::const_iterator find_range(const FramePlace& place) const;

  Storage& storage_;
  const PackTable& packs_;
  std::list<Range> ranges_;  // ascending; those of read_ahead: the latest used first
};

// Not thread-safe: one a thread. Memory: a few chunks.
class ChunkDecoder {
 public:
  // The plain bytes of a chunk of which all frames were read; they stay until the next
  // call. DamagedChunk for anything else than what was stored.
  [[nodiscard]] ByteView decode(const StoredFrames& frames, const ChunkRef& ref);

  // A chunk for differences to be made from, and the last of a DELTA's bases. Their
  // frames' own checksums were checked, not their ids: what is made from them needs the
  // same bytes again, which the same frames give, and is checked against its own id.
  struct Base {
    ByteView bytes;  // until the next call
    ChunkId id;
  };
  [[nodiscard]] Base decode_base(const StoredFrames& frames, const ChunkRef& ref);
  [[nodiscard]] Base decode_last_base(const StoredFrames& frames, const ChunkRef& ref);

  [[nodiscard]] Compressor& compressor() { return compressor_; }

 private:
  [[nodiscard]] ByteView whole_chunk(const StoredFrames& frames, const ChunkRef& ref,
                                     const FramePlace& place);
  [[nodiscard]] ByteView follow(const StoredFrames& frames, const ChunkRef& ref, bool check_links);

  Compressor compressor_;
  // The last frame that is no DELTA: chunks of a GROUP are asked for one after another.
  DecodedFrame decoded_;
  std::optional<FramePlace> decoded_place_;
  Bytes chunk_;
  Bytes base_;
};

// Chunks one after another, reading ahead. Not thread-safe. Memory: 8 MiB, and 1 MiB for
// each frame that a chunk takes.
class ChunkReader {
 public:
  // The references must outlive this.
  ChunkReader(Storage& storage, const PackTable& packs, Clock& clock)
      : frames_(storage, packs), clock_(clock) {}

  // DamagedChunk; Error{corrupt} for a reference to zeros.
  [[nodiscard]] Bytes read(const ChunkRef& ref);

 private:
  StoredFrames frames_;
  Clock& clock_;
  ChunkDecoder decoder_;
};

}  // namespace walvault
