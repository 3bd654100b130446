#include "repository/tree_writer.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"
#include "repository/chunk_encoder.h"
#include "repository/parent_files.h"

namespace walvault {
namespace {

// Bounds on what waits in memory.
constexpr std::size_t pending_references_max = 131072;  // in maps that wait for a pack, 20 MiB
constexpr std::size_t file_table_chunk_bytes = chunk_bytes;
constexpr std::uint64_t reused_chunks_max = 262144;  // of one file: 64 GiB, 30 MiB
// What travels together: bytes, and pieces and ends of files. So much of the parent is
// read at once for what is stored as a difference from it.
constexpr std::size_t item_bytes = 2u << 20;
constexpr std::size_t item_parts_max = 2048;

// One file, or stream, on its way through the pipeline. Shared by the items in
// flight that carry pieces of it; only the delivering thread changes it once
// its first piece is submitted.
struct FileState {
  FileEntry entry;
  bool is_stream = false;
  std::optional<SourceFiles::File> parent;  // the caller's thread only
  std::vector<std::optional<ChunkRef>> parent_maps;

  std::vector<ChunkRef> refs;  // of the map being built, or of the stream
  std::uint64_t pieces_delivered = 0;
  std::size_t maps_made = 0;
};

struct EndedFile {
  std::shared_ptr<FileState> file;
  std::uint64_t pieces = 0;
};

// What travels: chunks, and files that end.
struct Item {
  ChunkBatch batch;
  std::vector<std::shared_ptr<FileState>> files;  // which the batch's pieces belong to
  std::vector<EndedFile> ended;

  [[nodiscard]] bool is_full() const {
    return batch.plain.size() + chunk_bytes > item_bytes ||
           batch.pieces.size() + ended.size() >= item_parts_max;
  }
};

// Bytes beside the files: a chunk of them is gathered apart from those.
struct OpenStream {
  std::shared_ptr<FileState> file;
  Bytes pending;
  std::uint64_t pieces = 0;
};

struct StoredObject {
  WriterSession::Object object;
  bool is_record = false;  // of what was stored before it
};

void put(const WriterSession& session, const WriterSession::Object& object) {
  // A name made of a fresh writer id and the content's digest, or a number, is taken only
  // by the same content.
  (void)session.repository().storage().put_if_absent(object.key, object.bytes);
}

// Fills packs one after another; belongs to the delivering thread.
class PackSeries {
 public:
  PackSeries(const RandomId& writer, PackTable& table, PackBuilder::Limits limits,
             OrderedWorkers<StoredObject>& store)
      : writer_(writer), table_(table), builder_(limits), store_(store) {}

  [[nodiscard]] bool fits(const Bytes& frame) const { return builder_.fits(frame.size()); }

  // REQUIRES: fits(frame).
  [[nodiscard]] FramePlace append(const Bytes& frame) {
    if (!index_) index_ = table_.reserve(writer_);
    return {.pack = *index_, .frame = builder_.append(frame)};
  }

  // Whether a reference names the pack that is being filled.
  [[nodiscard]] bool is_open(std::uint32_t pack) const { return index_ == pack; }

  // Closes the pack and hands it to the storing thread.
  void close() {
    if (!index_) return;
    auto finished = builder_.finish(*index_);
    stored_bytes_ += finished.bytes.size();
    table_.resolve(*index_, finished.digest, finished.bytes.size());
    store_.submit(
        {.object = {.key = table_.at(*index_).name.key(), .bytes = std::move(finished.bytes)}});
    index_.reset();
  }

  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  [[nodiscard]] std::uint64_t open_bytes() const { return builder_.bytes(); }

