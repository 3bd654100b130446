#include "catalog/wal/wal_object.h"

#include "base/error.h"
#include "base/ordered_workers.h"
#include "catalog/wal/stored_summary.h"
#include "codec/crc32c.h"
#include "repository/object_codec.h"

namespace walvault {
namespace {

constexpr std::uint32_t trailer_magic = 0x4C574C57;  // "WLWL"
constexpr std::uint64_t plain_bytes_max = 1u << 30;

Error damaged(std::string_view key, std::string detail) {
  return {ErrorKind::corrupt, "the archived file " + std::string(key) + " is damaged",
          std::move(detail), "Restore it from a copy of the repository."};
}

}  // namespace

Bytes encode_wal_object_header(const ObjectCodec& codec, const WalObjectHeader& header,
                               std::string_view key) {
  ByteWriter fields;
  fields.u8(static_cast<std::uint8_t>(header.kind));
  fields.string(header.name);
  fields.u64(header.system_identifier);
  fields.u16(header.page_magic);
  fields.u64(header.start.value);
  fields.u64(header.plain_bytes);
  fields.u64(header.content_bytes);
  fields.raw(header.digest.view());
  fields.time(header.modified);
  fields.time(header.archived);
  fields.u32(wal_frame_bytes);
  fields.varint(header.frames.size());
  for (const auto& frame : header.frames) {
    fields.u32(frame.length);
    fields.u8(static_cast<std::uint8_t>(frame.compression));
    fields.u32(frame.crc);
  }
  ByteWriter out;
  codec.begin(out, ObjectKind::wal);
  out.u32(static_cast<std::uint32_t>(fields.size()));
  out.raw(fields.bytes());
  out.raw(digest_at_key(key, out.bytes()).view());
  return out.take();
}

Bytes encode_wal_object_trailer(const WalObjectHeader& header, std::size_t header_bytes,
                                std::size_t summary_bytes) {
  std::uint64_t summary_offset = header_bytes;
  for (const auto& frame : header.frames) summary_offset += frame.length;
  ByteWriter out;
  out.u64(header_bytes);
  out.u64(summary_offset);
  out.u32(static_cast<std::uint32_t>(summary_bytes));
  out.u32(summary_bytes == 0 ? 0 : wal_summary_version);
  out.u32(crc32c(out.bytes()));
  out.u32(trailer_magic);
  return out.take();
}

SummaryPlace parse_wal_object_trailer(ByteView trailer, std::string_view key) {
  const auto what = "the trailer of " + std::string(key);
  ByteReader in(trailer, what);
  (void)in.u64();
  SummaryPlace place;
  place.offset = in.u64();
  place.length = in.u32();
  place.version = in.u32();
  const auto crc = crc32c(trailer.first(in.position()));
  if (in.u32() != crc || in.u32() != trailer_magic) {
    throw damaged(key, "The checksum of its trailer does not fit.");
  }
  // What another version has summed up is passed over, however long it is: the WAL says the
  // same.
  if (place.version < wal_summary_version_min || place.version > wal_summary_version) {
    place.length = 0;
  } else if (place.length > wal_summary_bytes_max) {
    throw damaged(key, "Its trailer tells of a summary that is too long.");
  }
  return place;
}

ParsedWalObject parse_wal_object_header(const ObjectCodec& codec, ByteView object,
                                        std::string_view key) {
  const auto what = "the archived file " + std::string(key);
  struct Signed {
    Bytes fields;
    std::size_t end;
  };
  const auto [fields_bytes, end] = codec.read_enveloped(object, key, [&](ByteView bytes) {
    ByteReader in(bytes, what);
    codec.expect(in, ObjectKind::wal, key);
    const auto header_fields = in.raw(in.u32());
    const auto signed_bytes = bytes.first(in.position());
    if (Digest::read(in) != digest_at_key(key, signed_bytes)) {
      throw damaged(key, "The digest of its header does not fit.");
    }
    return Signed{.fields = Bytes(header_fields.begin(), header_fields.end()),
                  .end = in.position()};
  });
  ParsedWalObject parsed;
  parsed.frames_offset = end;
  auto& header = parsed.header;
  ByteReader fields(fields_bytes, what);
  const auto kind = fields.u8();
  if (kind > static_cast<std::uint8_t>(WalFileKind::timeline)) {
    throw damaged(key, "Its kind is not known.");
  }
  header.kind = static_cast<WalFileKind>(kind);
  header.name = fields.string();
  header.system_identifier = fields.u64();
  header.page_magic = fields.u16();
  header.start = {fields.u64()};
  header.plain_bytes = fields.u64();
  header.content_bytes = fields.u64();
  header.digest = Digest::read(fields);
  header.modified = fields.time();
  header.archived = fields.time();
  const auto frame_bytes = fields.u32();
  header.frames.resize(fields.count(9));
  for (auto& frame : header.frames) {
    frame.length = fields.u32();
    frame.compression = compression_from_disk(fields.u8());
    frame.crc = fields.u32();
  }
  fields.expect_end();
  if (frame_bytes != wal_frame_bytes || header.plain_bytes > plain_bytes_max ||
      header.content_bytes > header.plain_bytes ||
      header.frames.size() != (header.content_bytes + wal_frame_bytes - 1) / wal_frame_bytes) {
    throw damaged(key, "The sizes in its header contradict each other.");
  }
  return parsed;
}

WalFrame encode_wal_frame(Compressor& compressor, CompressionSetting setting, ByteView plain,
                          Bytes& stored) {
  WalFrame frame;
  frame.compression = compressor.compress(setting, plain, stored);
  frame.length = static_cast<std::uint32_t>(stored.size());
  frame.crc = crc32c(stored);
  return frame;
}

void decode_wal_frame(Compressor& compressor, const WalFrame& frame, ByteView stored,
                      std::span<std::uint8_t> plain) {
  if (crc32c(stored) != frame.crc) {
    throw Error(ErrorKind::corrupt, "a frame of an archived file is damaged",
                "Its checksum does not fit.");
  }
  compressor.decompress(frame.compression, stored, plain);
}

void decode_wal_object(const ObjectCodec& codec, ByteView object, std::string_view key,
                       unsigned threads, const HugeBuffers& buffers,
                       const std::function<void(ByteView)>& sink) {
  const auto parsed = parse_wal_object_header(codec, object, key);
  const auto& header = parsed.header;
  struct Frame {
    WalFrame frame;
    ByteView stored;
    HugeBuffer plain;
  };
  std::vector<Compressor> compressors(threads);
  const auto decode = [&](Frame& frame, unsigned worker) {
    decode_wal_frame(compressors.at(worker), frame.frame, frame.stored, frame.plain.span());
  };
  Sha256 digest;
  const auto take = [&](ByteView bytes) {
    digest.update(bytes);
    sink(bytes);
  };
  try {
    OrderedWorkers<Frame> workers({.threads = threads, .in_flight_max = std::size_t{threads} + 1},
                                  decode, [&](Frame& frame) { take(frame.plain.view()); });
    std::uint64_t offset = 0;
    auto stored_left = object.subspan(parsed.frames_offset);
    for (const auto& frame : header.frames) {
      if (frame.length > stored_left.size()) throw damaged(key, "It is cut short.");
      const auto length = std::min<std::uint64_t>(wal_frame_bytes, header.content_bytes - offset);
      workers.submit({.frame = frame,
                      .stored = stored_left.first(frame.length),
                      .plain = buffers.take(length)});
      stored_left = stored_left.subspan(frame.length);
      offset += length;
    }
    workers.finish();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    throw damaged(key, one_line(error));
  }
  // The zeros at its end are not stored.
  const Bytes zeros(std::min<std::uint64_t>(header.plain_bytes - header.content_bytes, 1u << 20));
  for (auto left = header.plain_bytes - header.content_bytes; left > 0;) {
    const auto part = std::min<std::uint64_t>(left, zeros.size());
    take(ByteView(zeros).first(part));
    left -= part;
  }
  if (digest.finish() != header.digest) throw damaged(key, "Its content has another digest.");
}

Bytes decode_wal_object(const ObjectCodec& codec, ByteView object, std::string_view key,
                        unsigned threads, const HugeBuffers& buffers) {
  Bytes plain;
  plain.reserve(parse_wal_object_header(codec, object, key).header.plain_bytes);
  decode_wal_object(codec, object, key, threads, buffers,
                    [&](ByteView part) { plain.insert(plain.end(), part.begin(), part.end()); });
  return plain;
}

}  // namespace walvault
