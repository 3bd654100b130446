// The options of walvault restore, and what they mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "catalog/recovery/recovery_plan.h"
#include "restore/restore.h"

namespace walvault {

struct RestoreOptions {
  std::string pgdata;
  std::optional<std::string> to;
  std::optional<std::string> to_lsn;
  std::optional<std::string> to_xid;
  std::optional<std::string> to_name;
  bool to_immediate = false;
  bool exclusive = false;
  std::optional<std::string> backup;
  std::string timeline = "latest";
  std::vector<std::string> tablespaces;
  std::optional<std::string> action;
  std::optional<std::string> role;  // --as
  std::optional<std::string> archiving;
  std::optional<std::string> jobs;
  std::optional<std::string> pg;
  bool dry_run = false;
  bool standby = false;
  bool force = false;
  bool delta = false;
  bool discard_wal = false;
  bool yes = false;
};

// Error{usage} for options that contradict each other or say nothing. The
// functions below expect them to agree.
void check_agreement(const RestoreOptions& options);

// All: Error{usage} for a value that is not understood.
[[nodiscard]] RecoveryTarget target_of(const RestoreOptions& options);
[[nodiscard]] std::string action_of(const RestoreOptions& options, const RecoveryTarget& target);
[[nodiscard]] std::vector<TablespaceMapping> mappings_of(const RestoreOptions& options);

}  // namespace walvault
