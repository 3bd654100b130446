// Reading WAL: what archiving pays for the summary of a segment.
#include <benchmark/benchmark.h>

#include <random>

#include "postgres/wal_summary.h"
#include "support/wal_builder.h"

namespace walvault {
namespace {

// Short records as pgbench's transactions write them, with or without the
// full-page images that follow a checkpoint.
Bytes transactions(bool with_images) {
  const RelationFile table{.tablespace = 1663, .database = 5, .number = 20001};
  const Timestamp noon{std::chrono::seconds(1'790'000'000)};
  std::mt19937 random(1);
  WalBuilder wal;
  for (std::uint32_t xid = 1000; wal.left_in_segment() > 100'000; ++xid) {
    for (int i = 0; i < 3; ++i) wal.add_on_page(10, 0x40, xid, table, Bytes(14));
    for (int i = 0; i < 3; ++i) wal.add_filler(40 + random() % 60);
    wal.add_insert(xid, table);
    wal.add_commit(xid, noon);
    if (with_images && xid % 2 == 0) wal.add_filler(8000);
  }
  auto pages = wal.pages();
  pages.resize(wal.position() / WalBuilder::page_bytes * WalBuilder::page_bytes -
               wal.start().value);
  return pages;
}

void ReadWal(benchmark::State& state) {
  const auto pages = transactions(state.range(0) != 0);
  const auto first = parse_wal_segment_header(pages);
  std::uint64_t records = 0;
  for (auto _ : state) {
    WalReader reader(first, first.page.page_address, {1});
    reader.read(pages, [&](const WalRecord&) { ++records; });
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * pages.size()));
  state.counters["records/s"] =
      benchmark::Counter(static_cast<double>(records), benchmark::Counter::kIsRate);
}
BENCHMARK(ReadWal)->ArgName("images")->Arg(0)->Arg(1);

void SummarizeWal(benchmark::State& state) {
  const auto pages = transactions(state.range(0) != 0);
  const auto first = parse_wal_segment_header(pages);
  for (auto _ : state) {
    WalSummarizer summarizer(first, first.page.page_address, {1});
    summarizer.read(pages);
    benchmark::DoNotOptimize(summarizer.finish());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * pages.size()));
}
BENCHMARK(SummarizeWal)->ArgName("images")->Arg(0)->Arg(1);

}  // namespace
}  // namespace walvault
