// Arbitrary bytes as objects of a repository; the first byte chooses what. Digests and
// checksums are made right, so that what lies behind them is read.
#include <cstddef>
#include <cstdint>

#include "catalog/records/backup_keep.h"
#include "catalog/records/verified.h"
#include "catalog/wal/wal_expiry.h"
#include "codec/crc32c.h"
#include "fuzz/by_first_byte.h"
#include "repository/gc_plan.h"
#include "repository/object_codec.h"
#include "repository/pack.h"
#include "repository/pin.h"
#include "repository/tree.h"

namespace {

using namespace walvault;

constexpr std::string_view root_key = "backups/main/a/1";

// What follows the head of a root.
void read_root(ByteView input) {
  ByteWriter out;
  ObjectCodec().begin(out, ObjectKind::root);
  out.u32(0);
  out.raw(digest_at_key(root_key, out.bytes()).view());
  out.raw(input);
  out.raw(digest_at_key(root_key, out.bytes()).view());
  const auto root = decode_root(ObjectCodec(), out.bytes(), root_key);
  const auto again =
      decode_root(ObjectCodec(), encode_root(ObjectCodec(), root, root_key), root_key);
  if (again.packs.entries().size() != root.packs.entries().size()) __builtin_trap();
}

void read_map(ByteView input) {
  // The root's table has every pack that the map names.
  ByteReader in(input, "a map");
  const auto table = PackTable::read(in);
  const auto refs = decode_map(input, table);
  if (decode_map(encode_map(refs, table), table) != refs) __builtin_trap();
}

void read_frame(ByteView input) {
  constexpr std::size_t header_bytes = 16;
  if (input.size() < header_bytes) return;
  Bytes frame(input.begin(), input.end());
  const auto crc = crc32c(ByteView(frame).subspan(header_bytes), crc32c(ByteView(frame).first(12)));
  for (std::size_t i = 0; i < 4; ++i) frame[12 + i] = static_cast<std::uint8_t>(crc >> 8 * i);
  Compressor compressor;
  if (frame[0] == static_cast<std::uint8_t>(FrameKind::delta)) {
    const Bytes base(5000, 'b');
    Bytes chunk;
    (void)decode_delta_frame(compressor, frame, base, chunk);
    if (chunk.size() > frame_plain_bytes_max) __builtin_trap();
    return;
  }
  const auto decoded = decode_frame(compressor, frame);
  std::size_t sum = 0;
  for (const auto chunk : decoded.chunks) sum += chunk.size();
  if (sum > frame_plain_bytes_max) __builtin_trap();
}

void read_pack(ByteView input) {
  ByteWriter out;
  ObjectCodec().begin(out, ObjectKind::pack);
  out.raw(input);
  for (const auto& frame : read_pack_directory(ObjectCodec(), out.bytes(), "packs/a/b")) {
    if (std::uint64_t{frame.offset} + frame.length > out.size()) __builtin_trap();
  }
}

void read(std::uint8_t what, ByteView bytes) {
  switch (what % 10) {
    case 0: read_root(bytes); return;
    case 1: read_map(bytes); return;
    case 2: read_frame(bytes); return;
    case 3: read_pack(bytes); return;
    case 4: {
      ByteReader in(bytes, "a file table");
      while (in.left() > 0) (void)read_file_entry(in);
      return;
    }
    case 5: (void)decode_pin(bytes); return;
    case 6: (void)decode_gc_plan(bytes); return;
    case 7: (void)decode_backup_keep(bytes); return;
    case 8: (void)decode_wal_expiry(bytes); return;
    default: {
      const auto record = decode_verified(bytes);
      const auto again = decode_verified(encode_verified(record));
      if (encode_verified(again) != encode_verified(record)) __builtin_trap();
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return read_by_first_byte(data, size, read, true);
}
