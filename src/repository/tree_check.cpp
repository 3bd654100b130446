#include "repository/tree_check.h"

#include <algorithm>

namespace walvault {
namespace {

constexpr std::size_t seen_places_min = 1024;

// A finalizer that spreads every bit of its input over the output.
std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15;
  hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93;
  return hash ^ hash >> 32;
}

std::uint64_t hash_of(const WantedChunk& chunk, const PackTable& packs) {
  auto hash = DigestHash()(chunk.ref.id);
  hash = mixed(hash, std::hash<std::string>{}(*chunk.path));
  hash = mixed(hash, chunk.offset);
  hash = mixed(hash, chunk.length);
  for (const auto& [pack, frame] : chunk.ref.places()) {
    // Two packs may have the same bytes, and one of them be damaged.
    const auto& name = packs.at(pack).name;
    std::uint64_t writer = 0;
    std::memcpy(&writer, name.writer.bytes.data(), sizeof writer);
    hash = mixed(hash, DigestHash()(name.digest));
    hash = mixed(hash, writer);
    hash = mixed(hash, std::uint64_t{frame.offset} << 32 | frame.length);
    hash = mixed(hash, frame.ordinal);
  }
  return hash == 0 ? 1 : hash;
}

}  // namespace

// One root.
class TreeChecker::Walk {
 public:
  Walk(TreeChecker& checker, Root root, const std::vector<PackTask>& tasks,
       const TreeCheckVisitor& visitor, const Reporter& reporter, const Meter& meter)
      : checker_(checker),
        tree_(checker.repository_, std::move(root)),
        tasks_(tasks),
        visitor_(visitor),
        reporter_(reporter),
        chunks_(checker.repository_.storage(), packs(), checker.jobs_,
                {.got = [this](const WantedChunk& wanted, ByteView chunk,
                               unsigned) { note_right(wanted, chunk); },
                 .damaged = [this](const WantedChunk& wanted,
                                   const DamagedChunk& damage) { note_lost(wanted, damage); },
                 .reading = meter.done,
                 .progress = [](std::uint64_t) {}}) {}

  void run() {
    for (const auto& stream : tree_.root().streams) {
      if (stream.name != "files") check_stream(stream);
    }
    for (std::size_t i = 0; i < tree_.table_chunks(); ++i) {
      reporter_.check_cancelled();
      const auto& ref = tree_.root().stream("files").chunks.at(i);
      std::optional<Bytes> table;
      guarded(ref, {.why = "Part of the list of files"}, [&] { table = tree_.table_chunk(i); });
      if (table) guarded(ref, {.why = "Part of the list of files"}, [&] { check_entries(*table); });
    }
    chunks_.finish();
  }

 private:
  [[nodiscard]] const PackTable& packs() const { return tree_.root().packs; }

  // Of all the frames that a chunk takes.
  [[nodiscard]] PackTask task_of(const ChunkRef& ref) const {
    auto task = PackTask::skip;
    for (const auto& place : ref.places()) task = std::max(task, task_of(place));
    return task;
  }
  [[nodiscard]] PackTask task_of(const FramePlace& place) const {
    return place.pack < tasks_.size() ? tasks_[place.pack] : PackTask::lost;
  }

  // REQUIRES: task_of(ref) is `lost`.
  [[nodiscard]] DamagedChunk unreadable(const ChunkRef& ref) const {
    const auto places = ref.places();
    const auto lost = std::ranges::find(places, PackTask::lost,
                                        [&](const FramePlace& place) { return task_of(place); });
    return {packs(), ref, *lost, "Its pack cannot be read."};
  }

  // What reads through `ref`; where that is damaged, `content` is lost.
  template <typename Action>
  void guarded(const ChunkRef& ref, LostContent content, Action&& action) {
    const auto note = [&](const std::string& why, const std::optional<PackName>& pack) {
      content.why = content.why.empty() ? why : content.why + ": " + why;
      content.pack = pack;
      note_lost(std::move(content));
    };
    try {
      if (task_of(ref) == PackTask::lost) throw unreadable(ref);
      action();
    } catch (const DamagedChunk& damage) {
      note(damage.detail(), damage.pack());
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      // It was read, and makes no sense.
      const bool is_stored = !ref.zero && ref.pack < packs().entries().size();
      note(error.detail(),
           is_stored ? std::optional(packs().entries()[ref.pack].name) : std::nullopt);
    }
  }

