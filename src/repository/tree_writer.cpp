#include "repository/tree_writer.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"
#include "repository/parent_files.h"

namespace walvault {
namespace {

// Bounds on what waits in memory.
constexpr std::size_t known_chunks_max = 65536;         // of the run's own, about 8 MiB
constexpr std::size_t pending_references_max = 131072;  // in maps that wait for a pack, 20 MiB
constexpr std::size_t file_table_chunk_bytes = chunk_bytes;
// What travels together: bytes, and pieces and ends of files. So much of the parent is
// read at once for what is stored as a difference from it.
constexpr std::size_t item_bytes = 2u << 20;
constexpr std::size_t item_parts_max = 2048;

// A smaller chunk is not worth a frame of its own.
constexpr std::uint32_t delta_chunk_bytes_min = 4096;

// What is read at once of bases; pieces that would take more are stored whole.
constexpr std::size_t bases_bytes_max = 16u << 20;

constexpr CompressionSetting metadata_compression{.algorithm = Compression::zstd, .level = 1};

// One file, or stream, on its way through the pipeline. Shared by the items in
// flight that carry pieces of it; only the delivering thread changes it once
// its first piece is submitted.
struct FileState {
  FileEntry entry;
  bool is_stream = false;
  std::optional<ParentFiles::File> parent;  // the caller's thread only
  std::vector<std::optional<ChunkRef>> parent_maps;

  std::vector<ChunkRef> refs;  // of the map being built, or of the stream
  std::uint64_t pieces_delivered = 0;
  std::size_t maps_made = 0;
};

enum class Outcome { zero, borrowed, known, fresh };

// Which packs a frame goes to: what expires together lies together.
enum class Series { data, delta, metadata };

struct NewFrame {
  Series series{};
  Bytes stored;
};

// One chunk of a file within an item.
struct Piece {
  std::shared_ptr<FileState> file;
  std::uint32_t offset = 0;  // in the item's bytes
  std::uint32_t length = 0;
  std::optional<ChunkRef> parent;
  Outcome outcome = Outcome::fresh;
  std::size_t frame = 0;  // of a fresh one, in the item's frames
  // What was borrowed, and the bases of a fresh DELTA, with the parent's pack indexes.
  ChunkRef ref;
};

struct EndedFile {
  std::shared_ptr<FileState> file;
  std::uint64_t pieces = 0;
};

// What travels: chunks one after another, of one file or many, and files that end.
struct Item {
  Bytes plain;
  std::vector<Piece> pieces;
  std::vector<NewFrame> frames;
  std::vector<EndedFile> ended;

  [[nodiscard]] ByteView bytes_of(const Piece& piece) const {
    return ByteView(plain).subspan(piece.offset, piece.length);
  }
  [[nodiscard]] bool is_full() const {
    return plain.size() + chunk_bytes > item_bytes ||
           pieces.size() + ended.size() >= item_parts_max;
  }
};

// Small chunks that this run has stored. Bounded: when it is full, further
// ones are not remembered. Thread-safe.
class KnownChunks {
 public:
  [[nodiscard]] std::optional<ChunkRef> find(const ChunkId& id) {
    const std::lock_guard lock(mutex_);
    const auto it = refs_.find(id);
    if (it == refs_.end()) return std::nullopt;
    return it->second;
  }
  void add(const ChunkRef& ref) {
    const std::lock_guard lock(mutex_);
    if (refs_.size() < known_chunks_max) refs_.emplace(ref.id, ref);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<ChunkId, ChunkRef, DigestHash> refs_;
};

struct PackToStore {
  std::string key;
  Bytes bytes;
};

// Fills packs one after another; belongs to the delivering thread.
class PackSeries {
 public:
  PackSeries(const RandomId& writer, PackTable& table, PackBuilder::Limits limits,
             OrderedWorkers<PackToStore>& store)
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
    store_.submit({.key = table_.at(*index_).name.key(), .bytes = std::move(finished.bytes)});
    index_.reset();
  }

  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }

