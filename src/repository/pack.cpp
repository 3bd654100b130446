#include "repository/pack.h"

#include <algorithm>

#include "base/error.h"
#include "codec/crc32c.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

// ordinal, directory length, frame count, crc, magic
constexpr std::size_t pack_trailer_bytes = 20;
constexpr std::size_t directory_bytes_each = 4;           // a varint below the limit on packs
constexpr std::uint32_t pack_trailer_magic = 0x4B504C57;  // "WLPK"

// Of a pack that is read as a whole.
constexpr std::uint64_t piece_bytes = 4u << 20;

Error damaged(std::string detail) {
  return {ErrorKind::corrupt, "a stored frame is damaged", std::move(detail)};
}

Bytes framed(FrameKind kind, Compression compression, std::size_t chunks, std::size_t plain_bytes,
             ByteView body) {
  // Before anything is written that could not be read.
  if (plain_bytes > frame_plain_bytes_max) {
    throw Error(ErrorKind::internal, "a frame would be too large",
                "It would hold " + std::to_string(plain_bytes) + " bytes.");
  }
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(kind));
  out.u8(static_cast<std::uint8_t>(compression));
  out.u16(static_cast<std::uint16_t>(chunks));
  out.u32(static_cast<std::uint32_t>(plain_bytes));
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.u32(crc32c(body, crc32c(out.bytes())));
  out.raw(body);
  return out.take();
}

Bytes encode_frame(Compressor& compressor, CompressionSetting setting, FrameKind kind,
                   std::size_t chunks, ByteView plain) {
  Bytes body;
  const auto used = compressor.compress(setting, plain, body);
  return framed(kind, used, chunks, plain.size(), body);
}

struct Frame {
  std::uint8_t kind = 0;
  Compression compression{};
  std::size_t chunks = 0;
  std::uint32_t plain_bytes = 0;
  ByteView body = {};
};

Frame read_frame(ByteView stored) {
  ByteReader in(stored, "a stored frame");
  Frame frame;
  frame.kind = in.u8();
  const auto compression_number = in.u8();
  frame.chunks = in.u16();
  frame.plain_bytes = in.u32();
  const auto body_length = in.u32();
  const auto checked = crc32c(stored.first(in.position()));
  const auto crc = in.u32();
  frame.body = in.raw(body_length);
  in.expect_end();
  if (crc32c(frame.body, checked) != crc) throw damaged("Its checksum does not fit.");
  if (frame.plain_bytes > frame_plain_bytes_max) throw damaged("Its plain length is too large.");
  if (frame.chunks == 0) throw damaged("It holds no chunk.");
  frame.compression = compression_from_disk(compression_number);
  return frame;
}

struct DeltaFrame {
  std::uint32_t plain_bytes = 0;
  ChunkId base_id;
  ByteView difference;
};

DeltaFrame read_delta_frame(ByteView stored) {
  const auto frame = read_frame(stored);
  if (static_cast<FrameKind>(frame.kind) != FrameKind::delta) throw damaged("It is no DELTA.");
  if (frame.chunks != 1) throw damaged("A DELTA frame holds one chunk.");
  if (frame.compression != Compression::zstd) throw damaged("A DELTA frame is made by zstd.");
  ByteReader in(frame.body, "a stored DELTA");
  DeltaFrame delta;
  delta.plain_bytes = frame.plain_bytes;
  delta.base_id = ChunkId::read(in);
  delta.difference = in.raw(in.left());
  return delta;
}

}  // namespace

std::string PackName::key() const {
  return std::string(prefix_of(ObjectPlace::packs)) + writer.text() + "/" + digest.hex();
}

std::optional<PackName> PackName::parse(std::string_view key) {
  const auto prefix = prefix_of(ObjectPlace::packs);
  PackName name;
  const auto slash = prefix.size() + 2 * name.writer.bytes.size();
  if (key.size() <= slash || !key.starts_with(prefix) || key[slash] != '/' ||
      !from_hex(key.substr(prefix.size(), slash - prefix.size()), name.writer.bytes) ||
      !from_hex(key.substr(slash + 1), name.digest.bytes)) {
    return std::nullopt;
  }
  return name;
}

Bytes encode_full_frame(Compressor& compressor, CompressionSetting setting, ByteView chunk) {
  return encode_frame(compressor, setting, FrameKind::full, 1, chunk);
}

Bytes encode_group_frame(Compressor& compressor, CompressionSetting setting,
                         const std::vector<ByteView>& chunks) {
  if (chunks.empty() || chunks.size() > group_members_max) {
    throw Error(ErrorKind::internal, "a group of chunks has a wrong number of members");
  }
  ByteWriter plain;
  for (const auto chunk : chunks) plain.u32(static_cast<std::uint32_t>(chunk.size()));
  for (const auto chunk : chunks) plain.raw(chunk);
  return encode_frame(compressor, setting, FrameKind::group, chunks.size(), plain.bytes());
}

Bytes encode_delta_frame(Compressor& compressor, int level, const ChunkId& base_id, ByteView base,
                         ByteView chunk) {
  Bytes difference;
  compressor.compress_against(level, base, chunk, difference);
  ByteWriter body;
  body.raw(base_id.view());
  body.raw(difference);
  return framed(FrameKind::delta, Compression::zstd, 1, chunk.size(), body.bytes());
}

DecodedFrame decode_frame(Compressor& compressor, ByteView stored) {
  DecodedFrame frame;
  decode_frame(compressor, stored, frame);
  return frame;
}

