// Fills files with their chunks, in parallel and in the order in which the
// chunks lie in packs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ordered_workers.h"
#include "codec/compression.h"
#include "datadir/data_directory.h"
#include "repository/tree_reader.h"

namespace walvault {

// Not thread-safe. Memory: a batch of references and, for each job, one read.
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
  struct Target {
    std::shared_ptr<const std::string> path;  // shared by the chunks of a file
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    ChunkRef ref;
  };
  // Frames that lie close together in one pack, read at once.
  struct Run {
    std::vector<Target> targets;
  };

  void add(Target target);
  void submit_batch();
  void write_run(const Run& run, Compressor& compressor);
  void write_chunk(const Target& target, ByteView chunk, FileDescriptor& file,
                   std::string& open_path);

  Storage& storage_;
  TreeReader& tree_;
  DataDirectoryWriter& directory_;
  std::function<void(std::uint64_t)> written_;
  std::vector<Target> batch_;
  std::vector<Compressor> compressors_;
  // Last: its threads use the rest.
  OrderedWorkers<Run> workers_;
};

}  // namespace walvault
