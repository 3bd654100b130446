#include "repository/tree_builder.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace walvault {
namespace {

// Bounds on what waits in memory.
constexpr std::size_t pending_references_max = 131072;  // in maps that wait for a pack, 20 MiB
constexpr std::size_t file_table_chunk_bytes = chunk_bytes;

void put(const WriterSession& session, const WriterSession::Object& object) {
  // A name made of a fresh writer id and the content's digest, or a number, is taken only
  // by the same content.
  (void)session.repository().storage().put_if_absent(object.key, object.bytes);
}

}  // namespace

FramePlace PackSeries::append(const Bytes& frame) {
  if (!index_) index_ = table_.reserve(writer_);
  return {.pack = *index_, .frame = builder_.append(frame)};
}

void PackSeries::close() {
  if (!index_) return;
  auto finished = builder_.finish(*index_);
  stored_bytes_ += finished.bytes.size();
  table_.resolve(*index_, finished.digest, finished.bytes.size());
  store_.submit(
      {.object = {.key = table_.at(*index_).name.key(), .bytes = std::move(finished.bytes)}});
  index_.reset();
}

TreeBuilder::TreeBuilder(const WriterSession& session, const TreeWriter::Options& options,
                         std::vector<std::optional<LentRef>> parent_table, ChunkEncoder& encoder,
                         KnownChunks& known, DeltaWorth& worth)
    : unfinished_bytes_min_(options.unfinished_bytes_min),
      session_(session),
      parent_table_(std::move(parent_table)),
      encoder_(encoder),
      known_(known),
      worth_(worth),
      store_(
          {.threads = options.uploads, .in_flight_max = options.uploads},
          [this](PackSeries::StoredObject& stored, unsigned) {
            if (!stored.is_record) store(stored);
          },
          // In order: a record when all that it names is there.
          [this](PackSeries::StoredObject& stored) {
            if (stored.is_record) put(session_, stored.object);
          }),
      data_(session, root_.packs, options.data_pack, store_),
      delta_(session, root_.packs, options.delta_pack, store_),
      metadata_(session, root_.packs, options.metadata_pack, store_) {
  root_.streams.push_back({.name = "files", .size = 0, .chunks = {}});
}

void TreeBuilder::store(PackSeries::StoredObject& stored) {
  const auto began = worth_.now();
  put(session_, stored.object);
  worth_.note_stored(worth_.now() - began, stored.object.bytes.size());
}

void TreeBuilder::add(ChunkBatch& batch, const std::vector<std::shared_ptr<TreeFile>>& files) {
  std::vector<FramePlace> places;
  for (const auto& frame : batch.frames) places.push_back(place_frame(frame));
  for (std::size_t i = 0; i < batch.pieces.size(); ++i) {
    auto& piece = batch.pieces[i];
    place_piece(piece, places);
    auto& file = *files.at(i);
    file.refs.push_back(piece.ref);
    ++file.pieces_delivered;
    // A stream's size is not settled yet: its references stay in one list.
    if (!file.is_stream && file.refs.size() == map_chunks_max &&
        file.pieces_delivered * chunk_bytes < file.entry.size) {
      end_map(files.at(i));
    }
  }
}

Root TreeBuilder::finish() {
  close_content_packs();
  flush_file_table();
  metadata_.close();
  store_.finish();
  totals_.stored_bytes = stored_bytes();
  return std::move(root_);
}

std::uint64_t TreeBuilder::stored_bytes() const {
  return data_.stored_bytes() + delta_.stored_bytes() + metadata_.stored_bytes();
}