 private:
  const RandomId& writer_;
  PackTable& table_;
  PackBuilder builder_;
  OrderedWorkers<StoredObject>& store_;
  std::optional<std::uint32_t> index_;
  std::uint64_t stored_bytes_ = 0;
};

}  // namespace

class TreeWriter::Pipeline {
 public:
  Pipeline(const WriterSession& session, const Options& options)
      : options_(options),
        session_(session),
        parents_(session),
        worth_(options.jobs, options.uploads),
        store_(
            {.threads = options.uploads, .in_flight_max = options.uploads},
            [this](StoredObject& stored, unsigned) {
              if (stored.is_record) return;
              const auto began = std::chrono::steady_clock::now();
              put(session_, stored.object);
              worth_.note_stored(std::chrono::steady_clock::now() - began,
                                 stored.object.bytes.size());
            },
            // In order: a record when all that it names is there.
            [&session](StoredObject& stored) {
              if (stored.is_record) put(session, stored.object);
            }),
        data_(session.writer(), root_.packs, options.data_pack, store_),
        delta_(session.writer(), root_.packs, options.delta_pack, store_),
        metadata_(session.writer(), root_.packs, options.metadata_pack, store_),
        workers_(
            {.threads = options.jobs, .in_flight_max = 2 * std::size_t{options.jobs} + 2},
            [this](Item& item, unsigned worker) { encoders_.at(worker).encode(item.batch); },
            [this](Item& item) { deliver(item); }) {
    root_.streams.push_back({.name = "files", .size = 0, .chunks = {}});
    if (options.delta_depth > delta_bases_max) {
      throw Error(ErrorKind::internal, "differences would lie too deep");
    }
    if (options.delta_depth > 0 && !session.lenders().entries().empty()) {
      session.repository().announce(Feature::delta_frames);
    }
    // Nothing was submitted to the workers so far. The last one is the delivering
    // thread's.
    for (unsigned i = 0; i <= options.jobs; ++i) {
      encoders_.emplace_back(
          session.repository().storage(), session.lenders(),
          ChunkEncoder::Options{.compression = options.compression,
                                .delta_depth = options.delta_depth,
                                .worth = options.weighs_deltas ? &worth_ : nullptr},
          known_, base_damage_);
    }
    parent_table_ = parents_.stream("files");
  }

  // ---- the caller's thread

  void begin(FileEntry entry) {
    begin_beside(std::move(entry),
                 [&](const FileEntry& file) { return parents_.find(file.path, file.size); });
  }

  void append(ByteView bytes) {
    if (!file_) throw Error(ErrorKind::internal, "bytes without a file");
    if (bytes.size() > file_->entry.size - position_) {
      throw Error(ErrorKind::corrupt, "\"" + file_->entry.path + "\" is longer than announced");
    }
    crc_ = crc32c(bytes, crc_);
    while (!bytes.empty()) {
      auto& plain = item_.batch.plain;
      if (plain.capacity() < item_bytes) plain.reserve(item_bytes);
      const auto part = bytes.first(std::min(bytes.size(), chunk_bytes - unfinished_bytes()));
      plain.insert(plain.end(), part.begin(), part.end());
      position_ += part.size();
      bytes = bytes.subspan(part.size());
      if (unfinished_bytes() == chunk_bytes) end_chunk();
    }
  }

  std::uint32_t end() {
    end(crc_);
    return crc_;
  }

  void end(std::uint32_t crc) {
    if (unfinished_bytes() > 0) end_chunk();
    if (position_ != file_->entry.size) {
      throw Error(
          ErrorKind::corrupt, "\"" + file_->entry.path + "\" is shorter than announced",
          std::to_string(position_) + " of " + std::to_string(file_->entry.size) + " bytes came.");
    }
    end_file(crc);
  }

  void add(FileEntry entry) {
    begin(std::move(entry));
    (void)end();
  }

  std::optional<std::uint32_t> reuse(FileEntry entry) {
    begin_beside(std::move(entry),
                 [&](const FileEntry& file) { return parents_.find_in_parent(file.path); });
    const auto refs = parent_chunks();
    if (!refs) {
      file_.reset();
      return std::nullopt;
    }
    for (const auto& ref : *refs) put_borrowed(ref);
    const auto crc = file_->parent ? file_->parent->entry().crc : 0;
    end_file(crc);
    return crc;
  }

