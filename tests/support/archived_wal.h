// WAL objects put into an archive without a push: for what only reads them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>

#include "catalog/wal/wal_archive.h"
#include "codec/crc32c.h"
#include "support/wal_builder.h"
#include "support/wal_files.h"

namespace walvault {

inline void set_summary_version(std::span<std::uint8_t> trailer, std::uint32_t version) {
  constexpr std::size_t version_offset = 20;
  ByteWriter number;
  number.u32(version);
  std::ranges::copy(number.bytes(), trailer.begin() + version_offset);
  ByteWriter crc;
  crc.u32(crc32c(trailer.first(version_offset + 4)));
  std::ranges::copy(crc.bytes(), trailer.begin() + version_offset + 4);
}

// Stores a file as docs/repository-format.md describes it, and returns its key.
inline std::string archive_file(const WalArchive& archive, const std::string& name,
                                ByteView content, Timestamp modified = {}, Timestamp archived = {},
                                const Bytes& summary = {},
                                std::uint32_t summary_version = wal_summary_version) {
  WalObjectHeader header;
  header.kind = classify_wal_file(name).value();
  header.name = name;
  header.system_identifier = archive.identity().system_identifier;
  if (header.kind == WalFileKind::segment || header.kind == WalFileKind::partial) {
    const auto geometry = archive.identity().geometry;
    header.start = SegmentName::parse(name.substr(0, 24), geometry).value().start(geometry);
    header.page_magic = 0xD110;
  }
  header.plain_bytes = content.size();
  header.digest = sha256(content);
  header.modified = modified;
  header.archived = archived;
  while (!content.empty() && content.back() == 0) content = content.first(content.size() - 1);
  header.content_bytes = content.size();

  Compressor compressor;
  Bytes frames;
  while (!content.empty()) {
    const auto plain = content.first(std::min<std::size_t>(content.size(), wal_frame_bytes));
    Bytes stored;
    header.frames.push_back(encode_wal_frame(compressor, {}, plain, stored));
    frames.insert(frames.end(), stored.begin(), stored.end());
    content = content.subspan(plain.size());
  }
  const auto key = header.kind == WalFileKind::partial ? archive.partial_key(name, header.digest)
                                                       : archive.key_of(name);
  const auto prefix = encode_wal_object_header(ObjectCodec(), header, key);
  auto trailer = encode_wal_object_trailer(header, prefix.size(), summary.size());
  if (summary_version != wal_summary_version) set_summary_version(trailer, summary_version);
  if (!archive.repository().storage().put_if_absent(
          key, ObjectContent{prefix, frames, summary, trailer})) {
    throw Error(ErrorKind::internal, key + " is there already");
  }
  return key;
}

// Segments `first` to `last` of a timeline, each last written a minute after
// the one before: segment n at `minute_of(n)`.
[[nodiscard]] inline Timestamp minute_of(std::uint64_t number) {
  return Timestamp(std::chrono::seconds(1'790'000'000) +
                   std::chrono::minutes(static_cast<std::int64_t>(number)));
}

// Each continues the one of the number before, on whichever timeline, and has
// the checkpoint of wal_files.h.
[[nodiscard]] inline Bytes chained_segment(std::uint32_t timeline, std::uint64_t number,
                                           const CheckpointSpec& checkpoint = {}) {
  constexpr std::uint64_t switch_offset = test_checkpoint_offset + 120;
  WalBuilder wal(number, 15, timeline);
  wal.follow({(number - 1) * test_segment_bytes + switch_offset});
  wal.add_filler(test_checkpoint_offset - wal_segment_header_bytes - wal_record_header_bytes - 2);
  wal.add_main(0, 0x10, 0, checkpoint_copy(checkpoint));
  if (wal.add_switch().value % test_segment_bytes != switch_offset) std::abort();
  return wal.segment(0);
}

inline void archive_segments(const WalArchive& archive, std::uint32_t timeline, std::uint64_t first,
                             std::uint64_t last) {
  for (auto number = first; number <= last; ++number) {
    const WalSegmentSpec spec{.timeline = timeline, .number = number, .content_bytes = 300};
    archive_file(archive, spec.name(), chained_segment(timeline, number), minute_of(number));
  }
}

// 00000003.history from {{1, lsn}, {2, lsn}}.
inline void archive_history(const WalArchive& archive, std::uint32_t timeline,
                            const std::vector<TimelineSwitch>& ancestors, Timestamp modified = {}) {
  std::string text;
  for (const auto& ancestor : ancestors) {
    text += std::to_string(ancestor.timeline.value) + "\t" + ancestor.end.text() +
            "\tno recovery target specified\n";
  }
  archive_file(archive, history_file_name({timeline}), as_bytes(text), modified);
}

}  // namespace walvault
