#include "repository/tree_writer.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "codec/crc32c.h"
#include "repository/chunk_encoder.h"
#include "repository/parent_content.h"
#include "repository/parent_files.h"
#include "repository/tree_builder.h"

namespace walvault {
namespace {

constexpr std::uint64_t reused_chunks_max = 262144;  // of one file: 64 GiB, 30 MiB
// What travels together: bytes, and pieces and ends of files. So much of the parent is
// read at once for what is stored as a difference from it.
constexpr std::size_t item_bytes = 2u << 20;
constexpr std::size_t item_parts_max = 2048;

// What travels: chunks, and files that end.
struct Item {
  ChunkBatch batch;
  std::vector<std::shared_ptr<TreeFile>> files;  // which the batch's pieces belong to
  std::vector<EndedFile> ended;

  [[nodiscard]] bool is_full() const {
    return batch.plain.size() + chunk_bytes > item_bytes ||
           batch.pieces.size() + ended.size() >= item_parts_max;
  }
};

// Bytes beside the files: a chunk of them is gathered apart from those.
struct OpenStream {
  std::shared_ptr<TreeFile> file;
  Bytes pending;
  std::uint64_t pieces = 0;
  std::uint64_t size = 0;
};

}  // namespace

class TreeWriter::Pipeline {
 public:
  Pipeline(const WriterSession& session, const Options& options)
      : options_(options),
        session_(session),
        parents_(session),
        worth_(session.clock(), options.jobs, options.uploads),
        encoders_(make_encoders()),
        builder_(session, options, parents_.stream("files"), encoders_.back(), known_, worth_),
        workers_(
            {.threads = options.jobs, .in_flight_max = 2 * std::size_t{options.jobs} + 2},
            [this](Item& item, unsigned worker) { encoders_.at(worker).encode(item.batch); },
            [this](Item& item) { deliver(item); }) {
    if (options.delta_depth > delta_bases_max) {
      throw Error(ErrorKind::internal, "differences would lie too deep");
    }
    if (options.delta_depth > 0 && !session.lenders().entries().empty()) {
      session.repository().announce(Feature::delta_frames);
    }
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
    const auto crc = parent_ ? parent_->entry().crc : 0;
    end_file(crc);
    return crc;
  }

  std::optional<KnownFile> begin_of_parent(FileEntry entry) {
    begin_beside(std::move(entry),
                 [&](const FileEntry& file) { return parents_.find_in_parent(file.path); });
    if (file_->entry.size == 0) return KnownFile();
    if (!parent_) {
      file_.reset();
      return std::nullopt;
    }
    const auto& known = parent_->entry();
    return KnownFile{.size = known.size, .crc = known.crc};
  }

  void append_chunk_of_parent() {
    if (unfinished_bytes() > 0) throw Error(ErrorKind::internal, "a chunk is begun within another");
    put_borrowed(ref_of_parent(pieces_));
  }

  void read_chunks_of_parent(const std::vector<std::uint64_t>& numbers,
                             const std::function<void(std::uint64_t, ByteView)>& sink) {
    std::vector<LentRef> refs;
    refs.reserve(numbers.size());
    for (const auto number : numbers) refs.push_back(ref_of_parent(number));
    const auto size = parent_ ? parent_->entry().size : 0;
    read_parent_chunks(session_, refs, decoder_, [&](std::size_t i, ByteView bytes) {
      const auto length = std::min<std::uint64_t>(chunk_bytes, size - numbers[i] * chunk_bytes);
      const auto& chunk = refs[i].chunk;
      const Bytes zeros(chunk.zero ? length : 0);
      const auto content = chunk.zero ? ByteView(zeros) : bytes;
      if (content.size() != length) {
        throw DamagedChunk(session_.lenders(), chunk, "It has another length.");
      }
      sink(numbers[i], content);
    });
  }

  void begin_stream(const std::string& name, bool may_borrow) {
    auto& stream = streams_[name];
    if (stream.file) throw Error(ErrorKind::internal, "a stream is begun twice");
    stream.file = std::make_shared<TreeFile>();
    stream.file->is_stream = true;
    stream.file->entry.path = name;
    if (may_borrow) parent_streams_[name] = parents_.stream(name);
  }

  void append_to_stream(const std::string& name, ByteView bytes) {
    auto& stream = streams_.at(name);
    auto& pending = stream.pending;
    stream.size += bytes.size();
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
    return builder_.finish();
  }

  [[nodiscard]] const Totals& totals() const { return builder_.totals(); }
  [[nodiscard]] const std::string& parent_damage() const {
    return parents_.damage().empty() ? base_damage_.text() : parents_.damage();
  }
  [[nodiscard]] const std::set<PackName>& damaged_bases() const { return base_damage_.packs(); }

