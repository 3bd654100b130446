// From chunks to stored frames: what is zeros, what the parent or this run has stored
// already, and of what is new a frame: a difference from the parent's chunk at its
// place, one of its own, or one for many small ones.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "codec/compression.h"
#include "repository/chunk_decoder.h"
#include "repository/delta_worth.h"
#include "repository/writer_session.h"

namespace walvault {

enum class Outcome { zero, borrowed, known, fresh };

// Which packs a frame goes to: what expires together lies together.
enum class Series { data, delta, metadata };

struct NewFrame {
  Series series{};
  Bytes stored;
};

// One chunk of a batch.
struct Piece {
  std::uint32_t offset = 0;  // in the batch's bytes
  std::uint32_t length = 0;
  bool is_metadata = false;
  // Its outcome and reference are known, and its bytes are not there.
  bool is_settled = false;
  std::optional<LentRef> parent = {};  // what the parent has at its place
  Outcome outcome = Outcome::fresh;
  std::size_t frame = 0;                    // of a fresh one, in the batch's frames
  std::vector<FramePlace> lent_bases = {};  // of a fresh DELTA: places as in a LentRef
  // Of what was borrowed, `parent` stands for it.
  ChunkRef ref = {};
};

// Chunks one after another, of one file or many.
struct ChunkBatch {
  Bytes plain;
  std::vector<Piece> pieces;
  std::vector<NewFrame> frames;

  [[nodiscard]] ByteView bytes_of(const Piece& piece) const {
    return ByteView(plain).subspan(piece.offset, piece.length);
  }
};

// Small chunks that this run has stored. Bounded: when it is full, further
// ones are not remembered. Thread-safe.
class KnownChunks {
 public:
  [[nodiscard]] std::optional<ChunkRef> find(const ChunkId& id);
  void add(const ChunkRef& ref);

 private:
  std::mutex mutex_;
  std::unordered_map<ChunkId, ChunkRef, DigestHash> refs_;
};

// What was found damaged of the parent while differences were made. Thread-safe, but
// for what is asked when the encoders have ended.
class BaseDamage {
 public:
  // A base that cannot be had costs space, never the backup; other errors are thrown.
  void note(const Error& error);
  void note(const DamagedChunk& damage);

  // What was met first; empty for nothing.
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::set<PackName>& packs() const { return packs_; }

 private:
  std::mutex mutex_;
  std::string text_;
  std::set<PackName> packs_;
};

// Not thread-safe: one a thread.
class ChunkEncoder {
 public:
  struct Options {
    CompressionSetting compression;  // of what is no metadata
    std::size_t delta_depth = 0;     // 0: no differences
    DeltaWorth* worth = nullptr;     // asked before bases are read; nullptr: they are
  };

  // The references must outlive this.
  ChunkEncoder(Storage& storage, const PackTable& parent_packs, Options options, KnownChunks& known,
               BaseDamage& damage)
      : options_(options), bases_(storage, parent_packs), known_(known), damage_(damage) {}

  // Settles the outcome of every piece and makes the frames.
  void encode(ChunkBatch& batch);

 private:
  void encode_deltas(ChunkBatch& batch, std::vector<Piece*>& fresh);
  [[nodiscard]] bool encode_delta(ChunkBatch& batch, Piece& piece, std::uint64_t& saved_bytes);
  void encode_whole(ChunkBatch& batch, const std::vector<Piece*>& fresh);
  [[nodiscard]] const CompressionSetting& setting_of(const Piece& piece) const;

  const Options options_;
  StoredFrames bases_;
  ChunkDecoder decoder_;
  Compressor compressor_;
  KnownChunks& known_;
  BaseDamage& damage_;
};

}  // namespace walvault
