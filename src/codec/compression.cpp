#include "codec/compression.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace walvault {
namespace {

// What zstd may look back over: a block and its base, 1 MiB each.
constexpr int window_log_against = 21;
// Level 1 remembers too little of the base: on tables and indexes after pgbench its
// differences are twice as long, and take as long to make.
constexpr int level_against_min = 3;

// zstd before 1.5.5 may, from level 13 on, write what does not decode to what it was
// given (facebook/zstd#3517).
int safe_level(int level) {
  constexpr int sound_version = 10505;
  constexpr int sound_level_max = 12;
  return ZSTD_versionNumber() < sound_version ? std::min(level, sound_level_max) : level;
}

Error does_not_decode(std::size_t stored, std::size_t plain) {
  return {ErrorKind::corrupt, "a compressed block does not decode",
          std::to_string(stored) + " bytes were to give " + std::to_string(plain) + "."};
}

}  // namespace

struct Compressor::Contexts {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> compress{nullptr, &ZSTD_freeCCtx};
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> decompress{nullptr, &ZSTD_freeDCtx};

  // Room for the worst case, kept and never cleared: most blocks need a
  // fraction of it, and touching fresh pages costs more than compressing them.
  std::unique_ptr<std::uint8_t[]> scratch;
  std::size_t scratch_bytes = 0;

  std::uint8_t* reserve(std::size_t bytes) {
    if (scratch_bytes < bytes) {
      scratch = std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
      scratch_bytes = bytes;
    }
    return scratch.get();
  }
};

Compression compression_from_disk(std::uint8_t value) {
  switch (value) {
    case 0: return Compression::none;
    case 1: return Compression::lz4;
    case 2: return Compression::zstd;
    default:
      throw Error(ErrorKind::corrupt, "a stored block names an unknown compression",
                  "Its number is " + std::to_string(value) + ".");
  }
}

CompressionSetting parse_compression(std::string_view text, std::string_view what) {
  if (text == "none") return {.algorithm = Compression::none, .level = 0};
  if (text == "lz4") return {.algorithm = Compression::lz4, .level = 0};
  if (text == "zstd") return {};
  if (text.starts_with("zstd:")) {
    const auto number = text.substr(5);
    int level = 0;
    const auto [end, failure] =
        std::from_chars(number.data(), number.data() + number.size(), level);
    if (failure == std::errc{} && end == number.data() + number.size() && level >= -7 &&
        level <= 19 && level != 0) {
      return {.algorithm = Compression::zstd, .level = level};
    }
  }
  throw Error(ErrorKind::usage,
              "\"" + std::string(text) + "\" is not a value for " + std::string(what),
              "none, lz4, zstd and zstd:LEVEL with a level from -7 to 19 are known.",
              "Leave it out for zstd:1.");
}

Compressor::Compressor() : contexts_(std::make_unique<Contexts>()) {}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

Compression Compressor::compress(CompressionSetting setting, ByteView plain, Bytes& out) {
  std::size_t length = 0;  // 0: not compressed
  switch (setting.algorithm) {
    case Compression::none: break;
    case Compression::lz4: {
      const auto bound = LZ4_compressBound(static_cast<int>(plain.size()));
      auto* const scratch = contexts_->reserve(static_cast<std::size_t>(bound));
      length = static_cast<std::size_t>(LZ4_compress_default(
          reinterpret_cast<const char*>(plain.data()), reinterpret_cast<char*>(scratch),
          static_cast<int>(plain.size()), bound));
      break;
    }
    case Compression::zstd: {
      if (!contexts_->compress) contexts_->compress.reset(ZSTD_createCCtx());
      const auto bound = ZSTD_compressBound(plain.size());
      auto* const scratch = contexts_->reserve(bound);
      length = ZSTD_compressCCtx(contexts_->compress.get(), scratch, bound, plain.data(),
                                 plain.size(), safe_level(setting.level));
      if (ZSTD_isError(length) != 0) {
        throw Error(ErrorKind::internal, "zstd failed to compress a block",
                    ZSTD_getErrorName(length));
      }
      break;
    }
  }
  if (length == 0 || length >= plain.size()) {
    out.assign(plain.begin(), plain.end());
    return Compression::none;
  }
  out.assign(contexts_->scratch.get(), contexts_->scratch.get() + length);
  return setting.algorithm;
}

void Compressor::decompress(Compression algorithm, ByteView stored, std::span<std::uint8_t> plain) {
  bool whole = false;
  switch (algorithm) {
    case Compression::none:
      whole = stored.size() == plain.size();
      if (whole) std::ranges::copy(stored, plain.begin());
      break;
    case Compression::lz4: {
      const auto length = LZ4_decompress_safe(
          reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(plain.data()),
          static_cast<int>(stored.size()), static_cast<int>(plain.size()));
      whole = length >= 0 && static_cast<std::size_t>(length) == plain.size();
      break;
    }
    case Compression::zstd: {
      if (!contexts_->decompress) contexts_->decompress.reset(ZSTD_createDCtx());
      const auto length = ZSTD_decompressDCtx(contexts_->decompress.get(), plain.data(),
                                              plain.size(), stored.data(), stored.size());
      whole = ZSTD_isError(length) == 0 && length == plain.size();
      break;
    }
  }
  if (!whole) throw does_not_decode(stored.size(), plain.size());
}

void Compressor::compress_against(int level, ByteView base, ByteView plain, Bytes& out) {
  if (!contexts_->compress) contexts_->compress.reset(ZSTD_createCCtx());
  auto* const context = contexts_->compress.get();
  const auto bound = ZSTD_compressBound(plain.size());
  auto* const scratch = contexts_->reserve(bound);
  const auto checked = [](std::size_t result) {
    if (ZSTD_isError(result) == 0) return result;
    throw Error(ErrorKind::internal, "zstd failed to compress a block against another",
                ZSTD_getErrorName(result));
  };
  checked(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel,
                                 std::max(safe_level(level), level_against_min)));
  checked(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log_against));
  checked(ZSTD_CCtx_refPrefix(context, base.data(), base.size()));
  const auto length = checked(ZSTD_compress2(context, scratch, bound, plain.data(), plain.size()));
  out.assign(scratch, scratch + length);
}

void Compressor::decompress_against(ByteView base, ByteView stored, std::span<std::uint8_t> plain) {
  if (!contexts_->decompress) contexts_->decompress.reset(ZSTD_createDCtx());
  auto* const context = contexts_->decompress.get();
  // What an earlier block that failed left behind.
  (void)ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
  (void)ZSTD_DCtx_refPrefix(context, base.data(), base.size());
  const auto length =
      ZSTD_decompressDCtx(context, plain.data(), plain.size(), stored.data(), stored.size());
  if (ZSTD_isError(length) != 0 || length != plain.size()) {
    throw does_not_decode(stored.size(), plain.size());
  }
}

}  // namespace walvault
