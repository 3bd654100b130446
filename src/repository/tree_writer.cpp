#include "repository/tree_writer.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"
#include "repository/parent_files.h"

namespace walvault {
namespace {

// Bounds on what waits in memory.
constexpr std::size_t known_chunks_max = 65536;         // of the run's own, about 8 MiB
constexpr std::size_t pending_references_max = 262144;  // in maps that wait for a pack, 16 MiB
constexpr std::size_t file_table_chunk_bytes = chunk_bytes;

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
  std::optional<std::uint64_t> pieces_expected;
  std::size_t maps_made = 0;
};

enum class Outcome { zero, borrowed, known, fresh };

// One chunk of a file within an item.
struct Piece {
  std::shared_ptr<FileState> file;
  std::uint32_t offset = 0;  // in the item's bytes
  std::uint32_t length = 0;
  std::optional<ChunkRef> parent;
  Outcome outcome = Outcome::fresh;
  ChunkRef ref;  // for borrowed: with the parent's pack index
};

// What travels: a full-size chunk, several small ones, or the end of a file.
struct Item {
  Bytes plain;
  std::vector<Piece> pieces;
  Bytes frame;  // of the fresh pieces
  std::shared_ptr<FileState> ended;
  std::uint64_t pieces_expected = 0;

  [[nodiscard]] ByteView bytes_of(const Piece& piece) const {
    return ByteView(plain).subspan(piece.offset, piece.length);
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

  // Appends a frame; the result has pack and place set. REQUIRES: fits(frame).
  [[nodiscard]] ChunkRef append(const Bytes& frame) {
    if (!index_) index_ = table_.reserve(writer_);
    ChunkRef ref;
    ref.pack = *index_;
    ref.frame = builder_.append(frame);
    return ref;
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
        compressors_(options.jobs),
        store_(
            {.threads = 1, .in_flight_max = 1},
            [&session](PackToStore& pack, unsigned) {
              // A name made of a fresh writer id and the content's digest is
              // taken only by the same content.
              (void)session.repository().storage().put_if_absent(pack.key, pack.bytes);
            },
            [](PackToStore&) {}),
        data_(session.writer(), root_.packs, options.data_pack, store_),
        metadata_(session.writer(), root_.packs, options.metadata_pack, store_),
        workers_(
            {.threads = options.jobs, .in_flight_max = 4 * std::size_t{options.jobs} + 8},
            [this](Item& item, unsigned worker) { work(item, compressors_.at(worker)); },
            [this](Item& item) { deliver(item); }) {
    root_.streams.push_back({.name = "files", .size = 0, .chunks = {}});
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
    solo_.clear();
  }

  void append(ByteView bytes) {
    if (!file_) throw Error(ErrorKind::internal, "bytes without a file");
    if (!file_->is_stream && bytes.size() > file_->entry.size - position_) {
      throw Error(ErrorKind::corrupt, "\"" + file_->entry.path + "\" is longer than announced");
    }
    crc_ = crc32c(bytes, crc_);
    while (!bytes.empty()) {
      if (solo_.capacity() < chunk_bytes) solo_.reserve(chunk_bytes);
      const auto part =
          bytes.first(std::min<std::size_t>(bytes.size(), chunk_bytes - solo_.size()));
      solo_.insert(solo_.end(), part.begin(), part.end());
      position_ += part.size();
      bytes = bytes.subspan(part.size());
      if (solo_.size() == chunk_bytes) end_chunk();
    }
  }

  std::uint32_t end() {
    if (!solo_.empty()) end_chunk();
    if (!file_->is_stream && position_ != file_->entry.size) {
      throw Error(
          ErrorKind::corrupt, "\"" + file_->entry.path + "\" is shorter than announced",
          std::to_string(position_) + " of " + std::to_string(file_->entry.size) + " bytes came.");
    }
    // No piece reads them after this: the entry is settled before its end is
    // delivered.
    file_->entry.crc = crc_;
    if (file_->is_stream) file_->entry.size = position_;
    Item item;
    item.ended = std::move(file_);
    item.pieces_expected = pieces_;
    workers_.submit(std::move(item));
    file_.reset();
    return crc_;
  }

  void add(FileEntry entry) {
    begin(std::move(entry), false);
    (void)end();
  }

  Root finish() {
    flush_group();
    workers_.finish();
    // The delivering thread is idle from here on.
    close_data_pack();
    flush_file_table();
    metadata_.close();
    store_.finish();
    totals_.stored_bytes = data_.stored_bytes() + metadata_.stored_bytes();
    return std::move(root_);
  }

  [[nodiscard]] const Totals& totals() const { return totals_; }
  [[nodiscard]] const std::string& parent_damage() const { return parents_.damage(); }

 private:
  [[nodiscard]] static std::size_t maps_of(std::uint64_t size) {
    const auto chunks = (size + chunk_bytes - 1) / chunk_bytes;
    return chunks <= 1 ? 0 : (chunks - 1) / map_chunks_max + 1;
  }

  // Sends the chunk that is complete in solo_ on its way: alone, or with other
  // small ones.
  void end_chunk() {
    Piece piece;
    piece.file = file_;
    piece.length = static_cast<std::uint32_t>(solo_.size());
    if (file_->parent) piece.parent = file_->parent->chunk(pieces_);
    ++pieces_;
    if (solo_.size() >= group_member_bytes_max || file_->is_stream) {
      Item item;
      item.plain = std::move(solo_);
      item.pieces.push_back(std::move(piece));
      workers_.submit(std::move(item));
    } else {
      if (group_.plain.size() + solo_.size() > chunk_bytes ||
          group_.pieces.size() >= group_members_max) {
        flush_group();
      }
      piece.offset = static_cast<std::uint32_t>(group_.plain.size());
      group_.plain.insert(group_.plain.end(), solo_.begin(), solo_.end());
      group_.pieces.push_back(std::move(piece));
    }
    solo_ = {};
  }

  void flush_group() {
    if (group_.pieces.empty()) return;
    workers_.submit(std::move(group_));
    group_ = {};
  }

  // ---- the workers

  void work(Item& item, Compressor& compressor) {
    std::vector<ByteView> fresh;
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
      piece.ref.frame.ordinal = static_cast<std::uint32_t>(fresh.size());
      fresh.push_back(bytes);
    }
    if (fresh.size() == 1) {
      item.frame = encode_full_frame(compressor, options_.compression, fresh.front());
    } else if (!fresh.empty()) {
      item.frame = encode_group_frame(compressor, options_.compression, fresh);
    }
  }

  // ---- the delivering thread

  void deliver(Item& item) {
    if (item.ended) {
      item.ended->pieces_expected = item.pieces_expected;
      settle(item.ended);
      return;
    }
    std::optional<ChunkRef> place;
    if (!item.frame.empty()) {
      auto& packs = item.pieces.front().file->is_stream ? metadata_ : data_;
      if (!packs.fits(item.frame)) {
        if (&packs == &data_) {
          close_data_pack();
        } else {
          packs.close();
        }
      }
      place = packs.append(item.frame);
    }
    for (auto& piece : item.pieces) {
      place_piece(piece, place);
      auto& file = *piece.file;
      file.refs.push_back(piece.ref);
      ++file.pieces_delivered;
      // A stream's size is not settled yet: its references stay in one list.
      if (!file.is_stream && file.refs.size() == map_chunks_max &&
          file.pieces_delivered * chunk_bytes < file.entry.size) {
        end_map(piece.file);
      }
      settle(piece.file);
    }
  }

  // Completes a piece's reference and counts it.
  void place_piece(Piece& piece, const std::optional<ChunkRef>& place) {
    if (!piece.file->is_stream) totals_.size_bytes += piece.length;
    switch (piece.outcome) {
      case Outcome::zero:
        if (!piece.file->is_stream) totals_.zero_bytes += piece.length;
        break;
      case Outcome::known: break;
      case Outcome::borrowed: {
        const auto& entry = parents_.packs().at(piece.ref.pack);
        piece.ref.pack = root_.packs.add(entry.name, entry.size);
        break;
      }
      case Outcome::fresh:
        piece.ref.pack = place->pack;
        piece.ref.frame.offset = place->frame.offset;
        piece.ref.frame.length = place->frame.length;
        if (!piece.file->is_stream) totals_.new_bytes += piece.length;
        if (piece.length < chunk_bytes) known_.add(piece.ref);
        break;
    }
  }

  // Takes the references gathered so far as one map of the file. A map names
  // its packs by digest, so one that refers to the open pack has to wait.
  void end_map(const std::shared_ptr<FileState>& file) {
    PendingMap map{.file = file, .refs = std::move(file->refs), .number = file->maps_made++};
    file->refs.clear();
    pending_references_ += map.refs.size();
    pending_maps_.push_back(std::move(map));
    const auto waits = [this](const ChunkRef& ref) { return !ref.zero && data_.is_open(ref.pack); };
    if (pending_maps_.size() == 1 && std::ranges::none_of(pending_maps_.front().refs, waits)) {
      write_pending_maps();
    } else if (pending_references_ > pending_references_max) {
      close_data_pack();
    }
  }

  void close_data_pack() {
    data_.close();
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
    if (map.number < file.parent_maps.size()) {
      const auto& parent = file.parent_maps[map.number];
      if (parent && !parent->zero && parent->id == sha256(bytes)) {
        auto ref = *parent;
        const auto& entry = parents_.packs().at(ref.pack);
        ref.pack = root_.packs.add(entry.name, entry.size);
        file.entry.maps.push_back(ref);
        return;
      }
    }
    file.entry.maps.push_back(store_metadata(bytes));
  }

  ChunkRef store_metadata(const Bytes& plain) {
    const auto frame = encode_full_frame(metadata_compressor_, metadata_compression, plain);
    if (!metadata_.fits(frame)) metadata_.close();
    auto ref = metadata_.append(frame);
    ref.id = sha256(plain);
    return ref;
  }

  // When the last piece of a file is there and its end is known: its entry.
  void settle(const std::shared_ptr<FileState>& file) {
    if (file->pieces_expected != file->pieces_delivered) return;
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
  Bytes solo_;  // the chunk being filled
  Item group_;  // small chunks being gathered

  // The workers.
  std::vector<Compressor> compressors_;
  KnownChunks known_;

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

}  // namespace walvault
