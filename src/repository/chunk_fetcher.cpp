#include "repository/chunk_fetcher.h"

#include <algorithm>
#include <tuple>

#include "repository/tree_reader.h"

namespace walvault {
namespace {

// References gathered before they are sorted by place: 4 GiB of large files.
constexpr std::size_t batch_chunks_max = 16384;
// A read fetches frames that together span at most this, and skips holes of at
// most that.
constexpr std::uint32_t run_bytes_max = 4u << 20;
constexpr std::uint32_t run_hole_bytes_max = 64u << 10;
// No frame lies there.
constexpr std::uint64_t nowhere = ~std::uint64_t{0};

}  // namespace

ChunkFetcher::ChunkFetcher(Storage& storage, const PackTable& packs, unsigned jobs, ChunkSink sink)
    : storage_(storage),
      packs_(packs),
      sink_(std::move(sink)),
      compressors_(jobs),
      workers_(
          {.threads = jobs, .in_flight_max = 2 * std::size_t{jobs}},
          [this](Run& run, unsigned worker) { fetch(run, worker); },
          [this](Run& run) {
            std::uint64_t bytes = 0;
            for (const auto& chunk : run.chunks) bytes += chunk.length;
            sink_.progress(bytes);
          }) {}

void ChunkFetcher::add(WantedChunk chunk) {
  batch_.push_back(std::move(chunk));
  if (batch_.size() >= batch_chunks_max) submit_batch();
}

void ChunkFetcher::submit_batch() {
  std::ranges::sort(batch_, {}, [](const WantedChunk& chunk) {
    return std::tuple(chunk.ref.pack, chunk.ref.frame.offset, chunk.ref.frame.ordinal);
  });
  Run run;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (auto& chunk : batch_) {
    const auto& frame = chunk.ref.frame;
    const auto frame_end = std::uint64_t{frame.offset} + frame.length;
    const bool joins = !run.chunks.empty() && run.chunks.back().ref.pack == chunk.ref.pack &&
                       frame.offset <= end + run_hole_bytes_max &&
                       frame_end - begin <= run_bytes_max;
    if (!joins) {
      if (!run.chunks.empty()) workers_.submit(std::move(run));
      run = {};
      begin = frame.offset;
      end = frame.offset;
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
  const auto& first = run.chunks.front();
  std::uint64_t end = 0;
  for (const auto& chunk : run.chunks) {
    end = std::max(end, std::uint64_t{chunk.ref.frame.offset} + chunk.ref.frame.length);
  }
  const auto begin = first.ref.frame.offset;
  sink_.reading(end - begin);
  const auto stored =
      storage_.find(packs_.at(first.ref.pack).name.key(), {.offset = begin, .length = end - begin});
  struct {
    DecodedFrame frame;
    std::uint64_t offset = nowhere;
  } decoded;
  const auto& frame = decoded.frame;
  for (const auto& wanted : run.chunks) {
    const auto& place = wanted.ref.frame;
    std::optional<Error> damage;
    try {
      if (!stored) throw damaged_chunk(packs_, wanted.ref, "Its pack is gone.");
      if (place.offset - begin + std::uint64_t{place.length} > stored->size()) {
        throw damaged_chunk(packs_, wanted.ref, "Its pack is cut short.");
      }
      if (decoded.offset != place.offset) {
        decoded.offset = nowhere;
        decode_frame(compressors_.at(worker),
                     ByteView(*stored).subspan(place.offset - begin, place.length), decoded.frame);
        decoded.offset = place.offset;
      }
      if (place.ordinal >= frame.chunks.size() ||
          frame.chunks[place.ordinal].size() != wanted.length ||
          sha256(frame.chunks[place.ordinal]) != wanted.ref.id) {
        throw damaged_chunk(packs_, wanted.ref, "Its content has another digest.");
      }
    } catch (const Error& error) {
      damage = is_damaged_chunk(error)
                   ? error
                   : damaged_chunk(packs_, wanted.ref, error.message() + ". " + error.detail());
    }
    if (damage) {
      sink_.damaged(wanted, *damage);
    } else {
      sink_.got(wanted, frame.chunks[place.ordinal], worker);
    }
  }
}

}  // namespace walvault
