#include "restore/file_restorer.h"

#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr std::uint64_t zeros_bytes_max = 1u << 20;  // looked at together

[[noreturn]] void throw_damage(const WantedChunk& wanted, const DamagedChunk& damage) {
  throw Error(ErrorKind::corrupt,
              "the backup's content of \"" + *wanted.path + "\" at byte " +
                  std::to_string(wanted.offset) + " is damaged",
              damage.detail(),
              "The directory has no pg_control and cannot be started. Restore from another "
              "backup, or from a copy of the repository. To see what else is damaged: walvault "
              "verify");
}

}  // namespace

FileRestorer::FileRestorer(Storage& storage, TreeReader& tree, DataDirectoryWriter& directory,
                           unsigned jobs, FoundInMemory found_in_memory,
                           std::function<void(std::uint64_t bytes)> written)
    : tree_(tree),
      directory_(directory),
      found_in_memory_(found_in_memory),
      written_(std::move(written)),
      open_(jobs),
      open_found_(jobs),
      chunks_(storage, tree.root().packs, jobs,
              {.got = [this](const WantedChunk& wanted, ByteView chunk,
                             unsigned worker) { write(wanted, chunk, open_.at(worker)); },
               .damaged = [](const WantedChunk& wanted,
                             const DamagedChunk& damage) { throw_damage(wanted, damage); },
               .reading = [](std::uint64_t) {},
               .progress = [this](std::uint64_t bytes) { written_(bytes); }}),
      found_(
          {.threads = jobs, .in_flight_max = 4 * std::size_t{jobs}},
          [this](Found& found, unsigned worker) { look_at(found, open_found_.at(worker)); },
          [this](Found& found) { take(found); }) {}

void FileRestorer::restore(const FileEntry& entry) {
  const auto before = directory_.make_file(entry.path, entry.size, entry.mode);
  const auto path = std::make_shared<const std::string>(entry.path);
  // Zeros are there already where nothing was: the file was made of them.
  std::uint64_t done = 0;
  tree_.for_each_stored_chunk(
      entry, [&](std::uint64_t offset, std::uint32_t length, const ChunkRef& ref) {
        expect_zeros(path, done, std::min(offset, before));
        done = offset + length;
        WantedChunk wanted{.path = path, .offset = offset, .length = length, .ref = ref};
        if (done <= before) {
          found_.submit({.wanted = std::move(wanted)});
        } else {
          add(std::move(wanted));
        }
      });
  expect_zeros(path, done, before);
}

void FileRestorer::add(WantedChunk wanted) {
  const std::lock_guard lock(chunks_mutex_);
  chunks_.add(std::move(wanted));
}

void FileRestorer::expect_zeros(const std::shared_ptr<const std::string>& path, std::uint64_t begin,
                                std::uint64_t end) {
  for (auto at = begin; at < end; at += zeros_bytes_max) {
    const auto length = static_cast<std::uint32_t>(std::min(zeros_bytes_max, end - at));
    found_.submit(
        {.wanted = {.path = path, .offset = at, .length = length, .ref = {}}, .is_zero = true});
  }
}

void FileRestorer::finish() {
  found_.finish();
  chunks_.finish();
  for (auto* const files : {&open_, &open_found_}) {
    for (auto& each : *files) each = {};
  }
}

const FileDescriptor& FileRestorer::file_of(const WantedChunk& wanted, OpenFile& open) const {
  if (!open.file || open.path != wanted.path) {
    open.file = directory_.open_for_writing(*wanted.path);
    open.path = wanted.path;
  }
  return open.file;
}

void FileRestorer::look_at(Found& found, OpenFile& open) {
  const auto& wanted = found.wanted;
  const auto& file = file_of(wanted, open);
  const auto path = directory_.path_of(*wanted.path);
  if (found_in_memory_ == FoundInMemory::is_dropped) {
    (void)::posix_fadvise(file.get(), static_cast<off_t>(wanted.offset),
                          static_cast<off_t>(wanted.length), POSIX_FADV_DONTNEED);
  }
  Bytes content(wanted.length);
  content.resize(read_at(file, content, wanted.offset, path));
  const bool is_whole = content.size() == wanted.length;
  if (!found.is_zero) {
    found.is_right = is_whole && sha256(content) == wanted.ref.id;
    return;
  }
  found.is_right = true;
  if (is_all_zero(content)) return;
  if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(wanted.offset), static_cast<off_t>(wanted.length)) == 0) {
    return;
  }
  // Not every file system can.
  std::ranges::fill(content, std::uint8_t{0});
  write_all_at(file, content, wanted.offset, path);
}

void FileRestorer::take(Found& found) {
  if (!found.is_right) {
    add(std::move(found.wanted));
  } else if (!found.is_zero) {
    kept_bytes_ += found.wanted.length;
    written_(found.wanted.length);
  }
}

void FileRestorer::write(const WantedChunk& wanted, ByteView chunk, OpenFile& open) {
  const auto& file = file_of(wanted, open);
  write_all_at(file, chunk, wanted.offset, directory_.path_of(*wanted.path));
  // A hint, so that the disk does not idle until the sync at the end; whether
  // the write succeeds only that sync tells.
  (void)::sync_file_range(file.get(), static_cast<off_t>(wanted.offset),
                          static_cast<off_t>(chunk.size()), SYNC_FILE_RANGE_WRITE);
}

}  // namespace walvault
