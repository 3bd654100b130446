// Packs: objects of up to 64 MiB that hold frames, and frames: the stored form
// of chunks. docs/repository-format.md, "Packs" and "Frames".
//
//   pack       +----------+---------+---------+--   --+-----------+---------+
//              | envelope | frame 0 | frame 1 |  ...  | directory | trailer |
//              |    32    |         |         |       |           |   20    |
//              +----------+---------+---------+--   --+-----------+---------+
//   directory: a varint for each frame, its length
//   trailer:   ordinal 4 | directory length 4 | frames 4 | crc32c 4 | "WLPK"
//
//   frame      +------+-------------+--------+-------+--------+--------+------+
//              | kind | compression | chunks | plain | stored | crc32c | body |
//              |  1   |      1      |   2    |   4   |   4    |   4    |      |
//              +------+-------------+--------+-------+--------+--------+------+
//   body:  FULL  one chunk
//          GROUP a u32 length for each of several chunks, then the chunks
//          DELTA the base's chunk id (32), then what differs from the base
//
// A reader finds a frame by the offset and length in a chunk reference; the directory is for
// whoever examines a pack alone. The name of a pack is the digest of all of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "codec/compression.h"
#include "codec/sha256.h"
#include "repository/object_codec.h"
#include "repository/writer_id.h"
#include "storage/storage.h"

namespace walvault {

// The name of a chunk: the SHA-256 of its plain bytes.
using ChunkId = Digest;

inline constexpr std::uint32_t chunk_bytes = 256 * 1024;

// A chunk smaller than this is stored together with others, in a GROUP.
inline constexpr std::uint32_t group_member_bytes_max = 128 * 1024;

// A GROUP holds at most this many chunks (its count has 16 bits).
inline constexpr std::size_t group_members_max = 4096;

// No frame decodes to more than this; metadata chunks (maps) are the largest: 4096
// references to DELTAs of the greatest depth, each frame in a pack of its own, take 2.1
// MiB.
inline constexpr std::uint32_t frame_plain_bytes_max = 4u << 20;

struct PackName {
  WriterId writer;
  Digest digest;  // SHA-256 of the stored bytes

  auto operator<=>(const PackName&) const = default;
  [[nodiscard]] std::string key() const;
  // nullopt for the key of anything else.
  [[nodiscard]] static std::optional<PackName> parse(std::string_view key);
};

// Where a frame lies within a pack; `ordinal` picks the chunk in a GROUP.
struct FrameLocation {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t ordinal = 0;

  auto operator<=>(const FrameLocation&) const = default;
};

// Stored on disk. 4 (page patch) is set aside and refused.
enum class FrameKind : std::uint8_t { full = 1, group = 2, delta = 3 };

// Builds the stored form of one chunk, or of several chunks together.
[[nodiscard]] Bytes encode_full_frame(Compressor& compressor, CompressionSetting setting,
                                      ByteView chunk);
[[nodiscard]] Bytes encode_group_frame(Compressor& compressor, CompressionSetting setting,
                                       const std::vector<ByteView>& chunks);

// The stored form of one chunk as what makes it differ from another one, its base,
// whose id it names. Always zstd.
[[nodiscard]] Bytes encode_delta_frame(Compressor& compressor, int level, const ChunkId& base_id,
                                       ByteView base, ByteView chunk);

// A decoded frame. Views point into `plain`.
struct DecodedFrame {
  Bytes plain;
  std::vector<ByteView> chunks;
};

// Error{corrupt} for a wrong checksum or any inconsistency, and for a DELTA. Whether
// a chunk is the one that was asked for only its id tells: the caller compares.
[[nodiscard]] DecodedFrame decode_frame(Compressor& compressor, ByteView stored);
// The same into a frame whose memory is used again.
void decode_frame(Compressor& compressor, ByteView stored, DecodedFrame& frame);

// Fills `chunk` from a DELTA and its base. Returns the id of the chunk that it was
// made against: a wrong base need not be noticed, but gives a chunk with a wrong id.
ChunkId decode_delta_frame(Compressor& compressor, ByteView stored, ByteView base, Bytes& chunk);
[[nodiscard]] ChunkId base_of_delta_frame(ByteView stored);

// Collects frames into the bytes of one pack. The codec must outlive it.
class PackBuilder {
 public:
  struct Limits {
    std::size_t bytes_max = 64u << 20;
    std::size_t frames_max = 16384;
  };

  PackBuilder(const ObjectCodec& codec, Limits limits);

  // True when a frame of this length still fits, or the pack is empty.
  [[nodiscard]] bool fits(std::size_t frame_length) const;
  [[nodiscard]] FrameLocation append(ByteView frame);
  [[nodiscard]] bool empty() const { return lengths_.empty(); }
  // Of what was appended.
  [[nodiscard]] std::size_t bytes() const { return empty() ? 0 : out_.size(); }

  struct Finished {
    Bytes bytes;
    Digest digest;
  };
  // Gives the pack away and starts a new one. `ordinal` numbers the packs of a
  // run: it is part of the bytes, so that no two of them have one digest.
  [[nodiscard]] Finished finish(std::uint32_t ordinal);

 private:
  void start();

  const ObjectCodec& codec_;
  Limits limits_;
  ByteWriter out_;
  std::size_t hashed_ = 0;
  std::vector<std::uint32_t> lengths_;
  std::unique_ptr<Sha256> digest_;
};

// What is wrong with the stored bytes of a pack, as a whole: empty for nothing,
// nullopt when there is no such pack. `meter` is told of every piece before it is
// read. Memory: one piece.
[[nodiscard]] std::optional<std::string> find_pack_fault(
    Storage& storage, const PackName& name, const std::function<void(std::uint64_t bytes)>& meter);

// The frames' locations, from the pack's own directory; checks envelope,
// trailer and directory. Error{corrupt} naming the key.
[[nodiscard]] std::vector<FrameLocation> read_pack_directory(const ObjectCodec& codec,
                                                             ByteView pack, std::string_view key);

}  // namespace walvault
