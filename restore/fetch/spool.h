// Segments that recovery will ask for next, fetched while it replays: beside the
// data directory, a bounded number of them, by a process that outlives the one
// that PostgreSQL waits for.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/file.h"
#include "catalog/wal/wal_archive.h"

namespace walvault {

class Spool {
 public:
  // None of these throws for what is the matter with the spool: recovery goes on
  // without one. What is the matter with the repository, `fill` tells.

  // The spool of the server that runs in the current directory and wants files at
  // `destination`; nullopt: that is no data directory, or it lies on another file
  // system than what is beside it.
  [[nodiscard]] static std::optional<Spool> of_current_directory(const std::string& destination);

  explicit Spool(std::string directory) : directory_(std::move(directory)) {}

  // Moves the segment stored under `key` to its destination. False: it is not
  // there, or was damaged and is gone.
  [[nodiscard]] bool deliver(const WalArchive& archive, const std::string& key,
                             const std::string& destination) const;

  // How many of the `count` segments behind `delivered` are there.
  [[nodiscard]] unsigned ready_behind(const WalArchive& archive, const SegmentName& delivered,
                                      unsigned count) const;

  // Fetches up to `count` segments behind `delivered`, those that are archived and
  // not there yet, with `threads` at work and at most half of the room that is free;
  // removes whatever else is there. Where
  // another process does it already, that one goes on to here, and the archive is not
  // asked for. Every file is checked before it gets its name, and its name holds its
  // checksum.
  using ArchiveSource = std::function<const WalArchive&()>;
  void fill(const ArchiveSource& archive, const SegmentName& delivered, unsigned count,
            unsigned threads) const;
  void fill(const WalArchive& archive, const SegmentName& delivered, unsigned count,
            unsigned threads) const {
    fill([&]() -> const WalArchive& { return archive; }, delivered, count, threads);
  }

  // The same in a process of its own, which ends by itself, and with 0 whatever happens;
  // this one goes on at once.
  void fill_in_background(const ArchiveSource& archive, const SegmentName& delivered,
                          unsigned count, unsigned threads) const;

  // Removes it all; a process that fills it stops.
  void remove() const;

  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  // The directory, while it is this user's own and no link: what others can put there is neither
  // delivered nor deleted. `makes`: it is made where it is missing. What is held goes on to be that
  // directory, whatever gets its name.
  [[nodiscard]] std::optional<FileDescriptor> hold(bool makes = false) const;
  static void fetch_behind(const FileDescriptor& directory, const WalArchive& archive,
                           const SegmentName& delivered, unsigned count, unsigned threads,
                           const std::function<bool()>& goes_on);

  std::string directory_;
};

}  // namespace walvault