 private:
  const RandomId& writer_;
  PackTable& table_;
  PackBuilder builder_;
  OrderedWorkers<PackToStore>& store_;
  std::optional<std::uint32_t> index_;
  std::uint64_t stored_bytes_ = 0;
};

}  // namespace

class TreeWriter::Pipeline {
 public:
  Pipeline(const WriterSession& session, const Options& options)
      : options_(options),
        parents_(session),
        store_(
            {.threads = 1, .in_flight_max = 1},
            [&session](PackToStore& pack, unsigned) {
              // A name made of a fresh writer id and the content's digest is
              // taken only by the same content.
              (void)session.repository().storage().put_if_absent(pack.key, pack.bytes);
            },
            [](PackToStore&) {}),
        data_(session.writer(), root_.packs, options.data_pack, store_),
        delta_(session.writer(), root_.packs, options.delta_pack, store_),
        metadata_(session.writer(), root_.packs, options.metadata_pack, store_),
        workers_(
            {.threads = options.jobs, .in_flight_max = 2 * std::size_t{options.jobs} + 2},
            [this](Item& item, unsigned worker) { work(item, encoders_.at(worker)); },
            [this](Item& item) { deliver(item); }) {
    root_.streams.push_back({.name = "files", .size = 0, .chunks = {}});
    if (options.delta_depth > delta_bases_max) {
      throw Error(ErrorKind::internal, "differences would lie too deep");
    }
    if (options.delta_depth > 0 && session.source() != nullptr) {
      session.repository().announce(Feature::delta_frames);
    }
    // Nothing was submitted to the workers so far.
    for (unsigned i = 0; i < options.jobs; ++i) {
      encoders_.emplace_back(session.repository().storage(), parents_.packs());
    }
  }

  // ---- the caller's thread

  void begin(FileEntry entry, bool is_stream) {
    if (file_) throw Error(ErrorKind::internal, "a file is begun within another");
    file_ = std::make_shared<FileState>();
    file_->entry = std::move(entry);
    file_->is_stream = is_stream;
    position_ = 0;
    pieces_ = 0;
    crc_ = 0;
    if (!is_stream && file_->entry.size > 0) {
      file_->parent = parents_.find(file_->entry.path);
      const auto maps = maps_of(file_->entry.size);
      for (std::size_t i = 0; file_->parent && i < std::min(maps, file_->parent->maps()); ++i) {
        file_->parent_maps.push_back(file_->parent->map(i));
      }
    }
  }

  void append(ByteView bytes) {
    if (!file_) throw Error(ErrorKind::internal, "bytes without a file");
    if (!file_->is_stream && bytes.size() > file_->entry.size - position_) {
      throw Error(ErrorKind::corrupt, "\"" + file_->entry.path + "\" is longer than announced");
    }
    crc_ = crc32c(bytes, crc_);
    while (!bytes.empty()) {
      auto& plain = item_.plain;
      if (plain.capacity() < item_bytes) plain.reserve(item_bytes);
      const auto part = bytes.first(std::min(bytes.size(), chunk_bytes - unfinished_bytes()));
      plain.insert(plain.end(), part.begin(), part.end());
      position_ += part.size();
      bytes = bytes.subspan(part.size());
      if (unfinished_bytes() == chunk_bytes) end_chunk();
    }
  }

  std::uint32_t end() {
    if (unfinished_bytes() > 0) end_chunk();
    if (!file_->is_stream && position_ != file_->entry.size) {
      throw Error(
          ErrorKind::corrupt, "\"" + file_->entry.path + "\" is shorter than announced",
          std::to_string(position_) + " of " + std::to_string(file_->entry.size) + " bytes came.");
    }
    // No piece reads them after this: the entry is settled before its end is
    // delivered.
    file_->entry.crc = crc_;
    if (file_->is_stream) file_->entry.size = position_;
    file_->parent.reset();
    item_.ended.push_back({.file = std::move(file_), .pieces = pieces_});
    file_.reset();
    if (item_.is_full()) submit_item();
    return crc_;
  }

  void add(FileEntry entry) {
    begin(std::move(entry), false);
    (void)end();
  }