  std::optional<KnownFile> begin_of_parent(FileEntry entry) {
    begin_beside(std::move(entry),
                 [&](const FileEntry& file) { return parents_.find_in_parent(file.path); });
    if (file_->entry.size == 0) return KnownFile();
    if (!file_->parent) {
      file_.reset();
      return std::nullopt;
    }
    const auto& known = file_->parent->entry();
    return KnownFile{.size = known.size, .crc = known.crc};
  }

  void append_chunk_of_parent() {
    if (unfinished_bytes() > 0) throw Error(ErrorKind::internal, "a chunk is begun within another");
    put_borrowed(ref_of_parent(pieces_));
  }

  void read_chunks_of_parent(const std::vector<std::uint64_t>& numbers,
                             const std::function<void(std::uint64_t, ByteView)>& sink) {
    std::vector<ChunkRef> refs;
    std::vector<FramePlace> places;
    for (const auto number : numbers) {
      refs.push_back(ref_of_parent(number));
      const auto more = refs.back().places();
      places.insert(places.end(), more.begin(), more.end());
    }
    StoredFrames frames(session_.repository().storage(), session_.lenders());
    try {
      frames.read(std::move(places), [](std::uint64_t) {});
    } catch (const Error& error) {
      // It may be of no use for a full backup, and must not stop that.
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::unavailable) throw;
      throw UnusableParent(error.message() + ": " + error.detail());
    }
    const auto size = file_->parent ? file_->parent->entry().size : 0;
    for (std::size_t i = 0; i < refs.size(); ++i) {
      const auto length = std::min<std::uint64_t>(chunk_bytes, size - numbers[i] * chunk_bytes);
      try {
        const Bytes zeros(refs[i].zero ? length : 0);
        const auto bytes = refs[i].zero ? ByteView(zeros) : decoder_.decode(frames, refs[i]);
        if (bytes.size() != length) {
          throw DamagedChunk(session_.lenders(), refs[i], "It has another length.");
        }
        sink(numbers[i], bytes);
      } catch (const DamagedChunk& damage) {
        throw UnusableParent(damage.message() + ": " + damage.detail(), damage.pack());
      }
    }
  }

  void begin_stream(const std::string& name, bool may_borrow) {
    auto& stream = streams_[name];
    if (stream.file) throw Error(ErrorKind::internal, "a stream is begun twice");
    stream.file = std::make_shared<FileState>();
    stream.file->is_stream = true;
    stream.file->entry.path = name;
    if (may_borrow) parent_streams_[name] = parents_.stream(name);
  }

  void append_to_stream(const std::string& name, ByteView bytes) {
    auto& stream = streams_.at(name);
    auto& pending = stream.pending;
    stream.file->entry.size += bytes.size();
    while (!bytes.empty()) {
      const auto part = bytes.first(std::min(bytes.size(), chunk_bytes - pending.size()));
      pending.insert(pending.end(), part.begin(), part.end());
      bytes = bytes.subspan(part.size());
      if (pending.size() == chunk_bytes) submit_chunk_of(name, stream, false);
    }
  }

  void end_stream(const std::string& name) {
    submit_chunk_of(name, streams_.at(name), true);
    streams_.erase(name);
  }

  Root finish() {
    submit_item();
    workers_.finish();
    // The delivering thread is idle from here on.
    close_content_packs();
    flush_file_table();
    metadata_.close();
    store_.finish();
    totals_.stored_bytes = stored_bytes();
    return std::move(root_);
  }

  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const std::string& parent_damage() const {
    return parents_.damage().empty() ? base_damage_.text() : parents_.damage();
  }
  [[nodiscard]] const std::set<PackName>& damaged_bases() const { return base_damage_.packs(); }

