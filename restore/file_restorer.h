// Fills files with their chunks, in parallel and in the order in which the
// chunks lie in packs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "datadir/data_directory.h"
#include "repository/chunk_fetcher.h"
#include "repository/tree_reader.h"

namespace walvault {

// Not thread-safe. Memory: that of a ChunkFetcher.
class FileRestorer {
 public:
  FileRestorer(Storage& storage, TreeReader& tree, DataDirectoryWriter& directory, unsigned jobs,
               std::function<void(std::uint64_t bytes)> written);

  // Makes the file and sees to it that its content gets there, not
  // necessarily at once.
  void restore(const FileEntry& entry);

  // Waits until everything is written.
  void finish();

 private:
  // What a worker wrote to last.
  struct OpenFile {
    std::shared_ptr<const std::string> path;
    FileDescriptor file;
  };

  void write(const WantedChunk& wanted, ByteView chunk, OpenFile& open);

  TreeReader& tree_;
  DataDirectoryWriter& directory_;
  std::vector<OpenFile> open_;
  // Last: its threads use the rest.
  ChunkFetcher chunks_;
};

}  // namespace walvault
