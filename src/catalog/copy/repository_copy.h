// Brings what a repository holds of its clusters to another one, off-site perhaps:
// registrations, backups, WAL and the decisions about them. Everything keeps its name, so
// what is there already is not brought again, and a copy that was broken off goes on
// where it was. Nothing is written at the source, and nothing deleted there: what the
// destination keeps for how long is its own affair.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/reporter.h"
#include "catalog/copy/wal_copier.h"
#include "repository/tree_copier.h"

namespace walvault {

struct CopyRequest {
  std::optional<std::string> cluster = {};  // nullopt: all that are registered
  // These alone, by id, with the WAL that they need themselves; empty: all.
  std::vector<std::string> backups = {};
  // This one, those behind it, and all WAL from its start on.
  std::optional<std::string> from = {};
  RandomId run{};     // random, of this run
  unsigned jobs = 2;  // objects on their way at once
  std::uint64_t bytes_per_second = 0;
  bool dry_run = false;
};

enum class BackupCopyState {
  copied,   // or would be
  there,    // before
  deleted,  // at the destination, before or meanwhile: it stays so
  closed,   // its place there was closed, and nothing can be put there any more
  gone,     // from the source, while it was copied
  failed,   // damaged, or without its WAL
};
[[nodiscard]] std::string_view copy_state_name(BackupCopyState state);

struct CopiedBackup {
  std::string id;
  BackupCopyState state = BackupCopyState::copied;
  TreeCopied packs;
  std::string why;  // of what failed or was closed
};

struct CopiedCluster {
  std::string name;
  std::string failure;                // why nothing or not all of it was copied; empty: it was
  std::vector<CopiedBackup> backups;  // oldest first
  WalCopied wal;
};

struct CopyReport {
  std::vector<CopiedCluster> clusters;

  // Everything that was asked for is there, but for what was deleted on purpose.
  [[nodiscard]] bool is_whole() const;
};

// Error{not_found} for a cluster or backup that is not there, {unavailable} where one side
// cannot be reached. What of the source is damaged is reported, and so is a cluster whose
// name means something else at the destination; the rest is copied. Of one cluster alone
// that is an Error{conflict}.
[[nodiscard]] CopyReport copy_repository(const Repository& from, const Repository& to, Clock& clock,
                                         const CopyRequest& request, const Reporter& reporter,
                                         const Meter& meter = {});

}  // namespace walvault
