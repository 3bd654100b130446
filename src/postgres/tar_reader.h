// The tar stream of a base backup (src/common/tar.c writes it: POSIX ustar,
// sizes beyond 8 GiB in base 256), parsed as it arrives.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"

namespace walvault {

enum class TarEntryKind { file, directory, symlink };

struct TarEntry {
  TarEntryKind kind = TarEntryKind::file;
  std::string path;         // relative, without "./" and without a last '/'
  std::string link_target;  // of a symlink
  std::uint32_t mode = 0;   // permission bits
  std::uint64_t size = 0;   // bytes; 0 unless a file
  std::int64_t mtime = 0;   // seconds since 1970
};

// Feed it the stream in pieces of any size; it calls back for each entry, for
// the pieces of its content, and at the content's end. Holds at most one
// 512-byte header. A stream may end with or without the two zero blocks.
//
// Error{corrupt} for a wrong checksum, an entry type that PostgreSQL does not
// send, an absolute path or one with "..", and a stream cut short.
class TarReader {
 public:
  struct Events {
    std::function<void(const TarEntry&)> begin;
    std::function<void(ByteView)> data;
    std::function<void()> end;
  };

  explicit TarReader(Events events) : events_(std::move(events)) {}

  void feed(ByteView bytes);

  // Says that the stream has ended.
  void finish();

 private:
  void take_header();

  static constexpr std::size_t block_bytes = 512;

  Events events_;
  std::array<std::uint8_t, block_bytes> header_{};
  std::size_t header_filled_ = 0;
  std::uint64_t content_left_ = 0;
  std::size_t padding_left_ = 0;
  bool in_entry_ = false;
  bool ended_ = false;  // a zero block was seen: only zeros may follow
};

}  // namespace walvault
