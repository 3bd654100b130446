// Writes the backup_manifest of a backup that no server sent, in the form that a
// server of that major writes (backup/backup_manifest.c): pg_verifybackup and
// pg_combinebackup read it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "codec/sha256.h"
#include "postgres/lsn.h"

namespace walvault {

// Not thread-safe.
class ManifestWriter {
 public:
  ManifestWriter(int major, std::uint64_t system_identifier, std::function<void(ByteView)> out);

  // `modified` in seconds since 1970; `crc` is the CRC-32C of the content.
  void add(const std::string& path, std::uint64_t size, std::int64_t modified, std::uint32_t crc);

  // What replay needs of one timeline, and the end.
  void finish(TimelineId timeline, Lsn start, Lsn end);

 private:
  void write(const std::string& text);

  std::function<void(ByteView)> out_;
  Sha256 digest_;
  bool is_first_ = true;
};

}  // namespace walvault
