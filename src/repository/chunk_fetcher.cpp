#include "repository/chunk_fetcher.h"

#include <algorithm>
#include <tuple>

namespace walvault {
namespace {

// References gathered before they are sorted by place: 64 GiB of large files, 50 MiB.
constexpr std::size_t batch_chunks_max = 262144;
// A run's frames, or last bases, together span at most this.
constexpr std::uint32_t run_bytes_max = 4u << 20;

// What the most of a chunk lies in, and its neighbours in the file likewise.
FramePlace place_to_read(const ChunkRef& ref) {
  return ref.bases.empty() ? ref.place() : ref.bases.back();
}

}  // namespace

ChunkFetcher::ChunkFetcher(Storage& storage, const PackTable& packs, unsigned jobs, ChunkSink sink)
    : packs_(packs),
      sink_(std::move(sink)),
      workers_(
          {.threads = jobs, .in_flight_max = 2 * std::size_t{jobs}},
          [this](Run& run, unsigned worker) { fetch(run, worker); },
          [this](Run& run) {
            std::uint64_t bytes = 0;
            for (const auto& chunk : run.chunks) bytes += chunk.length;
            sink_.progress(bytes);
          }) {
  // Nothing was submitted to the workers so far.
  while (readers_.size() < jobs) readers_.push_back({.frames = {storage, packs}, .decoder = {}});
}

void ChunkFetcher::add(WantedChunk chunk) {
  batch_.push_back(std::move(chunk));
  if (batch_.size() >= batch_chunks_max) submit_batch();
}

void ChunkFetcher::submit_batch() {
  std::ranges::sort(batch_, {}, [](const WantedChunk& chunk) {
    const auto place = place_to_read(chunk.ref);
    return std::tuple(place.pack, place.frame.offset, place.frame.ordinal);
  });
  Run run;
  std::uint32_t pack = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (auto& chunk : batch_) {
    const auto place = place_to_read(chunk.ref);
    const auto frame_end = std::uint64_t{place.frame.offset} + place.frame.length;
    const bool joins = !run.chunks.empty() && pack == place.pack &&
                       place.frame.offset <= end + StoredFrames::hole_bytes_max &&
                       frame_end - begin <= run_bytes_max;
    if (!joins) {
      if (!run.chunks.empty()) workers_.submit(std::move(run));
      run = {};
      pack = place.pack;
      begin = place.frame.offset;
      end = begin;
    }
    end = std::max(end, frame_end);
    run.chunks.push_back(std::move(chunk));
  }
  if (!run.chunks.empty()) workers_.submit(std::move(run));
  batch_.clear();
}

void ChunkFetcher::finish() {
  submit_batch();
  workers_.finish();
}

void ChunkFetcher::fetch(const Run& run, unsigned worker) {
  auto& [frames, decoder] = readers_.at(worker);
  std::vector<FramePlace> places;
  for (const auto& chunk : run.chunks) {
    for (const auto& place : chunk.ref.places()) places.push_back(place);
  }
  frames.read(std::move(places), sink_.reading);
  for (const auto& wanted : run.chunks) {
    ByteView chunk;
    try {
      chunk = decoder.decode(frames, wanted.ref);
      if (chunk.size() != wanted.length) {
        throw DamagedChunk(packs_, wanted.ref, "It has another length.");
      }
    } catch (const DamagedChunk& damage) {
      sink_.damaged(wanted, damage);
      continue;
    }
    sink_.got(wanted, chunk, worker);
  }
}

}  // namespace walvault
