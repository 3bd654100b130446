// Small files on this machine that remember what a far-away store said. All of them are
// derived and may go at any time; several processes use one directory at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"

namespace walvault {

// Thread-safe. Nothing here throws for what is the matter with the directory: then
// nothing is remembered.
class LocalCache {
 public:
  // An empty directory: nothing is remembered. The directory is made, with its parent, when
  // something is kept, and holds about `bytes_max` at most: the least used goes.
  LocalCache(std::string directory, std::uint64_t bytes_max)
      : directory_(std::move(directory)), bytes_max_(bytes_max) {}

  // What was kept under that name, by this user, and is whole.
  [[nodiscard]] std::optional<Bytes> find(std::string_view name) const;
  // Only what was kept within this time before `now`.
  [[nodiscard]] std::optional<Bytes> find_recent(std::string_view name, Timestamp now,
                                                 std::chrono::seconds within) const;
  void keep(std::string_view name, ByteView content) const;

 private:
  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] std::optional<Bytes> read(const std::string& path, std::string_view name) const;
  void trim() const;

  std::string directory_;
  std::uint64_t bytes_max_;
};

}  // namespace walvault