void decode_frame(Compressor& compressor, ByteView stored, DecodedFrame& frame) {
  const auto read = read_frame(stored);
  const auto kind = static_cast<FrameKind>(read.kind);
  if (kind == FrameKind::delta) throw damaged("It is a DELTA where a chunk itself should be.");
  frame.chunks.clear();
  frame.plain.resize(read.plain_bytes);
  compressor.decompress(read.compression, read.body, frame.plain);
  switch (kind) {
    case FrameKind::full:
      if (read.chunks != 1) throw damaged("A FULL frame holds one chunk.");
      frame.chunks.emplace_back(frame.plain);
      return;
    case FrameKind::group: {
      ByteReader table(frame.plain, "a stored group of chunks");
      std::vector<std::uint32_t> lengths(read.chunks);
      for (auto& length : lengths) length = table.u32();
      for (const auto length : lengths) frame.chunks.push_back(table.raw(length));
      table.expect_end();
      return;
    }
    case FrameKind::delta: break;
  }
  throw damaged("Its kind " + std::to_string(read.kind) + " is not known.");
}

ChunkId decode_delta_frame(Compressor& compressor, ByteView stored, ByteView base, Bytes& chunk) {
  const auto read = read_delta_frame(stored);
  chunk.resize(read.plain_bytes);
  compressor.decompress_against(base, read.difference, chunk);
  return read.base_id;
}

ChunkId base_of_delta_frame(ByteView stored) { return read_delta_frame(stored).base_id; }

PackBuilder::PackBuilder(const ObjectCodec& codec, Limits limits) : codec_(codec), limits_(limits) {
  start();
}

void PackBuilder::start() {
  out_ = {};
  // Address space only, until it is written to. Growing by doubling would hold
  // the pack twice just before it is full.
  out_.reserve(limits_.bytes_max + limits_.frames_max * directory_bytes_each + pack_trailer_bytes);
  lengths_.clear();
  hashed_ = 0;
  digest_ = std::make_unique<Sha256>();
  codec_.begin(out_, ObjectKind::pack);
}

bool PackBuilder::fits(std::size_t frame_length) const {
  return empty() ||
         (lengths_.size() < limits_.frames_max && out_.size() + frame_length <= limits_.bytes_max);
}

FrameLocation PackBuilder::append(ByteView frame) {
  const FrameLocation location{.offset = static_cast<std::uint32_t>(out_.size()),
                               .length = static_cast<std::uint32_t>(frame.size()),
                               .ordinal = 0};
  out_.raw(frame);
  lengths_.push_back(location.length);
  // Hashed as it grows, so that closing a pack is no pause.
  digest_->update(ByteView(out_.bytes()).subspan(hashed_));
  hashed_ = out_.size();
  return location;
}

PackBuilder::Finished PackBuilder::finish(std::uint32_t ordinal) {
  ByteWriter directory;
  for (const auto length : lengths_) directory.varint(length);
  out_.raw(directory.bytes());
  out_.u32(ordinal);
  out_.u32(static_cast<std::uint32_t>(directory.size()));
  out_.u32(static_cast<std::uint32_t>(lengths_.size()));
  out_.u32(crc32c(directory.bytes()));
  out_.u32(pack_trailer_magic);
  digest_->update(ByteView(out_.bytes()).subspan(hashed_));
  Finished finished{.bytes = out_.take(), .digest = digest_->finish()};
  start();
  return finished;
}

std::optional<std::string> find_pack_fault(Storage& storage, const PackName& name,
                                           const std::function<void(std::uint64_t)>& meter) {
  const auto key = name.key();
  const auto size = storage.find_size(key);
  if (!size) return std::nullopt;
  Sha256 digest;
  for (std::uint64_t offset = 0; offset < *size; offset += piece_bytes) {
    const auto length = std::min<std::uint64_t>(piece_bytes, *size - offset);
    meter(length);
    const auto piece = storage.find(key, {.offset = offset, .length = length});
    if (!piece) return std::nullopt;
    digest.update(*piece);
  }
  const auto found = digest.finish();
  return found == name.digest ? "" : "Its SHA-256 is " + found.hex() + ".";
}

std::vector<FrameLocation> read_pack_directory(const ObjectCodec& codec, ByteView pack,
                                               std::string_view key) {
  const auto what = "the pack " + std::string(key);
  ByteReader envelope(pack, what);
  codec.expect(envelope, ObjectKind::pack, key);
  const auto fail = [&](std::string detail) {
    return Error(ErrorKind::corrupt, what + " is damaged", std::move(detail));
  };
  if (envelope.left() < pack_trailer_bytes) throw fail("It is cut short.");
  ByteReader trailer(pack.last(pack_trailer_bytes), what);
  (void)trailer.u32();  // ordinal
  const auto directory_length = trailer.u32();
  const auto frames = trailer.u32();
  const auto crc = trailer.u32();
  if (trailer.u32() != pack_trailer_magic) throw fail("Its last bytes are wrong.");
  if (directory_length > envelope.left() - pack_trailer_bytes || frames > directory_length) {
    throw fail("Its directory's length is wrong.");
  }
  const auto body_end = pack.size() - pack_trailer_bytes - directory_length;
  const auto directory_bytes = pack.subspan(body_end, directory_length);
  if (crc32c(directory_bytes) != crc) throw fail("Its directory's checksum does not fit.");

  ByteReader directory(directory_bytes, what);
  std::vector<FrameLocation> locations;
  std::uint64_t offset = envelope_bytes;
  for (std::uint32_t i = 0; i < frames; ++i) {
    const auto length = directory.varint();
    if (length > body_end - offset) throw fail("A frame lies past its body.");
    locations.push_back({.offset = static_cast<std::uint32_t>(offset),
                         .length = static_cast<std::uint32_t>(length),
                         .ordinal = 0});
    offset += length;
  }
  directory.expect_end();
  if (offset != body_end) throw fail("Its frames do not fill its body.");
  return locations;
}

}  // namespace walvault
