#include "archiving/compressed_file.h"

#include <algorithm>
#include <memory>

#include "base/ordered_workers.h"

namespace walvault {
namespace {

struct Piece {
  std::shared_ptr<HugeBuffer> plain;
  bool is_zero = false;
  // Empty where zeros end it: what its frame holds depends on what follows.
  Bytes stored;
  WalFrame frame;
};

// Takes the pieces in order, and leaves out the zeros at the end of the last ones.
class FrameSink {
 public:
  FrameSink(CompressionSetting setting, WalSummarizer* summarizer, CompressedFile& result)
      : setting_(setting), summarizer_(summarizer), result_(result) {}

  void take(Piece& piece) {
    const auto bytes = piece.plain->view();
    if (summarizer_ != nullptr) summarizer_->read(bytes);
    if (piece.is_zero) {
      ++zero_pieces_;
      return;
    }
    if (held_) compress(held_->view());
    held_.reset();
    for (; zero_pieces_ > 0; --zero_pieces_) compress(Bytes(wal_frame_bytes));
    if (bytes.back() == 0) {
      held_ = std::move(piece.plain);
    } else {
      put(piece.frame, std::move(piece.stored), bytes.size());
    }
  }

  void finish() {
    if (!held_) return;
    const auto bytes = held_->view();
    const auto last = std::ranges::find_if(bytes.rbegin(), bytes.rend(),
                                           [](std::uint8_t byte) { return byte != 0; });
    compress(bytes.first(static_cast<std::size_t>(bytes.rend() - last)));
  }

 private:
  void put(WalFrame frame, Bytes stored, std::size_t plain_bytes) {
    result_.header.content_bytes += plain_bytes;
    result_.header.frames.push_back(frame);
    result_.frames.push_back(std::move(stored));
  }

  void compress(ByteView plain) {
    Bytes stored;
    const auto frame = encode_wal_frame(compressor_, setting_, plain, stored);
    put(frame, std::move(stored), plain.size());
  }

  const CompressionSetting setting_;
  WalSummarizer* const summarizer_;
  CompressedFile& result_;
  Compressor compressor_;
  std::shared_ptr<HugeBuffer> held_;  // the last piece that is not all zeros, if they end it
  std::size_t zero_pieces_ = 0;       // whole ones behind the last that is not
};

}  // namespace

void compress_content(const ReadContent& read, const CompressOptions& options,
                      const HugeBuffers& buffers, WalSummarizer* summarizer,
                      CompressedFile& result) {
  std::vector<Compressor> compressors(options.threads);
  FrameSink sink(options.compression, summarizer, result);
  OrderedWorkers<Piece> workers(
      {.threads = options.threads, .in_flight_max = std::size_t{options.threads} + 3},
      [&](Piece& piece, unsigned worker) {
        const auto bytes = piece.plain->view();
        piece.is_zero = is_all_zero(bytes);
        if (bytes.back() == 0) return;
        piece.frame =
            encode_wal_frame(compressors.at(worker), options.compression, bytes, piece.stored);
      },
      [&](Piece& piece) { sink.take(piece); });

  // The digest takes half of the time, so it is taken here, of a piece that the others have
  // in hand already.
  Sha256 digest;
  std::uint64_t offset = 0;
  while (offset < result.header.plain_bytes) {
    const auto piece = std::make_shared<HugeBuffer>(
        buffers.take(std::min<std::uint64_t>(wal_frame_bytes, result.header.plain_bytes - offset)));
    read(piece->span(), offset);
    offset += piece->size;
    workers.submit({.plain = piece, .stored = {}, .frame = {}});
    digest.update(piece->view());
  }
  workers.finish();
  sink.finish();
  result.header.digest = digest.finish();
}

}  // namespace walvault
