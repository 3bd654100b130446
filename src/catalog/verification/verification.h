// Proves that what a repository holds can be restored: that it is there, that its
// bytes are right, that they decode to what PostgreSQL wrote; and says what any damage
// costs. docs/operations.md, "Verification".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/reporter.h"
#include "catalog/records/verified.h"
#include "catalog/verification/damage_cost.h"

namespace walvault {

struct VerifyRequest {
  VerifyTier tier = VerifyTier::stored;
  std::optional<std::string> cluster = std::nullopt;  // else all of the repository
  std::optional<std::string> backup = std::nullopt;   // of that cluster, and its own WAL
  // Of packs and WAL segments, the share that is read, chosen at random: 0 to 1.
  double sample = 1;
  // Packs and WAL segments that were found right within this time are not read again.
  std::optional<std::chrono::milliseconds> max_age = std::nullopt;
  unsigned jobs = 2;
  std::uint64_t bytes_per_second = 0;  // 0: as fast as it goes
};

struct ObjectDamage {
  std::string key;
  DamageKind kind = DamageKind::damaged;
  std::string why;
};

struct VerifyReport {
  VerifyTier tier = VerifyTier::stored;
  std::uint64_t backups = 0;
  // That are needed, and of these those that were read.
  std::uint64_t packs = 0;
  std::uint64_t pack_bytes = 0;
  std::uint64_t packs_read = 0;
  std::uint64_t wal_files = 0;
  std::uint64_t wal_bytes = 0;
  std::uint64_t wal_files_read = 0;
  std::uint64_t objects_read = 0;  // others
  std::uint64_t stored_bytes_read = 0;
  std::uint64_t plain_bytes_read = 0;  // of files, deep

  std::vector<ObjectDamage> objects;  // at most damage_list_max
  std::uint64_t object_count = 0;
  std::vector<BackupDamage> damaged_backups;
  std::vector<VerifiedWindows> windows;

  [[nodiscard]] bool is_whole() const;
};

// `run` names what it writes: pins of what it reads, marks of damaged packs, and the
// record of what was verified. What cannot be written is warned of. A run that is
// ended leaves on record what it had verified.
[[nodiscard]] VerifyReport verify(const Repository& repository, Clock& clock, const RandomId& run,
                                  const VerifyRequest& request, const Reporter& reporter,
                                  const Meter& meter = {});

}  // namespace walvault