  void check_stream(const Stream& stream) {
    const auto nothing = std::make_shared<const std::string>();
    for (std::size_t i = 0; i < stream.chunks.size(); ++i) {
      if (stream.chunks[i].zero) continue;
      const auto offset = i * std::uint64_t{chunk_bytes};
      if (offset >= stream.size) {
        note_lost(LostContent{.why = "The part \"" + stream.name + "\" has too many chunks."});
        return;
      }
      const auto length = std::min<std::uint64_t>(chunk_bytes, stream.size - offset);
      add({.path = nothing,
           .offset = offset,
           .length = static_cast<std::uint32_t>(length),
           .ref = stream.chunks[i]});
    }
  }

  void check_entries(const Bytes& table) {
    ByteReader in(table, "a file table");
    while (in.left() > 0) check_entry(read_file_entry(in));
  }

  void check_entry(const FileEntry& entry) {
    if (entry.kind != EntryKind::file) return;
    const auto path = std::make_shared<const std::string>(entry.path);
    const auto add_chunk = [&](std::uint64_t offset, std::uint32_t length, const ChunkRef& ref) {
      add({.path = path, .offset = offset, .length = length, .ref = ref});
    };
    if (entry.maps.empty()) tree_.for_each_stored_chunk(entry, add_chunk);
    for (std::size_t map = 0; map < entry.maps.size(); ++map) {
      reporter_.check_cancelled();
      const auto begin = map * std::uint64_t{map_chunks_max} * chunk_bytes;
      const auto length =
          std::min<std::uint64_t>(std::uint64_t{map_chunks_max} * chunk_bytes, entry.size - begin);
      guarded(entry.maps[map], {.path = entry.path, .offset = begin, .length = length},
              [&] { tree_.for_each_stored_chunk(entry, map, add_chunk); });
    }
  }

  void add(WantedChunk chunk) {
    switch (task_of(chunk.ref)) {
      case PackTask::skip: return;
      case PackTask::lost: note_lost(chunk, unreadable(chunk.ref)); return;
      case PackTask::check:
        if (checker_.remembers(hash_of(chunk, packs()))) return;
        chunks_.add(std::move(chunk));
    }
  }

  void note_right(const WantedChunk& wanted, ByteView chunk) {
    if (!wanted.path->empty() && !visitor_.got(wanted, chunk)) return;
    checker_.remember(hash_of(wanted, packs()));
  }

  void note_lost(const WantedChunk& wanted, const DamagedChunk& damage) {
    note_lost({.path = *wanted.path,
               .offset = wanted.offset,
               .length = wanted.length,
               .why = damage.detail(),
               .pack = damage.pack()});
  }

  void note_lost(LostContent content) {
    const std::lock_guard lock(lost_mutex_);
    visitor_.lost(std::move(content));
  }

  TreeChecker& checker_;
  TreeReader tree_;
  const std::vector<PackTask>& tasks_;
  const TreeCheckVisitor& visitor_;
  const Reporter& reporter_;
  std::mutex lost_mutex_;
  // Last: its threads use the rest.
  ChunkFetcher chunks_;
};

TreeChecker::TreeChecker(const Repository& repository, TreeCheckOptions options)
    : repository_(repository),
      jobs_(options.jobs),
      seen_(seen_places_min),
      seen_max_(options.remembered_max) {}

void TreeChecker::check(Root root, const std::vector<PackTask>& tasks,
                        const TreeCheckVisitor& visitor, const Reporter& reporter,
                        const Meter& meter) {
  Walk(*this, std::move(root), tasks, visitor, reporter, meter).run();
}

void TreeChecker::remember(std::uint64_t hash) {
  const std::lock_guard lock(mutex_);
  if (seen_count_ >= seen_max_) return;
  const auto put = [](std::vector<std::uint64_t>& places, std::uint64_t value) {
    auto at = value % places.size();
    while (places[at] != 0 && places[at] != value) at = (at + 1) % places.size();
    const bool is_new = places[at] == 0;
    places[at] = value;
    return is_new;
  };
  // Never more than half full.
  if ((seen_count_ + 1) * 2 > seen_.size()) {
    std::vector<std::uint64_t> larger(seen_.size() * 2);
    for (const auto value : seen_) {
      if (value != 0) put(larger, value);
    }
    seen_ = std::move(larger);
  }
  if (put(seen_, hash)) ++seen_count_;
}

bool TreeChecker::remembers(std::uint64_t hash) const {
  const std::lock_guard lock(mutex_);
  auto at = hash % seen_.size();
  while (seen_[at] != 0 && seen_[at] != hash) at = (at + 1) % seen_.size();
  return seen_[at] == hash;
}

}  // namespace walvault
