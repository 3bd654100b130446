// Small files on this machine that remember what a far-away store said. All of them are
// derived and may go at any time; several processes use one directory at once, each user
// a part of it that nobody else can write to.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"

namespace walvault {

// Thread-safe. Nothing here throws for what is the matter with the directory: then
// nothing is remembered.
class LocalCache {
 public:
  // For what one place said, in DIRECTORY/USER/PLACE, which are made when something is kept.
  // It holds about `bytes_max` at most: the least used goes. An empty directory: nothing is
  // remembered. `clock` must outlive this.
  LocalCache(const std::string& directory, std::string_view place, std::uint64_t bytes_max,
             Clock& clock);

  // What was kept under that name, and is whole.
  [[nodiscard]] std::optional<Bytes> find(std::string_view name) const;
  // Only what was kept within this time before now.
  [[nodiscard]] std::optional<Bytes> find_recent(std::string_view name,
                                                 std::chrono::seconds within) const;
  void keep(std::string_view name, ByteView content) const;

  // Where it lies.
  [[nodiscard]] std::string path() const;

 private:
  [[nodiscard]] std::optional<FileDescriptor> open(bool makes) const;
  struct Found {
    Bytes content;
    std::int64_t modified = 0;  // seconds since 1970
  };
  [[nodiscard]] std::optional<Found> read(std::string_view name, bool notes_use) const;
  void trim(const FileDescriptor& directory) const;

  std::string directory_;
  std::string user_;
  std::string place_;
  std::uint64_t bytes_max_;
  Clock* clock_;
};

}  // namespace walvault
