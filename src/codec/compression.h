// Block compression: a closed set of algorithms whose numbers are stored on
// disk and never reused.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace walvault {

enum class Compression : std::uint8_t { none = 0, lz4 = 1, zstd = 2 };

// The algorithm of a number read from disk; Error{corrupt} for an unknown one.
[[nodiscard]] Compression compression_from_disk(std::uint8_t value);

// What to compress with. `level` counts for zstd only.
struct CompressionSetting {
  Compression algorithm = Compression::zstd;
  int level = 1;

  bool operator==(const CompressionSetting&) const = default;
};

// Reads "none", "lz4", "zstd" or "zstd:LEVEL" (-7 to 19). Error{usage} naming
// `what` otherwise.
[[nodiscard]] CompressionSetting parse_compression(std::string_view text, std::string_view what);

// Compresses and decompresses blocks, reusing its working memory. One a thread.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // Replaces `out` by the compressed block and returns the algorithm that was
  // used: `none`, with the bytes as they are, when compressing saves nothing.
  [[nodiscard]] Compression compress(CompressionSetting setting, ByteView plain, Bytes& out);

  // Fills `plain` exactly. Error{corrupt} when the stored bytes do not decode
  // to exactly that length.
  void decompress(Compression algorithm, ByteView stored, std::span<std::uint8_t> plain);

  // Replaces `out` by what zstd, at `level` or its level 3 where that is higher, makes of
  // a block whose like, `base`, the reader has: what is the same there costs next to
  // nothing. Blocks of up to 1 MiB.
  void compress_against(int level, ByteView base, ByteView plain, Bytes& out);

  // Likewise, with the same base. Another one may go unnoticed: the caller checks
  // what it gets.
  void decompress_against(ByteView base, ByteView stored, std::span<std::uint8_t> plain);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace walvault