 private:
  [[nodiscard]] static std::size_t maps_of(std::uint64_t size) {
    const auto chunks = (size + chunk_bytes - 1) / chunk_bytes;
    return chunks <= 1 ? 0 : (chunks - 1) / map_chunks_max + 1;
  }

  // `find` gives what the file is compared with.
  template <typename Find>
  void begin_beside(FileEntry entry, const Find& find) {
    if (file_) throw Error(ErrorKind::internal, "a file is begun within another");
    file_ = std::make_shared<FileState>();
    file_->entry = std::move(entry);
    position_ = 0;
    pieces_ = 0;
    crc_ = 0;
    if (file_->entry.size == 0) return;
    file_->parent = find(file_->entry);
    const auto maps = maps_of(file_->entry.size);
    for (std::size_t i = 0; file_->parent && i < std::min(maps, file_->parent->maps()); ++i) {
      file_->parent_maps.push_back(file_->parent->map(i));
    }
  }

  // Of the chunk that is being gathered: the item's last bytes.
  [[nodiscard]] std::size_t unfinished_bytes() const {
    return item_.batch.plain.size() - chunk_begin_;
  }

  // All chunks that the parent has of this file; nullopt unless each may be borrowed.
  std::optional<std::vector<ChunkRef>> parent_chunks() {
    std::vector<ChunkRef> refs;
    const auto& entry = file_->entry;
    if (entry.size == 0) return refs;
    if (!file_->parent || file_->parent->entry().size != entry.size ||
        entry.size > reused_chunks_max * chunk_bytes) {
      return std::nullopt;
    }
    for (std::uint64_t i = 0; i * chunk_bytes < entry.size; ++i) {
      auto ref = file_->parent->chunk(i);
      if (!ref) return std::nullopt;
      refs.push_back(std::move(*ref));
    }
    return refs;
  }

  ChunkRef ref_of_parent(std::uint64_t number) {
    auto ref = file_->parent ? file_->parent->chunk(number) : std::nullopt;
    if (!ref) {
      throw UnusableParent("\"" + file_->entry.path + "\", chunk " + std::to_string(number) + ". " +
                           parents_.damage());
    }
    return std::move(*ref);
  }

  void put_borrowed(ChunkRef ref) {
    const auto length = std::min<std::uint64_t>(chunk_bytes, file_->entry.size - position_);
    position_ += length;
    put_piece({.offset = 0,
               .length = static_cast<std::uint32_t>(length),
               .is_settled = true,
               .outcome = ref.zero ? Outcome::zero : Outcome::borrowed,
               .ref = std::move(ref)});
  }

  void end_chunk() {
    Piece piece;
    piece.offset = static_cast<std::uint32_t>(chunk_begin_);
    piece.length = static_cast<std::uint32_t>(unfinished_bytes());
    if (file_->parent) piece.parent = file_->parent->chunk(pieces_);
    chunk_begin_ = item_.batch.plain.size();
    put_piece(std::move(piece));
  }

  void put_piece(Piece piece) {
    ++pieces_;
    item_.batch.pieces.push_back(std::move(piece));
    item_.files.push_back(file_);
    if (item_.is_full()) submit_item();
  }

  // No piece reads the entry after this: it is settled before its end is delivered.
  void end_file(std::uint32_t crc) {
    file_->entry.crc = crc;
    file_->parent.reset();
    item_.ended.push_back({.file = std::move(file_), .pieces = pieces_});
    file_.reset();
    if (item_.is_full()) submit_item();
  }

  void submit_item() {
    if (item_.batch.pieces.empty() && item_.ended.empty()) return;
    workers_.submit(std::move(item_));
    item_ = {};
    chunk_begin_ = 0;
  }

