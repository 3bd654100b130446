// Whole stages over storage in memory: what is left when no disk and no
// network take part.
#include <benchmark/benchmark.h>

#include <random>

#include "repository/tree_writer.h"
#include "storage/memory_storage.h"
#include "support/deterministic.h"

namespace walvault {
namespace {

constexpr std::uint64_t file_bytes = 64u << 20;

Bytes file_content(std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(file_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = i % 96 < 32 ? static_cast<std::uint8_t>(random()) : static_cast<std::uint8_t>(i % 7);
  }
  return bytes;
}

Root write_tree(const Repository& repository, std::uint8_t run, const std::string& parent,
                ByteView content) {
  FakeClock clock;
  const auto key = "backups/main/run" + std::to_string(run) + "/1";
  const WriterSession session(repository, clock, id_of(run), key, parent);
  TreeWriter tree(session, {.compression = {}, .jobs = 2});
  FileEntry entry;
  entry.path = "base/1/1";
  entry.size = content.size();
  tree.begin_file(entry);
  tree.append(content);
  (void)tree.end_file();
  auto root = tree.finish();
  session.commit(encode_root(ObjectCodec(), root, key));
  return root;
}

// Argument 0: a first backup. 1: the same content again.
void BackUpAFile(benchmark::State& state) {
  const auto content = file_content(1);
  for (auto _ : state) {
    state.PauseTiming();
    MemoryStorage storage;
    FakeClock clock;
    CountingRandomness randomness;
    Repository::create(storage, clock, randomness);
    const auto repository = Repository::open(storage);
    if (state.range(0) == 1) (void)write_tree(repository, 1, "", content);
    state.ResumeTiming();
    benchmark::DoNotOptimize(
        write_tree(repository, 2, state.range(0) == 1 ? "backups/main/run1/1" : "", content));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * file_bytes));
}
BENCHMARK(BackUpAFile)
    ->ArgName("unchanged")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace walvault
