#include "restore/file_restorer.h"

#include <fcntl.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace walvault {
namespace {

// References gathered before they are sorted by place: 4 GiB of large files.
constexpr std::size_t batch_targets_max = 16384;
// A read fetches frames that together span at most this, and skips holes of at
// most that.
constexpr std::uint32_t run_bytes_max = 4u << 20;
constexpr std::uint32_t run_hole_bytes_max = 64u << 10;

}  // namespace

FileRestorer::FileRestorer(Storage& storage, TreeReader& tree, DataDirectoryWriter& directory,
                           unsigned jobs, std::function<void(std::uint64_t bytes)> written)
    : storage_(storage),
      tree_(tree),
      directory_(directory),
      written_(std::move(written)),
      compressors_(jobs),
      workers_(
          {.threads = jobs, .in_flight_max = 2 * std::size_t{jobs}},
          [this](Run& run, unsigned worker) { write_run(run, compressors_.at(worker)); },
          [this](Run& run) {
            std::uint64_t bytes = 0;
            for (const auto& target : run.targets) bytes += target.length;
            written_(bytes);
          }) {}

void FileRestorer::restore(const FileEntry& entry) {
  directory_.make_file(entry.path, entry.size, entry.mode);
  const auto path = std::make_shared<const std::string>(entry.path);
  const auto add_chunk = [&](std::uint64_t number, const ChunkRef& ref) {
    // Zeros are there already: the file was made of them.
    if (ref.zero) return;
    const auto offset = number * chunk_bytes;
    add({.path = path,
         .offset = offset,
         .length =
             static_cast<std::uint32_t>(std::min<std::uint64_t>(chunk_bytes, entry.size - offset)),
         .ref = ref});
  };
  if (entry.chunk) add_chunk(0, *entry.chunk);
  for (std::size_t map = 0; map < entry.maps.size(); ++map) {
    const auto refs = tree_.chunks_of_map(entry, map);
    for (std::size_t i = 0; i < refs.size(); ++i) add_chunk(map * map_chunks_max + i, refs[i]);
  }
}

void FileRestorer::add(Target target) {
  batch_.push_back(std::move(target));
  if (batch_.size() >= batch_targets_max) submit_batch();
}

void FileRestorer::submit_batch() {
  std::ranges::sort(batch_, {}, [](const Target& target) {
    return std::tuple(target.ref.pack, target.ref.frame.offset, target.ref.frame.ordinal);
  });
  Run run;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (auto& target : batch_) {
    const auto& frame = target.ref.frame;
    const auto frame_end = std::uint64_t{frame.offset} + frame.length;
    const bool joins = !run.targets.empty() && run.targets.back().ref.pack == target.ref.pack &&
                       frame.offset <= end + run_hole_bytes_max &&
                       frame_end - begin <= run_bytes_max;
    if (!joins) {
      if (!run.targets.empty()) workers_.submit(std::move(run));
      run = {};
      begin = frame.offset;
      end = frame.offset;
    }
    end = std::max(end, frame_end);
    run.targets.push_back(std::move(target));
  }
  if (!run.targets.empty()) workers_.submit(std::move(run));
  batch_.clear();
}

void FileRestorer::finish() {
  submit_batch();
  workers_.finish();
}

void FileRestorer::write_run(const Run& run, Compressor& compressor) {
  const auto& packs = tree_.root().packs;
  const auto& first = run.targets.front();
  std::uint64_t end = 0;
  for (const auto& target : run.targets) {
    end = std::max(end, std::uint64_t{target.ref.frame.offset} + target.ref.frame.length);
  }
  const auto begin = first.ref.frame.offset;
  const auto stored =
      storage_.find(packs.at(first.ref.pack).name.key(), {.offset = begin, .length = end - begin});
  FileDescriptor file;
  std::string open_path;
  std::optional<std::uint32_t> decoded_offset;
  DecodedFrame frame;
  for (const auto& target : run.targets) {
    const auto& place = target.ref.frame;
    try {
      if (!stored) throw damaged_chunk(packs, target.ref, "Its pack is gone.");
      if (place.offset - begin + std::uint64_t{place.length} > stored->size()) {
        throw damaged_chunk(packs, target.ref, "Its pack is cut short.");
      }
      if (decoded_offset != place.offset) {
        decode_frame(compressor, ByteView(*stored).subspan(place.offset - begin, place.length),
                     frame);
        decoded_offset = place.offset;
      }
      if (place.ordinal >= frame.chunks.size() ||
          frame.chunks[place.ordinal].size() != target.length ||
          sha256(frame.chunks[place.ordinal]) != target.ref.id) {
        throw damaged_chunk(packs, target.ref, "Its content has another digest.");
      }
    } catch (const Error& error) {
      throw Error(
          ErrorKind::corrupt,
          "the backup's content of \"" + *target.path + "\" at byte " +
              std::to_string(target.offset) + " is damaged",
          damaged_chunk(packs, target.ref, error.message() + ". " + error.detail()).detail(),
          "The directory has no pg_control and cannot be started. Restore from another "
          "backup, or from a copy of the repository.");
    }
    write_chunk(target, frame.chunks[place.ordinal], file, open_path);
  }
}

void FileRestorer::write_chunk(const Target& target, ByteView chunk, FileDescriptor& file,
                               std::string& open_path) {
  if (!file || open_path != *target.path) {
    file = directory_.open_for_writing(*target.path);
    open_path = *target.path;
  }
  write_all_at(file, chunk, target.offset, directory_.path_of(*target.path));
  // A hint, so that the disk does not idle until the sync at the end; whether
  // the write succeeds only that sync tells.
  (void)::sync_file_range(file.get(), static_cast<off_t>(target.offset),
                          static_cast<off_t>(chunk.size()), SYNC_FILE_RANGE_WRITE);
}

}  // namespace walvault
