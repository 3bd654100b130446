// The second half of TreeWriter, which the thread that delivers runs: puts frames into
// packs, which further threads store, and references into maps and the list of files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ordered_workers.h"
#include "repository/chunk_encoder.h"
#include "repository/delta_worth.h"
#include "repository/pack.h"
#include "repository/tree.h"
#include "repository/tree_writer.h"
#include "repository/writer_session.h"

namespace walvault {

// One file, or stream, on its way through the pipeline. Shared by all that carry pieces
// of it; only the builder changes it once its first piece is submitted. What is known at its
// end alone comes with that (EndedFile).
struct TreeFile {
  FileEntry entry;
  bool is_stream = false;
  std::vector<std::optional<LentRef>> parent_maps;

  std::vector<ChunkRef> refs;  // of the map being built, or of the stream
  std::uint64_t pieces_delivered = 0;
  std::size_t maps_made = 0;
};

// The end of a file.
struct EndedFile {
  std::shared_ptr<TreeFile> file;
  std::uint64_t pieces = 0;       // that were submitted
  std::uint32_t crc = 0;          // of a file
  std::uint64_t stream_size = 0;  // of a stream
};

// Fills packs one after another.
class PackSeries {
 public:
  struct StoredObject {
    WriterSession::Object object;
    bool is_record = false;  // of what was stored before it
  };

  PackSeries(const WriterSession& session, PackTable& table, PackBuilder::Limits limits,
             OrderedWorkers<StoredObject>& store)
      : writer_(session.writer()),
        table_(table),
        builder_(session.repository().codec(), limits),
        store_(store) {}

  [[nodiscard]] bool fits(const Bytes& frame) const { return builder_.fits(frame.size()); }

  // REQUIRES: fits(frame).
  [[nodiscard]] FramePlace append(const Bytes& frame);

  // Whether a reference names the pack that is being filled.
  [[nodiscard]] bool is_open(std::uint32_t pack) const { return index_ == pack; }

  // Closes the pack and hands it to the storing threads.
  void close();

  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  [[nodiscard]] std::uint64_t open_bytes() const { return builder_.bytes(); }

 private:
  const WriterId& writer_;
  PackTable& table_;
  PackBuilder builder_;
  OrderedWorkers<StoredObject>& store_;
  std::optional<std::uint32_t> index_;
  std::uint64_t stored_bytes_ = 0;
};

// Not thread-safe.
class TreeBuilder {
 public:
  // The references must outlive this. `encoder` is for what is made here;
  // `parent_table`: what the parent has as its list of files.
  TreeBuilder(const WriterSession& session, const TreeWriter::Options& options,
              std::vector<std::optional<LentRef>> parent_table, ChunkEncoder& encoder,
              KnownChunks& known, DeltaWorth& worth);

  // An encoded batch, and which file each of its pieces belongs to, in order.
  void add(ChunkBatch& batch, const std::vector<std::shared_ptr<TreeFile>>& files);

  // All pieces of which were added.
  void end(const EndedFile& ended);

  // Records what is stored so far for the next run to find, when that is much.
  void record_when_due();

  // Waits until every pack is stored. Returns the root, without its head.
  [[nodiscard]] Root finish();

  // After finish().
  [[nodiscard]] const TreeWriter::Totals& totals() const { return totals_; }

 private:
  // A map names its packs by digest, so one that refers to an open pack has to wait.
  struct PendingMap {
    std::shared_ptr<TreeFile> file;
    std::vector<ChunkRef> refs;
    std::size_t number = 0;
  };

  void store(PackSeries::StoredObject& stored);
  [[nodiscard]] std::uint64_t stored_bytes() const;
  FramePlace place_frame(const NewFrame& frame);
  FramePlace adopted(const FramePlace& lent);
  ChunkRef adopted(LentRef lent);
  void place_piece(Piece& piece, const std::vector<FramePlace>& places);
  void end_map(const std::shared_ptr<TreeFile>& file);
  void close_content_packs();
  void write_pending_maps();
  void write_map(const PendingMap& map);
  ChunkRef store_metadata(Bytes plain, std::optional<LentRef> parent);
  void write_entry(const FileEntry& entry);
  void flush_file_table();

  const std::uint64_t unfinished_bytes_min_;
  const WriterSession& session_;
  const std::vector<std::optional<LentRef>> parent_table_;
  ChunkEncoder& encoder_;
  KnownChunks& known_;
  DeltaWorth& worth_;

  Root root_;
  TreeWriter::Totals totals_;
  ByteWriter file_table_;
  std::vector<PendingMap> pending_maps_;
  std::size_t pending_references_ = 0;
  std::vector<std::shared_ptr<TreeFile>> pending_files_;
  std::uint64_t unfinished_bytes_ = 0;  // that were stored when it was recorded last
  std::uint32_t unfinished_objects_ = 0;
  OrderedWorkers<PackSeries::StoredObject> store_;
  PackSeries data_;
  PackSeries delta_;
  PackSeries metadata_;
};

}  // namespace walvault