  Root finish() {
    submit_item();
    workers_.finish();
    // The delivering thread is idle from here on.
    close_content_packs();
    flush_file_table();
    metadata_.close();
    store_.finish();
    totals_.stored_bytes = data_.stored_bytes() + delta_.stored_bytes() + metadata_.stored_bytes();
    return std::move(root_);
  }

  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const std::string& parent_damage() const {
    return parents_.damage().empty() ? base_damage_ : parents_.damage();
  }
  [[nodiscard]] const std::set<PackName>& damaged_bases() const { return damaged_bases_; }

 private:
  // What a worker has of its own.
  struct Encoder {
    Encoder(Storage& storage, const PackTable& parent_packs) : bases(storage, parent_packs) {}

    StoredFrames bases;
    ChunkDecoder decoder;
    Compressor compressor;
  };

  [[nodiscard]] static std::size_t maps_of(std::uint64_t size) {
    const auto chunks = (size + chunk_bytes - 1) / chunk_bytes;
    return chunks <= 1 ? 0 : (chunks - 1) / map_chunks_max + 1;
  }

  // Of the chunk that is being gathered: the item's last bytes.
  [[nodiscard]] std::size_t unfinished_bytes() const { return item_.plain.size() - chunk_begin_; }

  void end_chunk() {
    Piece piece;
    piece.file = file_;
    piece.offset = static_cast<std::uint32_t>(chunk_begin_);
    piece.length = static_cast<std::uint32_t>(unfinished_bytes());
    if (file_->parent) piece.parent = file_->parent->chunk(pieces_);
    ++pieces_;
    item_.pieces.push_back(std::move(piece));
    chunk_begin_ = item_.plain.size();
    if (item_.is_full()) submit_item();
  }

  void submit_item() {
    if (item_.pieces.empty() && item_.ended.empty()) return;
    workers_.submit(std::move(item_));
    item_ = {};
    chunk_begin_ = 0;
  }

  // ---- the workers

  void work(Item& item, Encoder& encoder) {
    std::vector<Piece*> fresh;
    for (auto& piece : item.pieces) {
      const auto bytes = item.bytes_of(piece);
      if (is_all_zero(bytes)) {
        piece.outcome = Outcome::zero;
        piece.ref.zero = true;
        continue;
      }
      const auto id = sha256(bytes);
      if (piece.parent && !piece.parent->zero && piece.parent->id == id) {
        piece.outcome = Outcome::borrowed;
        piece.ref = *piece.parent;
        continue;
      }
      if (piece.length < chunk_bytes) {
        if (const auto known = known_.find(id)) {
          piece.outcome = Outcome::known;
          piece.ref = *known;
          continue;
        }
      }
      piece.ref.id = id;
      fresh.push_back(&piece);
    }
    encode_deltas(item, fresh, encoder);
    encode_whole(item, fresh, encoder.compressor);
  }

  // Takes those out of `fresh` that are stored as a difference from what the parent
  // has at their place.
  void encode_deltas(Item& item, std::vector<Piece*>& fresh, Encoder& encoder) {
    if (options_.delta_depth == 0) return;
    const auto may_be_delta = [](const Piece* piece) {
      return piece->parent && !piece->parent->zero && piece->length >= delta_chunk_bytes_min;
    };
    std::vector<FramePlace> places;
    std::set<std::pair<std::uint32_t, std::uint32_t>> frames;
    std::size_t bytes = 0;
    for (auto* piece : fresh) {
      if (!may_be_delta(piece)) continue;
      for (const auto& place : piece->parent->places()) {
        if (frames.emplace(place.pack, place.frame.offset).second) bytes += place.frame.length;
        places.push_back(place);
      }
      if (bytes <= bases_bytes_max) continue;
      places.resize(places.size() - piece->parent->places().size());
      piece->parent.reset();
    }
    if (places.empty()) return;
    try {
      encoder.bases.read(std::move(places), [](std::uint64_t) {});
    } catch (const Error& error) {
      note_base_damage(error);
      return;
    }
    std::erase_if(fresh, [&](Piece* piece) {
      if (!may_be_delta(piece)) return false;
      try {
        return encode_delta(item, *piece, encoder);
      } catch (const DamagedChunk& damage) {
        note_base_damage(damage);
        const std::lock_guard lock(base_damage_mutex_);
        damaged_bases_.insert(damage.pack());
        return false;
      }
    });
  }