// What is stored so far, with all files that have ended. Its own list of files ends
// where the backup's goes on.
void TreeBuilder::record_when_due() {
  const auto due = std::max(unfinished_bytes_min_, unfinished_bytes_ / 16);
  const auto made = stored_bytes() + data_.open_bytes() + delta_.open_bytes();
  if (made - unfinished_bytes_ < due) return;
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

FramePlace TreeBuilder::place_frame(const NewFrame& frame) {
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
FramePlace TreeBuilder::adopted(const FramePlace& lent) {
  const auto& entry = session_.lenders().at(lent.pack);
  return {.pack = root_.packs.add(entry.name, entry.size), .frame = lent.frame};
}

ChunkRef TreeBuilder::adopted(LentRef lent) {
  auto ref = std::move(lent.chunk);
  ref.pack = adopted(ref.place()).pack;
  for (auto& base : ref.bases) base = adopted(base);
  return ref;
}

// Completes a piece's reference and counts it.
void TreeBuilder::place_piece(Piece& piece, const std::vector<FramePlace>& places) {
  if (!piece.is_metadata) totals_.size_bytes += piece.length;
  switch (piece.outcome) {
    case Outcome::zero:
      if (!piece.is_metadata) totals_.zero_bytes += piece.length;
      break;
    case Outcome::known: break;
    case Outcome::borrowed: piece.ref = adopted(std::move(piece.parent.value())); break;
    case Outcome::fresh: {
      const auto& place = places.at(piece.frame);
      piece.ref.pack = place.pack;
      piece.ref.frame.offset = place.frame.offset;
      piece.ref.frame.length = place.frame.length;
      for (const auto& base : piece.lent_bases) piece.ref.bases.push_back(adopted(base));
      if (!piece.is_metadata) totals_.new_bytes += piece.length;
      if (piece.length < chunk_bytes && !piece.is_metadata) known_.add(piece.ref);
      break;
    }
  }
}

// The end of a file, all pieces of which were delivered: its entry.
void TreeBuilder::end(const EndedFile& ended) {
  const auto& file = ended.file;
  if (file->pieces_delivered != ended.pieces) {
    throw Error(ErrorKind::internal, "pieces of \"" + file->entry.path + "\" were lost");
  }
  if (file->is_stream) {
    root_.streams.push_back(
        {.name = file->entry.path, .size = ended.stream_size, .chunks = std::move(file->refs)});
    return;
  }
  file->entry.crc = ended.crc;
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

// Takes the references gathered so far as one map of the file.
void TreeBuilder::end_map(const std::shared_ptr<TreeFile>& file) {
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
void TreeBuilder::close_content_packs() {
  data_.close();
  delta_.close();
  write_pending_maps();
}

void TreeBuilder::write_pending_maps() {
  for (auto& map : pending_maps_) write_map(map);
  pending_maps_.clear();
  pending_references_ = 0;
  for (const auto& file : pending_files_) write_entry(file->entry);
  pending_files_.clear();
}

void TreeBuilder::write_map(const PendingMap& map) {
  auto& file = *map.file;
  std::optional<LentRef> parent;
  // One of zeros alone proves nothing of the parent's, which may be damaged.
  const bool is_zero = std::ranges::all_of(map.refs, &ChunkRef::zero);
  if (!is_zero && map.number < file.parent_maps.size()) parent = file.parent_maps[map.number];
  file.entry.maps.push_back(store_metadata(encode_map(map.refs, root_.packs), parent));
}

void TreeBuilder::write_entry(const FileEntry& entry) {
  write_file_entry(file_table_, entry);
  if (file_table_.size() >= file_table_chunk_bytes) flush_file_table();
}

void TreeBuilder::flush_file_table() {
  if (file_table_.size() == 0) return;
  auto& stream = root_.streams.front();
  stream.size += file_table_.size();
  const auto number = stream.chunks.size();
  auto parent = number < parent_table_.size() ? parent_table_[number] : std::nullopt;
  stream.chunks.push_back(store_metadata(file_table_.take(), std::move(parent)));
  file_table_ = {};
}

// `parent`: what the parent has in its place.
ChunkRef TreeBuilder::store_metadata(Bytes plain, std::optional<LentRef> parent) {
  ChunkBatch batch;
  batch.pieces.push_back({.length = static_cast<std::uint32_t>(plain.size()),
                          .is_metadata = true,
                          .parent = std::move(parent)});
  batch.plain = std::move(plain);
  encoder_.encode(batch);
  std::vector<FramePlace> places;
  for (const auto& frame : batch.frames) places.push_back(place_frame(frame));
  place_piece(batch.pieces.front(), places);
  return std::move(batch.pieces.front().ref);
}

}  // namespace walvault
