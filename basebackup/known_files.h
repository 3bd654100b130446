// Files that need not be read again: those whose device, inode, size, mtime and ctime
// are what they were when the parent backup read them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "datadir/live_directory.h"
#include "repository/tree_reader.h"

namespace walvault {

// What the stream `attributes` of a root has of each file that may be recognized. Of a file's
// path and attributes: the first bytes of their SHA-256, so that two
// different ones are never the same.
using Fingerprint = std::array<std::uint8_t, 16>;
[[nodiscard]] Fingerprint fingerprint_of(const std::string& path, const FileAttributes& attributes);

// Whether a file with these attributes, asked for after a backup began and before the
// file was read, would show other ones had it been written to since. What was written
// before the backup began is in the file whole: its checkpoint waits for writes under
// way. What is written later gets another time, unless the file system's clock is too
// coarse. `backup_began`: before the server was asked to begin.
[[nodiscard]] bool would_show_writes(const FileAttributes& attributes, Timestamp backup_began);

class KnownFiles {
 public:
  KnownFiles() = default;
  // Those of a backup; none where it has no such stream. Error{corrupt} when it is
  // damaged. Memory: 16 bytes a file.
  KnownFiles(const Repository& repository, const Root& root);

  [[nodiscard]] bool contains(const Fingerprint& fingerprint) const;
  [[nodiscard]] bool empty() const { return fingerprints_.empty(); }

 private:
  std::vector<Fingerprint> fingerprints_;  // ascending
};

}  // namespace walvault