 private:
  // One for each worker, and one for the delivering thread.
  [[nodiscard]] std::deque<ChunkEncoder> make_encoders() {
    std::deque<ChunkEncoder> encoders;
    for (unsigned i = 0; i <= options_.jobs; ++i) {
      encoders.emplace_back(
          session_.repository().storage(), session_.lenders(),
          ChunkEncoder::Options{.compression = options_.compression,
                                .delta_depth = options_.delta_depth,
                                .worth = options_.weighs_deltas ? &worth_ : nullptr},
          known_, base_damage_);
    }
    return encoders;
  }

  [[nodiscard]] static std::size_t maps_of(std::uint64_t size) {
    const auto chunks = (size + chunk_bytes - 1) / chunk_bytes;
    return chunks <= 1 ? 0 : (chunks - 1) / map_chunks_max + 1;
  }

  // `find` gives what the file is compared with.
  template <typename Find>
  void begin_beside(FileEntry entry, const Find& find) {
    if (file_) throw Error(ErrorKind::internal, "a file is begun within another");
    file_ = std::make_shared<TreeFile>();
    file_->entry = std::move(entry);
    parent_.reset();
    position_ = 0;
    pieces_ = 0;
    crc_ = 0;
    if (file_->entry.size == 0) return;
    parent_ = find(file_->entry);
    const auto maps = maps_of(file_->entry.size);
    for (std::size_t i = 0; parent_ && i < std::min(maps, parent_->maps()); ++i) {
      file_->parent_maps.push_back(parent_->map(i));
    }
  }

  // Of the chunk that is being gathered: the item's last bytes.
  [[nodiscard]] std::size_t unfinished_bytes() const {
    return item_.batch.plain.size() - chunk_begin_;
  }

  // All chunks that the parent has of this file; nullopt unless each may be borrowed.
  std::optional<std::vector<LentRef>> parent_chunks() {
    std::vector<LentRef> refs;
    const auto& entry = file_->entry;
    if (entry.size == 0) return refs;
    if (!parent_ || parent_->entry().size != entry.size ||
        entry.size > reused_chunks_max * chunk_bytes) {
      return std::nullopt;
    }
    for (std::uint64_t i = 0; i * chunk_bytes < entry.size; ++i) {
      auto ref = parent_->chunk(i);
      if (!ref) return std::nullopt;
      refs.push_back(std::move(*ref));
    }
    return refs;
  }

  LentRef ref_of_parent(std::uint64_t number) {
    auto ref = parent_ ? parent_->chunk(number) : std::nullopt;
    if (!ref) {
      throw UnusableParent("\"" + file_->entry.path + "\", chunk " + std::to_string(number) + ". " +
                           parents_.damage());
    }
    return std::move(*ref);
  }

  void put_borrowed(LentRef lent) {
    const auto length = std::min<std::uint64_t>(chunk_bytes, file_->entry.size - position_);
    position_ += length;
    Piece piece{.length = static_cast<std::uint32_t>(length), .is_settled = true};
    piece.outcome = lent.chunk.zero ? Outcome::zero : Outcome::borrowed;
    piece.ref.zero = lent.chunk.zero;
    piece.parent = std::move(lent);
    put_piece(std::move(piece));
  }

  void end_chunk() {
    Piece piece;
    piece.offset = static_cast<std::uint32_t>(chunk_begin_);
    piece.length = static_cast<std::uint32_t>(unfinished_bytes());
    if (parent_) piece.parent = parent_->chunk(pieces_);
    chunk_begin_ = item_.batch.plain.size();
    put_piece(std::move(piece));
  }

  void put_piece(Piece piece) {
    ++pieces_;
    item_.batch.pieces.push_back(std::move(piece));
    item_.files.push_back(file_);
    if (item_.is_full()) submit_item();
  }

  void end_file(std::uint32_t crc) {
    parent_.reset();
    item_.ended.push_back({.file = std::move(file_), .pieces = pieces_, .crc = crc});
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
    if (is_last) {
      item.ended.push_back(
          {.file = stream.file, .pieces = stream.pieces, .stream_size = stream.size});
    }
    workers_.submit(std::move(item));
  }

  // ---- the delivering thread

  void deliver(Item& item) {
    builder_.add(item.batch, item.files);
    for (const auto& ended : item.ended) builder_.end(ended);
    builder_.record_when_due();
  }

  const Options options_;
  const WriterSession& session_;

  // The caller's thread.
  ParentFiles parents_;
  std::shared_ptr<TreeFile> file_;
  std::optional<SourceFiles::File> parent_;  // of that
  std::uint64_t position_ = 0;
  std::uint64_t pieces_ = 0;
  std::uint32_t crc_ = 0;
  ChunkDecoder decoder_;         // of what the parent has
  Item item_;                    // being gathered
  std::size_t chunk_begin_ = 0;  // in it, of the chunk that is not complete

  std::map<std::string, OpenStream> streams_;
  std::map<std::string, std::vector<std::optional<LentRef>>> parent_streams_;

  // The workers.
  KnownChunks known_;
  BaseDamage base_damage_;
  DeltaWorth worth_;
  std::deque<ChunkEncoder> encoders_;

  // The delivering thread.
  TreeBuilder builder_;

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