  void submit_chunk_of(const std::string& name, OpenStream& stream, bool is_last) {
    Item item;
    if (!stream.pending.empty()) {
      const auto& parent = parent_streams_[name];
      Piece piece{.length = static_cast<std::uint32_t>(stream.pending.size()), .is_metadata = true};
      if (stream.pieces < parent.size()) piece.parent = parent[stream.pieces];
      ++stream.pieces;
      item.batch.pieces.push_back(std::move(piece));
      item.batch.plain = std::move(stream.pending);
      item.files.push_back(stream.file);
      stream.pending = {};
    }
    if (is_last) item.ended.push_back({.file = stream.file, .pieces = stream.pieces});
    workers_.submit(std::move(item));
  }

  // ---- the delivering thread

  void deliver(Item& item) {
    std::vector<FramePlace> places;
    for (const auto& frame : item.batch.frames) places.push_back(place_frame(frame));
    for (std::size_t i = 0; i < item.batch.pieces.size(); ++i) {
      auto& piece = item.batch.pieces[i];
      place_piece(piece, places);
      auto& file = *item.files.at(i);
      file.refs.push_back(piece.ref);
      ++file.pieces_delivered;
      // A stream's size is not settled yet: its references stay in one list.
      if (!file.is_stream && file.refs.size() == map_chunks_max &&
          file.pieces_delivered * chunk_bytes < file.entry.size) {
        end_map(item.files.at(i));
      }
    }
    for (auto& [file, pieces] : item.ended) settle(file, pieces);
    const auto due = std::max(options_.unfinished_bytes_min, unfinished_bytes_ / 16);
    const auto made = stored_bytes() + data_.open_bytes() + delta_.open_bytes();
    if (made - unfinished_bytes_ >= due) record_unfinished();
  }

  [[nodiscard]] std::uint64_t stored_bytes() const {
    return data_.stored_bytes() + delta_.stored_bytes() + metadata_.stored_bytes();
  }

  // What is stored so far, with all files that have ended. Its own list of files ends
  // where the backup's goes on.
  void record_unfinished() {
    close_content_packs();
    Root so_far;
    so_far.streams = {root_.streams.front()};
    if (file_table_.size() > 0) {
      so_far.streams.front().size += file_table_.size();
      so_far.streams.front().chunks.push_back(store_metadata(file_table_.bytes(), std::nullopt));
    }
    metadata_.close();
    so_far.packs = root_.packs;
    store_.submit({.object = session_.unfinished_object(std::move(so_far), ++unfinished_objects_),
                   .is_record = true});
    unfinished_bytes_ = stored_bytes();
  }

  FramePlace place_frame(const NewFrame& frame) {
    auto& packs = frame.series == Series::data    ? data_
                  : frame.series == Series::delta ? delta_
                                                  : metadata_;
    if (!packs.fits(frame.stored)) {
      if (frame.series == Series::metadata) {
        metadata_.close();
      } else {
        close_content_packs();
      }
    }
    return packs.append(frame.stored);
  }

  // The same place by the pack table of the root that is being made.
  FramePlace adopted(const FramePlace& of_parent) {
    const auto& entry = session_.lenders().at(of_parent.pack);
    return {.pack = root_.packs.add(entry.name, entry.size), .frame = of_parent.frame};
  }
  ChunkRef adopted(ChunkRef ref) {
    ref.pack = adopted(ref.place()).pack;
    for (auto& base : ref.bases) base = adopted(base);
    return ref;
  }

  // Completes a piece's reference and counts it.
  void place_piece(Piece& piece, const std::vector<FramePlace>& places) {
    if (!piece.is_metadata) totals_.size_bytes += piece.length;
    switch (piece.outcome) {
      case Outcome::zero:
        if (!piece.is_metadata) totals_.zero_bytes += piece.length;
        break;
      case Outcome::known: break;
      case Outcome::borrowed: piece.ref = adopted(std::move(piece.ref)); break;
      case Outcome::fresh: {
        const auto& place = places.at(piece.frame);
        piece.ref.pack = place.pack;
        piece.ref.frame.offset = place.frame.offset;
        piece.ref.frame.length = place.frame.length;
        for (auto& base : piece.ref.bases) base = adopted(base);
        if (!piece.is_metadata) totals_.new_bytes += piece.length;
        if (piece.length < chunk_bytes && !piece.is_metadata) known_.add(piece.ref);
        break;
      }
    }
  }

