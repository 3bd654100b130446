#include "catalog/recovery/backup_condition.h"
#include "catalog/recovery/own_checkpoint.h"

#include <algorithm>

#include "base/error.h"
#include "catalog/wal/wal_archive.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"
#include "repository/tree.h"

namespace walvault {
namespace {

std::string counted(std::size_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

// When it was last read.
bool is_damaged(const VerifyTimes& times) {
  return times.damaged != Timestamp{} && times.damaged >= std::max(times.stored, times.deep);
}

}  // namespace

const VerifiedRecord& BackupConditions::verified() {
  if (!verified_) verified_ = load_verified(repository_).record;
  return *verified_;
}

void BackupConditions::list_packs(const std::string& prefix) {
  if (!listed_.insert(prefix).second) return;
  repository_.storage().list(prefix, [&](const ObjectInfo& object) {
    if (const auto name = PackName::parse(object.key)) packs_.emplace(*name, object.size);
  });
}

// Of one that was found damaged: its bytes are read. What they decode to is not, so who
// found that wrong may still be right.
BackupConditions::PackNow BackupConditions::look_at(const PackName& pack) {
  const auto [it, is_new] = read_packs_.emplace(pack, PackNow::right);
  if (!is_new) return it->second;
  const auto fault = find_pack_fault(repository_.storage(), pack, [](std::uint64_t) {});
  if (!fault || !fault->empty()) {
    it->second = PackNow::wrong;
  } else if (damaged_packs_->contains(pack) &&
             damage_of_pack(repository_, pack) == PackDamage::content) {
    it->second = PackNow::unknown;
  }
  return it->second;
}

std::optional<std::uint64_t> BackupConditions::size_of(const PackName& pack) {
  list_packs(look_ == Look::at_records
                 ? std::string(prefix_of(ObjectPlace::packs))
                 : std::string(prefix_of(ObjectPlace::packs)) + pack.writer.text() + "/");
  const auto it = packs_.find(pack);
  if (it != packs_.end()) return it->second;
  // A listing that was cut short must not cost a backup.
  return repository_.storage().find_size(pack.key());
}

BackupFault BackupConditions::fault_of_packs(const BackupInfo& backup) {
  const auto key = backup_root_key(backup.cluster, backup.id);
  const auto object = repository_.storage().find(key);
  if (!object) return {.why = "it was deleted", .is_lost = true};
  PackTable table;
  try {
    table = decode_root(repository_.codec(), *object, key).packs;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return {.why = error.message()};
  }
  if (!damaged_packs_) damaged_packs_ = list_damaged_packs(repository_);
  // A mark may not have been stored; then what was found is on record alone.
  const auto was_found_damaged = [&](const PackName& pack) {
    const auto it = verified().packs.find(pack);
    return it != verified().packs.end() && is_damaged(it->second);
  };
  std::size_t missing = 0;
  std::size_t wrong = 0;
  std::size_t marked = 0;
  for (const auto& entry : table.entries()) {
    const auto size = size_of(entry.name);
    if (!size) {
      ++missing;
    } else if (*size != entry.size) {
      ++wrong;
    } else if (damaged_packs_->contains(entry.name) || was_found_damaged(entry.name)) {
      switch (look_ == Look::at_records ? PackNow::unknown : look_at(entry.name)) {
        case PackNow::wrong: ++wrong; break;
        case PackNow::unknown: ++marked; break;
        case PackNow::right: break;
      }
    }
  }
  const auto fault = [](std::size_t packs, const std::string& what) {
    return counted(packs, "pack") + " that it needs " + (packs == 1 ? "is " : "are ") + what;
  };
  if (missing > 0) return {.why = fault(missing, "missing"), .is_lost = true};
  if (wrong > 0) return {.why = fault(wrong, "damaged"), .is_lost = true};
  if (marked > 0) return {.why = fault(marked, "marked as damaged")};
  return {};
}

BackupFault BackupConditions::fault_of_wal(const BackupInfo& backup) {
  if (look_ == Look::at_what_is_there) return fault_of_own_checkpoint(backup);
  const auto prefix =
      wal_branch_prefix(backup.cluster, backup.identity_number, backup.timeline_branch());
  const auto it = verified().segments.find(prefix);
  const WalGeometry geometry{backup.control.wal_segment_bytes};
  if (it == verified().segments.end() || geometry.segment_bytes == 0) return {};
  const auto first = geometry.number_of(backup.start);
  const auto last = geometry.number_before(backup.stop);
  for (const auto& stretch : it->second.stretches()) {
    if (stretch.behind <= first || stretch.first > last) continue;
    if (is_damaged(stretch.times)) return {.why = "WAL that it needs was found damaged"};
  }
  return {};
}

// That of a primary was looked for when the backup was taken, in whole segments, which do not
// change. One of a standby may have ended in a part, in place of which a whole one came since.
BackupFault BackupConditions::fault_of_own_checkpoint(const BackupInfo& backup) const {
  if (!backup.from_standby) return {};
  const WalArchive archive(
      repository_, get_cluster_identity(repository_, backup.cluster, backup.identity_number));
  const auto found = look_for_own_checkpoint(archive.with({backup.timeline_branch()}), backup);
  if (found != OwnCheckpoint::not_held) return {};
  return {.why = "the archived WAL is not that of its server", .is_lost = true};
}

BackupFault BackupConditions::fault_of(const BackupInfo& backup) {
  auto fault = fault_of_packs(backup);
  if (fault.empty()) fault = fault_of_wal(backup);
  if (fault.empty() && !backup.skipped_files.empty()) {
    fault.why = "\"" + backup.skipped_files.front() + "\"" +
                (backup.skipped_files.size() > 1 ? " and more" : "") +
                ", which is a link and no file, is not in it";
  }
  return fault;
}

BackupFaults BackupConditions::faults_of(const std::vector<BackupInfo>& backups) {
  BackupFaults faults;
  for (const auto& backup : backups) {
    auto fault = fault_of(backup);
    if (!fault.empty()) faults.emplace(backup.id, std::move(fault));
  }
  return faults;
}

std::vector<BackupInfo> without(std::vector<BackupInfo> backups, const BackupFaults& faults) {
  std::erase_if(backups, [&](const BackupInfo& backup) { return faults.contains(backup.id); });
  return backups;
}

}  // namespace walvault
