// Arbitrary bytes as what a server sends or keeps; the first byte chooses what. Where a
// checksum would stop all but a few inputs it is made right, so that what lies behind it
// is read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "fuzz/by_first_byte.h"
#include "postgres/backup_label.h"
#include "postgres/backup_manifest.h"
#include "postgres/control_file.h"
#include "postgres/data_page.h"
#include "postgres/incremental_file.h"
#include "postgres/segment_name.h"
#include "postgres/tar_reader.h"

namespace {

using namespace walvault;

constexpr std::size_t tar_block_bytes = 512;
constexpr std::size_t tar_checksum_offset = 148;

// Every block may be a header.
void read_tar(ByteView input, std::size_t piece) {
  Bytes stream(input.begin(), input.end());
  for (std::size_t at = 0; at + tar_block_bytes <= stream.size(); at += tar_block_bytes) {
    auto* const field = stream.data() + at + tar_checksum_offset;
    std::fill_n(field, 8, std::uint8_t{' '});
    unsigned sum = 0;
    for (std::size_t i = 0; i < tar_block_bytes; ++i) sum += stream[at + i];
    char digits[8];
    (void)std::snprintf(digits, sizeof digits, "%06o", sum);
    std::copy_n(digits, 7, field);
  }
  std::uint64_t left = 0;
  TarReader reader({.begin =
                        [&](const TarEntry& entry) {
                          if (entry.path.starts_with('/') || entry.path.starts_with("../")) {
                            __builtin_trap();
                          }
                          left = entry.size;
                        },
                    .data =
                        [&](ByteView bytes) {
                          if (bytes.size() > left) __builtin_trap();
                          left -= bytes.size();
                        },
                    .end =
                        [&] {
                          if (left != 0) __builtin_trap();
                        }});
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(ByteView(stream).subspan(at, std::min(piece, stream.size() - at)));
  }
  reader.finish();
}

void read_manifest(ByteView input) {
  Sha256 digest;
  digest.update(input);
  const auto last = "\"Manifest-Checksum\": \"" + digest.finish().hex() + "\"}\n";
  ManifestReader reader([](const ManifestFile&) {});
  reader.feed(input);
  reader.feed(as_bytes(last));
  reader.finish();
}

// Of a file that is as long as it says.
void read_changes(ByteView input, std::size_t piece) {
  constexpr std::uint32_t block_bytes = 32;
  constexpr std::uint32_t segment_blocks = 1000;
  std::uint64_t file_bytes = 12;
  if (input.size() >= 8) {
    const auto count = ByteReader(input.subspan(4), "a count").u32();
    if (count > 0 && count <= segment_blocks) {
      file_bytes = (12 + 4 * count + block_bytes - 1) / block_bytes * block_bytes;
      file_bytes += std::uint64_t{count} * block_bytes;
    }
  }
  IncrementalHeaderReader reader(file_bytes, block_bytes, segment_blocks);
  for (std::size_t at = 0; at < input.size(); at += piece) {
    auto bytes = input.subspan(at, std::min(piece, input.size() - at));
    if (!reader.feed(bytes)) continue;
    const auto header = reader.take();
    if (header.length_blocks() > segment_blocks) __builtin_trap();
    if (!std::ranges::is_sorted(header.blocks)) __builtin_trap();
    return;
  }
}

void read(std::uint8_t what, ByteView bytes) {
  switch (what % 7) {
    case 0: read_tar(bytes, 1 + what); return;
    case 1: read_manifest(bytes); return;
    case 2: (void)parse_backup_label(bytes); return;
    case 3: {
      const auto tablespaces = parse_tablespace_map(bytes);
      if (parse_tablespace_map(as_bytes(format_tablespace_map(tablespaces))) != tablespaces) {
        __builtin_trap();
      }
      return;
    }
    case 4: (void)parse_control_file(bytes); return;
    case 6: read_changes(bytes, 1 + what); return;
    default: {
      const auto text = as_text(bytes);
      (void)classify_wal_file(text);
      (void)first_block_of(text, 131072);
      (void)SegmentName::parse(text, WalGeometry{1u << 24});
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return read_by_first_byte(data, size, read, false);
}