  // Takes the references gathered so far as one map of the file. A map names
  // its packs by digest, so one that refers to the open pack has to wait.
  void end_map(const std::shared_ptr<FileState>& file) {
    PendingMap map{.file = file, .refs = std::move(file->refs), .number = file->maps_made++};
    file->refs.clear();
    pending_references_ += map.refs.size();
    pending_maps_.push_back(std::move(map));
    const auto waits = [this](const ChunkRef& ref) {
      return !ref.zero && (data_.is_open(ref.pack) || delta_.is_open(ref.pack));
    };
    if (pending_maps_.size() == 1 && std::ranges::none_of(pending_maps_.front().refs, waits)) {
      write_pending_maps();
    } else if (pending_references_ > pending_references_max) {
      close_content_packs();
    }
  }

  // Both: a map that waits may name either.
  void close_content_packs() {
    data_.close();
    delta_.close();
    write_pending_maps();
  }

  void write_pending_maps() {
    for (auto& map : pending_maps_) write_map(map);
    pending_maps_.clear();
    pending_references_ = 0;
    for (const auto& file : pending_files_) write_entry(file->entry);
    pending_files_.clear();
  }

  struct PendingMap {
    std::shared_ptr<FileState> file;
    std::vector<ChunkRef> refs;
    std::size_t number = 0;
  };

  void write_map(const PendingMap& map) {
    auto& file = *map.file;
    std::optional<ChunkRef> parent;
    // One of zeros alone proves nothing of the parent's, which may be damaged.
    const bool is_zero = std::ranges::all_of(map.refs, &ChunkRef::zero);
    if (!is_zero && map.number < file.parent_maps.size()) parent = file.parent_maps[map.number];
    file.entry.maps.push_back(store_metadata(encode_map(map.refs, root_.packs), parent));
  }

  // `parent`: what the parent has in its place.
  ChunkRef store_metadata(Bytes plain, std::optional<ChunkRef> parent) {
    ChunkBatch batch;
    batch.pieces.push_back({.length = static_cast<std::uint32_t>(plain.size()),
                            .is_metadata = true,
                            .parent = std::move(parent)});
    batch.plain = std::move(plain);
    encoders_.back().encode(batch);
    std::vector<FramePlace> places;
    for (const auto& frame : batch.frames) places.push_back(place_frame(frame));
    place_piece(batch.pieces.front(), places);
    return std::move(batch.pieces.front().ref);
  }

  // The end of a file, all pieces of which were delivered: its entry.
  void settle(const std::shared_ptr<FileState>& file, std::uint64_t pieces) {
    if (file->pieces_delivered != pieces) {
      throw Error(ErrorKind::internal, "pieces of \"" + file->entry.path + "\" were lost");
    }
    if (file->is_stream) {
      root_.streams.push_back(
          {.name = file->entry.path, .size = file->entry.size, .chunks = std::move(file->refs)});
      return;
    }
    if (file->entry.kind == EntryKind::file) ++totals_.files;
    if (file->pieces_delivered == 1) {
      file->entry.chunk = file->refs.front();
      file->refs.clear();
    }
    if (!file->refs.empty()) end_map(file);
    if (file->maps_made == file->entry.maps.size()) {
      write_entry(file->entry);
    } else {
      pending_files_.push_back(file);
    }
  }

  void write_entry(const FileEntry& entry) {
    write_file_entry(file_table_, entry);
    if (file_table_.size() >= file_table_chunk_bytes) flush_file_table();
  }

