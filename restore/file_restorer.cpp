#include "restore/file_restorer.h"

#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace walvault {

FileRestorer::FileRestorer(Storage& storage, TreeReader& tree, DataDirectoryWriter& directory,
                           unsigned jobs, std::function<void(std::uint64_t bytes)> written)
    : tree_(tree),
      directory_(directory),
      open_(jobs),
      chunks_(storage, tree.root().packs, jobs,
              {.got = [this](const WantedChunk& wanted, ByteView chunk,
                             unsigned worker) { write(wanted, chunk, open_.at(worker)); },
               .damaged =
                   [](const WantedChunk& wanted, const DamagedChunk& damage) {
                     throw Error(ErrorKind::corrupt,
                                 "the backup's content of \"" + *wanted.path + "\" at byte " +
                                     std::to_string(wanted.offset) + " is damaged",
                                 damage.detail(),
                                 "The directory has no pg_control and cannot be started. Restore "
                                 "from another backup, or from a copy of the repository. What "
                                 "else is damaged tells: walvault verify");
                   },
               .reading = [](std::uint64_t) {},
               .progress = std::move(written)}) {}

void FileRestorer::restore(const FileEntry& entry) {
  directory_.make_file(entry.path, entry.size, entry.mode);
  const auto path = std::make_shared<const std::string>(entry.path);
  // Zeros are there already: the file was made of them.
  tree_.for_each_stored_chunk(
      entry, [&](std::uint64_t offset, std::uint32_t length, const ChunkRef& ref) {
        chunks_.add({.path = path, .offset = offset, .length = length, .ref = ref});
      });
}

void FileRestorer::finish() {
  chunks_.finish();
  for (auto& each : open_) each = {};
}

void FileRestorer::write(const WantedChunk& wanted, ByteView chunk, OpenFile& open) {
  if (!open.file || open.path != wanted.path) {
    open.file = directory_.open_for_writing(*wanted.path);
    open.path = wanted.path;
  }
  write_all_at(open.file, chunk, wanted.offset, directory_.path_of(*wanted.path));
  // A hint, so that the disk does not idle until the sync at the end; whether
  // the write succeeds only that sync tells.
  (void)::sync_file_range(open.file.get(), static_cast<off_t>(wanted.offset),
                          static_cast<off_t>(chunk.size()), SYNC_FILE_RANGE_WRITE);
}

}  // namespace walvault
