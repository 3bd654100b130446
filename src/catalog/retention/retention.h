// Which backups stay, and from which of them on all WAL does: decided from what
// is known of them, without a look at the repository.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"

namespace walvault {

// Rules that add up: what any of them keeps, stays. 0 and nullopt: no such rule.
struct RetentionPolicy {
  unsigned keep_last = 0;
  std::optional<std::chrono::milliseconds> keep_for;
  // Of as many days, weeks (from Monday), months and years, the newest backup of
  // each; by UTC. A period without a backup does not count.
  unsigned keep_daily = 0;
  unsigned keep_weekly = 0;
  unsigned keep_monthly = 0;
  unsigned keep_yearly = 0;
  // Every moment of this time stays restorable.
  std::optional<std::chrono::milliseconds> window;
  unsigned minimum_backups = 1;

  // Whether anything may go at all: without a rule all stays.
  [[nodiscard]] bool has_rule() const;
};

// A stretch of a history in which every moment can be recovered: behind a gap
// another one begins, for which another backup is needed.
struct RetentionStretch {
  std::set<std::string> backups;  // whose end lies in it, with damaged pages or without
  // When it ends; of the last one of a history, when that was last written to,
  // wherever. nullopt: that cannot be read.
  std::optional<Timestamp> last_written;
  // Its timeline was set aside or abandoned.
  bool is_over = false;
  // It went on when another one had left it: two servers did.
  bool grew_beside = false;
  // A restore as the original, which has not ended, recovers to the end of it: since when.
  std::optional<Timestamp> recovers_since = {};
};

struct RetentionInput {
  std::vector<BackupInfo> backups;  // oldest first
  // Those whose own WAL is proved, and of which the server found no page damaged.
  std::set<std::string> restorable;
  std::map<std::string, BackupKeep> keeps;
  std::vector<RetentionStretch> stretches;
  Timestamp now;
};

struct BackupVerdict {
  std::string id;
  // Why it stays; empty: it goes.
  std::vector<std::string> reasons;
  // All WAL behind its start stays too, on every history that it lies on;
  // otherwise what makes it consistent does.
  bool keeps_wal = false;

  [[nodiscard]] bool stays() const { return !reasons.empty(); }
};

// One for each backup, in their order. What counts towards a number is what can be
// restored; where nothing can, all stays. Without `window`, all WAL since the oldest backup stays
// that any rule keeps; a decision about one backup keeps what makes that one consistent.
// Error{unavailable} when the newest backup lies in the future: then the clock
// is wrong, now or when it was taken.
[[nodiscard]] std::vector<BackupVerdict> judge_backups(const RetentionPolicy& policy,
                                                       const RetentionInput& input);

}  // namespace walvault
