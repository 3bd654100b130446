// Backups that are kept whatever the policy says: until a moment, or for ever.
// docs/repository-format.md, "Keeps".
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "repository/repository.h"

namespace walvault {

struct BackupKeep {
  Timestamp when;                  // it was decided
  std::optional<Timestamp> until;  // nullopt: for ever

  bool operator==(const BackupKeep&) const = default;
};

// From now on: "90d" as parse_duration reads it, or "forever". Error{usage} naming
// `what`.
[[nodiscard]] BackupKeep parse_backup_keep(std::string_view text, std::string_view what,
                                           Timestamp now);

[[nodiscard]] Bytes encode_backup_keep(const BackupKeep& keep);
[[nodiscard]] BackupKeep decode_backup_keep(ByteView payload);

// The last one that is put counts. The backup need not be there yet.
void put_backup_keep(const Repository& repository, const std::string& cluster,
                     const std::string& id, const BackupKeep& keep);

// By backup id. Error{corrupt} for a damaged one: what it protects is not guessed.
[[nodiscard]] std::map<std::string, BackupKeep> list_backup_keeps(const Repository& repository,
                                                                  const std::string& cluster);

}  // namespace walvault
