// Checks the content of trees chunk by chunk, and says which files, and which
// stretches of them, a damaged or missing pack costs.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/reporter.h"
#include "repository/chunk_fetcher.h"
#include "repository/repository.h"
#include "repository/tree_reader.h"

namespace walvault {

// Part of a tree that cannot be had. The length is 0 where the file's own size is
// not known.
struct LostContent {
  // Of a file; empty: of a part of the tree that lists files, a stream or a note.
  std::string path = {};
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::string why = {};
  std::optional<PackName> pack = {};  // whose fault it is
};

// What a check of trees is to do with a pack, the weightier the later.
enum class PackTask : std::uint8_t {
  skip,   // its content is known to be right
  check,  // read it
  lost,   // it cannot be read: all of it is lost, and not tried
};

struct TreeCheckOptions {
  unsigned jobs = 2;
  // Chunks that are remembered, so that what many trees share is read once. More
  // cost time and are read again.
  std::size_t remembered_max = 4u << 20;
};

// What a check finds.
struct TreeCheckVisitor {
  // Called from any thread, one call at a time.
  std::function<void(LostContent)> lost;
  // A chunk of a file that is right, on any worker thread, several calls at a time.
  // False: it has to be read again wherever else it occurs.
  std::function<bool(const WantedChunk&, ByteView)> got;
};

// Not thread-safe. Memory: that of a ChunkFetcher, and 16 bytes for each remembered
// chunk.
class TreeChecker {
 public:
  TreeChecker(const Repository& repository, TreeCheckOptions options);

  // `tasks` has one for each entry of the root's pack table. A chunk that was found
  // right is not read again for another root, where it is at the same place of the
  // same file. Lists of files are always read. `meter` is told of stored bytes of files before
  // they are read, from any thread.
  void check(Root root, const std::vector<PackTask>& tasks, const TreeCheckVisitor& visitor,
             const Reporter& reporter, const Meter& meter);

 private:
  class Walk;

  // By a 64-bit hash of all that makes it up.
  void remember(std::uint64_t hash);
  [[nodiscard]] bool remembers(std::uint64_t hash) const;

  const Repository& repository_;
  unsigned jobs_;
  // Hashes in open addressing; 0 is a free place. They grow up to the limit.
  // Guarded by `mutex_`.
  std::vector<std::uint64_t> seen_;
  std::size_t seen_count_ = 0;
  std::size_t seen_max_;
  mutable std::mutex mutex_;
};

}  // namespace walvault
