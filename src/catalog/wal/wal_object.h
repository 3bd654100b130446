// The stored form of one archived file: a header that says what it is, its
// content in independently compressed frames, a summary, a trailer.
// docs/repository-format.md, "WAL objects".
//
//   +----------+---+--------+--------+---------+---------+--   --+---------+---------+
//   | envelope | f | header | digest | frame 0 | frame 1 |  ...  | summary | trailer |
//   |    32    | 4 |   f    |   32   |         |         |       |    s    |   32    |
//   +----------+---+--------+--------+---------+---------+--   --+---------+---------+
//
//   header:  kind, name, system identifier, page magic, start, plain and content length,
//            digest of the whole file, times; length, compression and crc of each frame
//   frame:   4 MiB of content, compressed alone; zeros at the end of the file are in none
//   trailer: header bytes 8 | summary offset 8 | summary length 4 | its version 4 | crc 4 | magic
//
// The header tells all that replay and `info` ask; the summary, read from the end, what the
// chain and the search for a moment ask. Only a restore reads frames.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/huge_buffer.h"
#include "codec/compression.h"
#include "codec/sha256.h"
#include "postgres/segment_name.h"
#include "repository/object_codec.h"

namespace walvault {

inline constexpr std::uint32_t wal_frame_bytes = 4u << 20;

struct WalFrame {
  std::uint32_t length = 0;  // as stored
  Compression compression = Compression::none;
  std::uint32_t crc = 0;  // CRC-32C of the stored bytes

  bool operator==(const WalFrame&) const = default;
};

struct WalObjectHeader {
  WalFileKind kind = WalFileKind::segment;
  std::string name;  // of the file, as PostgreSQL calls it
  std::uint64_t system_identifier = 0;
  std::uint16_t page_magic = 0;     // 0 for what is no segment
  Lsn start;                        // of a segment
  std::uint64_t plain_bytes = 0;    // the whole file
  std::uint64_t content_bytes = 0;  // without the zeros at its end
  Digest digest;                    // SHA-256 of the whole file
  Timestamp modified;               // the file's mtime
  Timestamp archived;
  std::vector<WalFrame> frames;  // wal_frame_bytes of content each, the last fewer
};

// Envelope and header; the frames follow, then the trailer.
[[nodiscard]] Bytes encode_wal_object_header(const ObjectCodec& codec,
                                             const WalObjectHeader& header, std::string_view key);
[[nodiscard]] Bytes encode_wal_object_trailer(const WalObjectHeader& header,
                                              std::size_t header_bytes, std::size_t summary_bytes);

inline constexpr std::size_t wal_object_trailer_bytes = 32;

// Where an object's summary lies, as its trailer says; a length of 0: it has
// none that this program knows. Error{corrupt} naming the key.
struct SummaryPlace {
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t version = 0;
};
[[nodiscard]] SummaryPlace parse_wal_object_trailer(ByteView trailer, std::string_view key);

struct ParsedWalObject {
  WalObjectHeader header;
  std::size_t frames_offset = 0;
};

// Reads the header off an object's first bytes; `prefix_bytes` are enough for
// every segment size. Error{corrupt} naming the key.
inline constexpr std::size_t wal_object_prefix_bytes = 16384;
[[nodiscard]] ParsedWalObject parse_wal_object_header(const ObjectCodec& codec, ByteView object,
                                                      std::string_view key);

// Stored bytes of a frame, and back: `plain` is filled exactly.
[[nodiscard]] WalFrame encode_wal_frame(Compressor& compressor, CompressionSetting setting,
                                        ByteView plain, Bytes& stored);
void decode_wal_frame(Compressor& compressor, const WalFrame& frame, ByteView stored,
                      std::span<std::uint8_t> plain);

// Decodes a whole stored object held in memory, with `threads` at work; the
// plain file goes to `sink` in pieces, from first to last, on a thread of its
// own. Error{corrupt} when it is not the content of its digest: only when this
// returns may what the sink got be believed.
void decode_wal_object(const ObjectCodec& codec, ByteView object, std::string_view key,
                       unsigned threads, const HugeBuffers& buffers,
                       const std::function<void(ByteView)>& sink);

// The same, as the plain file.
[[nodiscard]] Bytes decode_wal_object(const ObjectCodec& codec, ByteView object,
                                      std::string_view key, unsigned threads,
                                      const HugeBuffers& buffers = HugeBuffers());

}  // namespace walvault
