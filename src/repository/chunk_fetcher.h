// Reads chunks of a tree in parallel and in the order in which they lie in packs, those
// of DELTAs in the order of what they were first made against: few reads, each of
// frames that are close together, each frame of a GROUP decoded once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ordered_workers.h"
#include "repository/chunk_decoder.h"
#include "repository/tree.h"

namespace walvault {

// A stored chunk, which is not one of zeros, and what it is for.
struct WantedChunk {
  std::shared_ptr<const std::string> path;  // of the file, shared by its chunks
  std::uint64_t offset = 0;                 // in the file, bytes
  std::uint32_t length = 0;                 // plain
  ChunkRef ref;
};

// Where chunks go. Both are called from any worker thread; `worker` numbers it from
// 0. What they throw ends the work.
struct ChunkSink {
  // A chunk that was checked against its id.
  std::function<void(const WantedChunk&, ByteView chunk, unsigned worker)> got;
  // One that cannot be had.
  std::function<void(const WantedChunk&, const DamagedChunk&)> damaged;
  // Before stored bytes are read, from any worker thread.
  std::function<void(std::uint64_t bytes)> reading;
  // From one thread: the plain bytes of chunks that are dealt with.
  std::function<void(std::uint64_t bytes)> progress;
};

// Not thread-safe. Memory: a batch of references and, for each job, the stored bytes of
// one run: 4 MiB as a rule, four times as much where DELTAs of the usual depth lie apart.
class ChunkFetcher {
 public:
  // The references must outlive the fetcher; `packs` is the table that the
  // chunks' references go by.
  ChunkFetcher(Storage& storage, const PackTable& packs, unsigned jobs, ChunkSink sink);

  // Sees to it that the chunk gets to the sink, not necessarily at once.
  void add(WantedChunk chunk);

  // Waits until all have.
  void finish();

 private:
  // Chunks whose frames, or last bases, lie close together in one pack.
  struct Run {
    std::vector<WantedChunk> chunks;
  };
  // What a worker has of its own.
  struct Reader {
    StoredFrames frames;
    ChunkDecoder decoder;
  };

  void submit_batch();
  void fetch(const Run& run, unsigned worker);

  const PackTable& packs_;
  ChunkSink sink_;
  std::vector<WantedChunk> batch_;
  std::vector<Reader> readers_;
  // Last: its threads use the rest.
  OrderedWorkers<Run> workers_;
};

}  // namespace walvault