  // False: stored by itself it takes little more.
  bool encode_delta(Item& item, Piece& piece, Encoder& encoder) {
    const auto& parent = *piece.parent;
    const auto places = parent.places();
    // At the greatest depth from what the others were made against in the first place.
    const bool is_deepest = parent.bases.size() >= options_.delta_depth;
    const auto base = is_deepest ? encoder.decoder.decode_last_base(encoder.bases, parent)
                                 : encoder.decoder.decode(encoder.bases, parent);
    const auto bytes = item.bytes_of(piece);
    const auto& setting = options_.compression;
    auto stored = encode_delta_frame(encoder.compressor,
                                     setting.algorithm == Compression::zstd ? setting.level : 1,
                                     is_deepest ? sha256(base) : parent.id, base, bytes);
    // What it would take by itself: a large one about as much as its like took.
    const auto whole = piece.length >= group_member_bytes_max
                           ? places.back().frame.length
                           : encode_full_frame(encoder.compressor, setting, bytes).size();
    if (stored.size() > whole / 2) return false;
    piece.ref.bases.assign(is_deepest ? places.end() - 1 : places.begin(), places.end());
    piece.frame = item.frames.size();
    item.frames.push_back({.series = Series::delta, .stored = std::move(stored)});
    return true;
  }

  // A base that cannot be had costs space, never the backup.
  void note_base_damage(const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::unavailable) {
      throw Error(error);
    }
    const std::lock_guard lock(base_damage_mutex_);
    if (base_damage_.empty()) base_damage_ = error.message() + ": " + error.detail();
  }

  // Large chunks each in a frame of its own, small ones together.
  void encode_whole(Item& item, const std::vector<Piece*>& fresh, Compressor& compressor) {
    std::vector<ByteView> group;
    std::size_t group_bytes = 0;
    const auto put = [&](Series series, Bytes stored) {
      item.frames.push_back({.series = series, .stored = std::move(stored)});
    };
    const auto& setting = options_.compression;
    const auto end_group = [&] {
      if (group.size() == 1)
        put(Series::data, encode_full_frame(compressor, setting, group.front()));
      if (group.size() > 1) put(Series::data, encode_group_frame(compressor, setting, group));
      group.clear();
      group_bytes = 0;
    };
    const auto is_alone = [](const Piece* piece) {
      return piece->length >= group_member_bytes_max || piece->file->is_stream;
    };
    for (auto* piece : fresh) {
      if (!is_alone(piece)) continue;
      piece->frame = item.frames.size();
      put(piece->file->is_stream ? Series::metadata : Series::data,
          encode_full_frame(compressor, setting, item.bytes_of(*piece)));
    }
    for (auto* piece : fresh) {
      if (is_alone(piece)) continue;
      if (group_bytes + piece->length > chunk_bytes || group.size() >= group_members_max)
        end_group();
      piece->frame = item.frames.size();
      piece->ref.frame.ordinal = static_cast<std::uint32_t>(group.size());
      group.push_back(item.bytes_of(*piece));
      group_bytes += piece->length;
    }
    end_group();
  }

  // ---- the delivering thread

  void deliver(Item& item) {
    std::vector<FramePlace> places;
    for (const auto& frame : item.frames) places.push_back(place_frame(frame));
    for (auto& piece : item.pieces) {
      place_piece(piece, places);
      auto& file = *piece.file;
      file.refs.push_back(piece.ref);
      ++file.pieces_delivered;
      // A stream's size is not settled yet: its references stay in one list.
      if (!file.is_stream && file.refs.size() == map_chunks_max &&
          file.pieces_delivered * chunk_bytes < file.entry.size) {
        end_map(piece.file);
      }
    }
    for (auto& [file, pieces] : item.ended) settle(file, pieces);
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
    const auto& entry = parents_.packs().at(of_parent.pack);
    return {.pack = root_.packs.add(entry.name, entry.size), .frame = of_parent.frame};
  }
  ChunkRef adopted(ChunkRef ref) {
    ref.pack = adopted(ref.place()).pack;
    for (auto& base : ref.bases) base = adopted(base);
    return ref;
  }

  // Completes a piece's reference and counts it.
  void place_piece(Piece& piece, const std::vector<FramePlace>& places) {
    if (!piece.file->is_stream) totals_.size_bytes += piece.length;
    switch (piece.outcome) {
      case Outcome::zero:
        if (!piece.file->is_stream) totals_.zero_bytes += piece.length;
        break;
      case Outcome::known: break;
      case Outcome::borrowed: piece.ref = adopted(std::move(piece.ref)); break;
      case Outcome::fresh: {
        const auto& place = places.at(piece.frame);
        piece.ref.pack = place.pack;
        piece.ref.frame.offset = place.frame.offset;
        piece.ref.frame.length = place.frame.length;
        for (auto& base : piece.ref.bases) base = adopted(base);
        if (!piece.file->is_stream) totals_.new_bytes += piece.length;
        if (piece.length < chunk_bytes && !piece.file->is_stream) known_.add(piece.ref);
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
    const auto bytes = encode_map(map.refs, root_.packs);
    auto& file = *map.file;
    // One of zeros alone proves nothing of the parent's, which may be damaged.
    const bool is_zero = std::ranges::all_of(map.refs, &ChunkRef::zero);
    if (!is_zero && map.number < file.parent_maps.size()) {
      const auto& parent = file.parent_maps[map.number];
      if (parent && !parent->zero && parent->id == sha256(bytes)) {
        file.entry.maps.push_back(adopted(*parent));
        return;
      }
    }
    file.entry.maps.push_back(store_metadata(bytes));
  }

  ChunkRef store_metadata(const Bytes& plain) {
    const auto frame = encode_full_frame(metadata_compressor_, metadata_compression, plain);
    const auto place = place_frame({.series = Series::metadata, .stored = frame});
    return {.id = sha256(plain), .pack = place.pack, .frame = place.frame};
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
    stream.chunks.push_back(store_metadata(file_table_.take()));
    file_table_ = {};
  }

  const Options options_;

  // The caller's thread.
  ParentFiles parents_;
  std::shared_ptr<FileState> file_;
  std::uint64_t position_ = 0;
  std::uint64_t pieces_ = 0;
  std::uint32_t crc_ = 0;
  Item item_;                    // being gathered
  std::size_t chunk_begin_ = 0;  // in it, of the chunk that is not complete

  // The workers.
  std::vector<Encoder> encoders_;
  KnownChunks known_;
  std::string base_damage_;
  std::set<PackName> damaged_bases_;
  std::mutex base_damage_mutex_;

  // The delivering thread.
  Root root_;
  Totals totals_;
  ByteWriter file_table_;
  std::vector<PendingMap> pending_maps_;
  std::size_t pending_references_ = 0;
  std::vector<std::shared_ptr<FileState>> pending_files_;
  Compressor metadata_compressor_;
  OrderedWorkers<PackToStore> store_;
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
void TreeWriter::begin_file(FileEntry entry) { pipeline_->begin(std::move(entry), false); }
void TreeWriter::append(ByteView bytes) { pipeline_->append(bytes); }
std::uint32_t TreeWriter::end_file() { return pipeline_->end(); }

void TreeWriter::begin_stream(std::string name) {
  FileEntry entry;
  entry.path = std::move(name);
  pipeline_->begin(std::move(entry), true);
}
void TreeWriter::append_to_stream(ByteView bytes) { pipeline_->append(bytes); }
void TreeWriter::end_stream() { (void)pipeline_->end(); }

Root TreeWriter::finish() { return pipeline_->finish(); }
const TreeWriter::Totals& TreeWriter::totals() const { return pipeline_->totals(); }
const std::string& TreeWriter::parent_damage() const { return pipeline_->parent_damage(); }
const std::set<PackName>& TreeWriter::damaged_bases() const { return pipeline_->damaged_bases(); }

}  // namespace walvault
