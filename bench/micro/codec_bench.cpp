// What the processor does to every byte, alone: the ceiling of the pipelines.
#include <benchmark/benchmark.h>

#include <random>

#include "codec/compression.h"
#include "codec/crc32c.h"
#include "codec/sha256.h"
#include "repository/pack.h"

namespace walvault {
namespace {

// Rows as a table has them: a third random, the rest repetitive.
Bytes table_like(std::size_t size) {
  std::mt19937 random(1);
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = i % 96 < 32 ? static_cast<std::uint8_t>(random()) : static_cast<std::uint8_t>(i % 7);
  }
  return bytes;
}

void count_bytes(benchmark::State& state, std::size_t size) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}

void Sha256OfAChunk(benchmark::State& state) {
  const auto chunk = table_like(chunk_bytes);
  for (auto _ : state) benchmark::DoNotOptimize(sha256(chunk));
  count_bytes(state, chunk.size());
}
BENCHMARK(Sha256OfAChunk);

void Crc32cOfAChunk(benchmark::State& state) {
  const auto chunk = table_like(chunk_bytes);
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(chunk));
  count_bytes(state, chunk.size());
}
BENCHMARK(Crc32cOfAChunk);

void ZeroTestOfAChunk(benchmark::State& state) {
  const Bytes chunk(chunk_bytes);
  for (auto _ : state) benchmark::DoNotOptimize(is_all_zero(chunk));
  count_bytes(state, chunk.size());
}
BENCHMARK(ZeroTestOfAChunk);

void EncodeFullFrame(benchmark::State& state) {
  const auto chunk = table_like(chunk_bytes);
  const CompressionSetting setting{
      .algorithm = state.range(0) == 0 ? Compression::lz4 : Compression::zstd,
      .level = static_cast<int>(state.range(0))};
  Compressor compressor;
  for (auto _ : state) benchmark::DoNotOptimize(encode_full_frame(compressor, setting, chunk));
  count_bytes(state, chunk.size());
}
BENCHMARK(EncodeFullFrame)->ArgName("zstd")->Arg(0)->Arg(1)->Arg(3);

void DecodeFullFrame(benchmark::State& state) {
  const auto chunk = table_like(chunk_bytes);
  Compressor compressor;
  const auto frame = encode_full_frame(compressor, {}, chunk);
  for (auto _ : state) benchmark::DoNotOptimize(decode_frame(compressor, frame));
  count_bytes(state, chunk.size());
}
BENCHMARK(DecodeFullFrame);

}  // namespace
}  // namespace walvault
