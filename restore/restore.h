// Writes a backup out as a data directory that recovers to a target.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/reporter.h"
#include "catalog/recovery/recovery_plan.h"
#include "catalog/wal/wal_archive.h"
#include "datadir/held_directory.h"
#include "postgres/backup_label.h"
#include "restore/recovery_settings.h"

namespace walvault {

struct TablespaceMapping {
  std::string from;
  std::string to;
};

struct RestoreRequest {
  std::string data_directory;  // absolute
  std::vector<TablespaceMapping> mappings;
  RecoverySettings settings;
  // Whose what is made is to be; nullopt: this user's.
  std::optional<FileOwner> owner = {};
  unsigned jobs = 2;
  // What stands in the data directory goes: all of it, or (`delta`) what the backup does
  // not have; chunks of files that are as they should be are not written.
  bool replace = false;
  bool delta = false;
  // Made by replay, at these places of the original's.
  std::vector<TablespaceCreation> created_tablespaces = {};
  // And in the tablespaces, and the pg_wal, that it links to. A copy of a data directory
  // links to those of the original.
  bool replace_tablespaces = false;
};

struct RestoreResult {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t kept_bytes = 0;  // of those, in chunks that were there already
  std::vector<RaisedSetting> raised;
};

// Whether a restore with `delta` into this directory was begun and not ended, for a
// cluster of one of these system identifiers: then it may be begun again.
[[nodiscard]] bool is_unfinished_delta(const std::string& data_directory,
                                       const std::vector<std::uint64_t>& system_identifiers);

// Where each tablespace of a backup will lie. Error{usage} for a mapping of a
// tablespace that the backup does not have, {conflict} for a directory that
// is not empty and is not to be replaced, for the data directory too;
// {unavailable} when there is too little room. {conflict} where replay would make a
// tablespace in a directory that holds something. Writes nothing.
[[nodiscard]] std::vector<Tablespace> check_destination(const WalArchive& archive,
                                                        const RecoveryPlan& plan,
                                                        const RestoreRequest& request);

// Restores. When it returns, the directory is whole, durable and ready to be
// started; when it throws, the directory has no pg_control, so that no server
// starts in it. Error{corrupt} names the file and offset of a damaged chunk.
//
// With `delta` first a mark that it is under way, then the old pg_control goes, both
// durably. `held`: that of the data directory. The order: directories, files in parallel,
// backup_label, the manifest, the recovery settings and recovery.signal, a sync of all; then
// pg_control, and a sync of that.
RestoreResult restore_backup(const WalArchive& archive, const RecoveryPlan& plan,
                             const RestoreRequest& request, const HeldDirectory& held,
                             const Reporter& reporter, const Meter& meter);

}  // namespace walvault
