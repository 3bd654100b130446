// What damage costs: which backups cannot be restored, which moments not be recovered.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/recovery/recovery_window.h"
#include "repository/tree_check.h"

namespace walvault {

enum class DamageKind { missing, damaged, unreadable };
[[nodiscard]] std::string_view damage_name(DamageKind kind);

// A page whose checksum, PostgreSQL's own, is wrong. It is as the server sent it.
struct WrongPage {
  std::string path;
  std::uint32_t block = 0;  // of the relation
};

// Lists of it end here, and its counts go on.
inline constexpr std::size_t damage_list_max = 1000;

struct BackupDamage {
  std::string cluster = {};
  std::string id = {};
  bool whole = false;           // nothing of it can be read
  bool wal_incomplete = false;  // WAL from its start to its stop is missing or damaged
  // Parts of its files.
  std::vector<LostContent> lost = {};
  std::uint64_t lost_count = 0;
  std::uint64_t lost_bytes = 0;
  std::uint32_t block_bytes = 8192;
  std::vector<WrongPage> wrong_pages = {};
  std::uint64_t wrong_page_count = 0;

  [[nodiscard]] bool is_restorable() const { return !whole && !wal_incomplete && lost_count == 0; }

  void add_lost(LostContent content);
  // Parts of one file that touch become one; no more than damage_list_max are left.
  void join_lost();
};

// The place of a segment or .partial, by the key that it is stored under.
struct SegmentPlace {
  std::string branch_prefix;  // of all keys of its timeline's branch
  TimelineBranch branch;
  std::uint64_t number = 0;
  bool partial = false;
};
// nullopt for any other file.
[[nodiscard]] std::optional<SegmentPlace> segment_place(const WalArchive& archive,
                                                        std::string_view key);

// What can be recovered of one identity: as it seemed, and with what was found.
struct VerifiedWindows {
  ClusterIdentity identity;
  std::vector<RecoveryWindow> before = {};
  std::vector<RecoveryWindow> after = {};
  std::vector<WalGap> gaps = {};                // not accepted, on the way from a backup
  std::vector<std::string> missing_files = {};  // keys of history files
  std::string untold = {};                      // why neither can be told; empty as a rule
};

// `backups` are all of the cluster, `subjects` those that matter; with `alone`, one,
// and no more WAL than it needs itself. `segments` are those found damaged, by their
// keys. Adds to `damages`, which are of any cluster, that WAL of a subject is
// incomplete. Error{corrupt, conflict} where something that is needed to tell is damaged.
[[nodiscard]] VerifiedWindows judge_windows(const Repository& repository,
                                            const ClusterIdentity& identity,
                                            const std::vector<BackupInfo>& backups,
                                            const std::vector<BackupInfo>& subjects, bool alone,
                                            const std::map<std::string, DamageKind>& segments,
                                            std::vector<BackupDamage>& damages);

// The damage of a backup in a list; a new entry when there is none.
[[nodiscard]] BackupDamage& damage_in(std::vector<BackupDamage>& damages, const BackupInfo& backup);

}  // namespace walvault
