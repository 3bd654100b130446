// Fills files with their chunks, in parallel and in the order in which the
// chunks lie in packs. What a file holds already is not read from them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/ordered_workers.h"
#include "datadir/data_directory_writer.h"
#include "repository/chunk_fetcher.h"
#include "repository/tree_reader.h"

namespace walvault {

// What was found may be in the kernel's memory and not on the disk, where writing it there
// has failed before.
enum class FoundInMemory {
  is_read,
  is_dropped,  // first, so that the disk is read
};

// Not thread-safe. Memory: that of a ChunkFetcher.
class FileRestorer {
 public:
  FileRestorer(Storage& storage, TreeReader& tree, DataDirectoryWriter& directory, unsigned jobs,
               FoundInMemory found_in_memory, std::function<void(std::uint64_t bytes)> written);

  // Makes the file and sees to it that its content gets there, not
  // necessarily at once.
  void restore(const FileEntry& entry);

  // Waits until everything is written.
  void finish();

  // After finish(): bytes of stored chunks that were there already.
  [[nodiscard]] std::uint64_t kept_bytes() const { return kept_bytes_; }

 private:
  // What a worker wrote to last.
  struct OpenFile {
    std::shared_ptr<const std::string> path;
    FileDescriptor file;
  };

  // A stretch of a file that held something before.
  struct Found {
    WantedChunk wanted;  // without a reference: zeros
    bool is_zero = false;
    bool is_right = false;
  };

  [[nodiscard]] const FileDescriptor& file_of(const WantedChunk& wanted, OpenFile& open) const;
  void write(const WantedChunk& wanted, ByteView chunk, OpenFile& open);
  void add(WantedChunk wanted);
  void expect_zeros(const std::shared_ptr<const std::string>& path, std::uint64_t begin,
                    std::uint64_t end);
  void look_at(Found& found, OpenFile& open);
  void take(Found& found);

  TreeReader& tree_;
  DataDirectoryWriter& directory_;
  const FoundInMemory found_in_memory_;
  std::function<void(std::uint64_t bytes)> written_;
  std::vector<OpenFile> open_;
  std::vector<OpenFile> open_found_;
  std::uint64_t kept_bytes_ = 0;
  std::mutex chunks_mutex_;  // of adding to them
  // Last: their threads use the rest, those that look add to the chunks.
  ChunkFetcher chunks_;
  OrderedWorkers<Found> found_;
};

}  // namespace walvault
