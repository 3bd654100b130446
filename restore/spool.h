// Segments that recovery will ask for next, fetched while it replays: beside the
// data directory, a bounded number of them, by a process that outlives the one
// that PostgreSQL waits for.
#pragma once

#include <optional>
#include <string>

#include "base/file.h"
#include "catalog/wal_archive.h"

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

  // Fetches up to `count` segments behind `delivered`, those that are archived and
  // not there yet, with `threads` at work and at most half of the room that is free;
  // removes whatever else is there. Where
  // another process does it already, that one goes on to here. Every file is
  // checked before it gets its name, and its name holds its checksum.
  void fill(const WalArchive& archive, const SegmentName& delivered, unsigned count,
            unsigned threads) const;

  // The same in a process of its own; this one goes on at once.
  void fill_in_background(const WalArchive& archive, const SegmentName& delivered, unsigned count,
                          unsigned threads) const;

  // Removes it all; a process that fills it stops.
  void remove() const;

  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  void write_position(const FileDescriptor& lock, const SegmentName& delivered) const;
  [[nodiscard]] SegmentName read_position(const FileDescriptor& lock) const;
  void fetch_behind(const WalArchive& archive, const SegmentName& delivered, unsigned count,
                    unsigned threads) const;
  [[nodiscard]] std::optional<std::string> find(const std::string& id) const;

  std::string directory_;
};

}  // namespace walvault
