// A piece of a file of a running server: how it is read, and what its pages' checksums say.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "datadir/live_directory.h"
#include "postgres/lsn.h"

namespace walvault {

// What a server is writing at this moment is whole a moment later.
inline constexpr std::chrono::milliseconds torn_page_pause{10};

// One file that is read, shared by its parts.
struct OpenedFile {
  FileDescriptor file;
  std::string path;
  std::string location;
  FileAttributes attributes;
  std::optional<std::uint32_t> first_block;  // of those whose pages have checksums
};

// What goes through the readers, in the order of the backup.
struct FilePart {
  enum class Kind { directory, unchanged, bytes };
  Kind kind = Kind::bytes;
  LiveEntry entry = {};  // of a directory, or an unchanged file
  std::shared_ptr<const OpenedFile> file = {};
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Bytes content = {};
  std::vector<std::uint32_t> damaged_blocks = {};
  bool has_torn_pages = false;  // that were whole a moment later

  [[nodiscard]] bool is_last() const { return offset + length == file->attributes.size; }
};

// Reads a part of bytes. What a file has lost since it was opened counts as zeros: replay cuts
// it. A page whose checksum fails is read again; `start` is where the backup's WAL begins, from
// which on replay brings what is torn. On any thread, one for each part.
void read_part(FilePart& part, Lsn start, Clock& clock);

}  // namespace walvault