  void flush_file_table() {
    if (file_table_.size() == 0) return;
    auto& stream = root_.streams.front();
    stream.size += file_table_.size();
    const auto number = stream.chunks.size();
    auto parent = number < parent_table_.size() ? parent_table_[number] : std::nullopt;
    stream.chunks.push_back(store_metadata(file_table_.take(), std::move(parent)));
    file_table_ = {};
  }

  const Options options_;
  const WriterSession& session_;

  // The caller's thread.
  ParentFiles parents_;
  std::shared_ptr<FileState> file_;
  std::uint64_t position_ = 0;
  std::uint64_t pieces_ = 0;
  std::uint32_t crc_ = 0;
  ChunkDecoder decoder_;         // of what the parent has
  Item item_;                    // being gathered
  std::size_t chunk_begin_ = 0;  // in it, of the chunk that is not complete

  std::map<std::string, OpenStream> streams_;
  std::map<std::string, std::vector<std::optional<ChunkRef>>> parent_streams_;

  // The workers.
  std::deque<ChunkEncoder> encoders_;
  KnownChunks known_;
  BaseDamage base_damage_;

  // The delivering thread.
  Root root_;
  Totals totals_;
  ByteWriter file_table_;
  std::vector<PendingMap> pending_maps_;
  std::size_t pending_references_ = 0;
  std::vector<std::shared_ptr<FileState>> pending_files_;
  std::vector<std::optional<ChunkRef>> parent_table_;
  std::uint64_t unfinished_bytes_ = 0;  // that were stored when it was recorded last
  std::uint32_t unfinished_objects_ = 0;
  DeltaWorth worth_;
  OrderedWorkers<StoredObject> store_;
  PackSeries data_;
  PackSeries delta_;
  PackSeries metadata_;

  // Last: its threads use all of the above.
  OrderedWorkers<Item> workers_;
};

TreeWriter::TreeWriter(const WriterSession& session, Options options)
    : pipeline_(std::make_unique<Pipeline>(session, options)) {}
TreeWriter::~TreeWriter() = default;

void TreeWriter::add(FileEntry entry) { pipeline_->add(std::move(entry)); }
void TreeWriter::begin_file(FileEntry entry) { pipeline_->begin(std::move(entry)); }
void TreeWriter::append(ByteView bytes) { pipeline_->append(bytes); }
std::uint32_t TreeWriter::end_file() { return pipeline_->end(); }
std::optional<std::uint32_t> TreeWriter::reuse_file(FileEntry entry) {
  return pipeline_->reuse(std::move(entry));
}

std::optional<TreeWriter::KnownFile> TreeWriter::begin_file_of_parent(FileEntry entry) {
  return pipeline_->begin_of_parent(std::move(entry));
}
void TreeWriter::append_chunk_of_parent() { pipeline_->append_chunk_of_parent(); }
void TreeWriter::read_chunks_of_parent(const std::vector<std::uint64_t>& numbers,
                                       const std::function<void(std::uint64_t, ByteView)>& sink) {
  pipeline_->read_chunks_of_parent(numbers, sink);
}
void TreeWriter::end_file(std::uint32_t crc) { pipeline_->end(crc); }

void TreeWriter::begin_stream(const std::string& name, bool may_borrow) {
  pipeline_->begin_stream(name, may_borrow);
}
void TreeWriter::append_to_stream(const std::string& name, ByteView bytes) {
  pipeline_->append_to_stream(name, bytes);
}
void TreeWriter::end_stream(const std::string& name) { pipeline_->end_stream(name); }

Root TreeWriter::finish() { return pipeline_->finish(); }
const TreeWriter::Totals& TreeWriter::totals() const { return pipeline_->totals(); }
const std::string& TreeWriter::parent_damage() const { return pipeline_->parent_damage(); }
const std::set<PackName>& TreeWriter::damaged_bases() const { return pipeline_->damaged_bases(); }

}  // namespace walvault
