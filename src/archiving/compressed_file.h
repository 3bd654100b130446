// A file on its way into the archive: read once, digested, compressed in parallel.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/huge_buffer.h"
#include "catalog/wal/wal_object.h"
#include "codec/compression.h"
#include "postgres/wal_summary.h"

namespace walvault {

// The file's content, compressed, with what the header says of it.
struct CompressedFile {
  WalObjectHeader header;
  std::vector<Bytes> frames;
  std::optional<WalSummary> summary;  // of WAL only
};

// Fills the span with the content from an offset on, or throws.
using ReadContent = std::function<void(std::span<std::uint8_t>, std::uint64_t offset)>;

struct CompressOptions {
  CompressionSetting compression;
  unsigned threads = 2;
};

// Reads the content once, front to back: every byte into the digest, and into frames all
// but the zeros at its end; what is delivered, in order, into the summary of WAL (nullptr: it
// is none). REQUIRES: `result.header.plain_bytes` is set. Memory: a few wal_frame_bytes, and
// what is compressed.
void compress_content(const ReadContent& read, const CompressOptions& options,
                      const HugeBuffers& buffers, WalSummarizer* summarizer,
                      CompressedFile& result);

}  // namespace walvault
