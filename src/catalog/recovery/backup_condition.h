// Whether a backup can be restored whole, as far as can be told without reading what it
// stored: the one judgement that expire, info, check and restore share.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "catalog/records/backup_info.h"
#include "catalog/records/verified.h"
#include "repository/pack.h"

namespace walvault {

struct BackupFault {
  std::string why;  // in words; empty: nothing is known
  // Something is not there, or not what it was, at this moment. What somebody found damaged
  // before may be right by now, or its reader was wrong.
  bool is_lost = false;

  [[nodiscard]] bool empty() const { return why.empty(); }
};
using BackupFaults = std::map<std::string, BackupFault>;  // by id

// Looks at each thing once, when it is first asked for: one look at a moment. Not
// thread-safe.
class BackupConditions {
 public:
  enum class Look {
    // All packs are listed at once, and what was found damaged before is taken for damaged.
    at_records,
    // For who restores one: only packs of the writers that a backup needs are listed, those
    // that are marked are read, and of WAL nothing is believed, because a restore reads it; but
    // whether that is
    // still its server's.
    at_what_is_there,
  };

  // `repository` must outlive this.
  BackupConditions(const Repository& repository, Look look)
      : repository_(repository), look_(look) {}

  // Why a backup cannot be restored whole: its root cannot be read, packs that it needs are
  // missing or marked as damaged, its own WAL was found damaged, data was skipped when it was
  // taken. Empty: nothing of that is known. Whether its WAL is there and one chain, windows tell.
  [[nodiscard]] BackupFault fault_of(const BackupInfo& backup);

  // Those of which something of that is known, and what.
  [[nodiscard]] BackupFaults faults_of(const std::vector<BackupInfo>& backups);

 private:
  enum class PackNow { right, wrong, unknown };
  [[nodiscard]] PackNow look_at(const PackName& pack);
  [[nodiscard]] const VerifiedRecord& verified();
  [[nodiscard]] std::optional<std::uint64_t> size_of(const PackName& pack);
  void list_packs(const std::string& prefix);
  [[nodiscard]] BackupFault fault_of_packs(const BackupInfo& backup);
  [[nodiscard]] BackupFault fault_of_wal(const BackupInfo& backup);
  [[nodiscard]] BackupFault fault_of_own_checkpoint(const BackupInfo& backup) const;

  const Repository& repository_;
  const Look look_;
  std::set<std::string> listed_;  // prefixes
  std::map<PackName, std::uint64_t> packs_;
  std::map<PackName, PackNow> read_packs_;
  std::optional<std::set<PackName>> damaged_packs_;
  std::optional<VerifiedRecord> verified_;
};

// Without those that have a fault.
[[nodiscard]] std::vector<BackupInfo> without(std::vector<BackupInfo> backups,
                                              const BackupFaults& faults);

}  // namespace walvault
