#include "catalog/copy/repository_copy.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "base/rate_limit.h"
#include "catalog/copy/copied_gaps.h"
#include "catalog/copy/copied_records.h"
#include "catalog/copy/copy_choice.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/left_timeline.h"
#include "catalog/wal/wal_expiry.h"

namespace walvault {
namespace {

constexpr std::uint64_t all_numbers = std::numeric_limits<std::uint64_t>::max();

// Of large segments fewer are in memory at once.
constexpr std::uint64_t segments_bytes_max = 256u << 20;

// So many backups are held at the destination before they are copied.
constexpr std::size_t backups_at_once = 8;

// What one branch's WAL is brought from.
struct Stretch {
  TimelineBranch branch;
  std::uint64_t first = 0;
  std::uint64_t behind = 0;  // of the segment that follows the last
};

Stretch stretch_of(const BackupInfo& backup, WalGeometry geometry) {
  return {.branch = backup.timeline_branch(),
          .first = geometry.number_of(backup.start),
          .behind = geometry.number_before(backup.stop) + 1};
}

class ClusterCopier {
 public:
  ClusterCopier(const Repository& from, const Repository& to, Clock& clock,
                const CopyRequest& request, const Reporter& reporter, const Meter& meter,
                RateLimit& limit, std::string name)
      : from_(from), to_(to), clock_(clock), request_(request), reporter_(reporter) {
    reading_ = [&limit, &reporter, &meter](std::uint64_t bytes) {
      reporter.check_cancelled();
      limit.take(bytes, reporter.check_cancelled);
      meter.done(bytes);
    };
    cluster_.name = std::move(name);
  }

  CopiedCluster run() {
    copy_registrations(from_, to_, cluster_.name, request_.dry_run);
    identities_ = cluster_identities(from_, cluster_.name);
    for (const auto& identity : identities_) {
      copy_branch_openings(from_, to_, identity, request_.dry_run);
    }
    chosen_ = choose_backups(from_, request_, cluster_.name, cluster_.backups);
    for (const auto& identity : identities_) {
      copiers_.try_emplace(identity.number, WalArchive(from_, identity), WalArchive(to_, identity),
                           wal_options(identity), reading_);
      copiers_.at(identity.number).bring_histories();
    }
    copy_backups();
    if (request_.backups.empty()) {
      for (const auto& identity : identities_) copy_wal(identity);
    }
    if (!request_.dry_run) {
      for (const auto& identity : identities_) copy_records(identity);
    }
    for (const auto& [number, copier] : copiers_) add(copier.copied());
    return std::move(cluster_);
  }

 private:
  [[nodiscard]] WalCopyOptions wal_options(const ClusterIdentity& identity) const {
    const auto most =
        std::max<std::uint64_t>(1, segments_bytes_max / identity.geometry.segment_bytes);
    return {.jobs = static_cast<unsigned>(std::min<std::uint64_t>(request_.jobs, most)),
            .dry_run = request_.dry_run};
  }

  // The results of the chosen ones stand behind those of the damaged.
  [[nodiscard]] CopiedBackup& result_of(std::size_t chosen) {
    return cluster_.backups[cluster_.backups.size() - chosen_.size() + chosen];
  }

  void fail(CopiedBackup& result, std::string why) {
    reporter_.warn("backup " + result.id + " of " + cluster_.name + " is not copied: " + why);
    result.state = BackupCopyState::failed;
    result.why = std::move(why);
  }

  // What is the matter with this backup alone stops no other.
  template <typename Action>
  void unless_damaged(CopiedBackup& result, const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
      fail(result, one_line(error));
    }
  }

  void copy_backups() {
    has_others_ = find_states(to_, cluster_.name, chosen_, cluster_.backups);
    if (!request_.dry_run && from_.has(Feature::delta_frames)) {
      to_.announce(Feature::delta_frames);
    }
    TreeCopier trees(from_, to_, clock_, request_.run, {.jobs = request_.jobs}, reporter_,
                     {.done = reading_});
    if (!request_.dry_run) trees.close_lost();
    keeps_ = list_backup_keeps(from_, cluster_.name);
    keeps_there_ = list_backup_keeps(to_, cluster_.name);
    std::vector<std::string> relied_on;
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      if (result_of(i).state != BackupCopyState::there) continue;
      bring_keep(chosen_[i].id);
      relied_on.push_back(backup_root_key(cluster_.name, chosen_[i].id));
    }
    if (!request_.dry_run) to_.storage().settle(relied_on);
    std::vector<std::size_t> batch;
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      if (result_of(i).state == BackupCopyState::copied) batch.push_back(i);
      if (batch.size() < backups_at_once && i + 1 < chosen_.size()) continue;
      copy_batch(trees, batch);
      batch.clear();
    }
  }

  // All are held there before it is looked what there is: one look for several.
  void copy_batch(TreeCopier& trees, const std::vector<std::size_t>& batch) {
    trees.forget_added();
    for (const auto i : batch) {
      auto& result = result_of(i);
      reporter_.check_cancelled();
      unless_damaged(result, [&] {
        // Before anything is held there, which would keep that expire from its end.
        if (is_expired_there(chosen_[i])) {
          fail(result,
               "an expire at the destination removes WAL that it needs, or was ended by "
               "force: walvault expire there, then copy again");
        } else if (!trees.add(backup_root_key(cluster_.name, result.id), !request_.dry_run)) {
          result.state = BackupCopyState::gone;
        }
      });
    }
    if (request_.dry_run) {
      trees.look_without_waiting();
    } else {
      try {
        trees.look();
      } catch (...) {
        // Nothing of them was brought: what is held would only keep expire there from its end.
        for (const auto i : batch) trees.give_up(backup_root_key(cluster_.name, result_of(i).id));
        throw;
      }
    }
    for (const auto i : batch) {
      auto& result = result_of(i);
      if (result.state != BackupCopyState::copied) continue;
      reporter_.check_cancelled();
      unless_damaged(result, [&] { copy_backup(trees, chosen_[i], result); });
      if (!request_.dry_run && result.state != BackupCopyState::copied) {
        trees.give_up(backup_root_key(cluster_.name, result.id));
      }
    }
  }

  void copy_backup(TreeCopier& trees, const BackupInfo& backup, CopiedBackup& result) {
    const auto key = backup_root_key(cluster_.name, backup.id);
    if (request_.dry_run) {
      result.packs = trees.pretend(key);
      // Else it is looked at with the rest.
      if (!request_.backups.empty()) (void)bring_own_wal(backup, result);
      return;
    }
    const auto packs = trees.bring_packs(key);
    if (!packs) {
      result.state = BackupCopyState::gone;
      return;
    }
    result.packs = *packs;
    // Behind the pin: of an expiry there and this, one sees the other.
    if (is_expired_there(backup)) {
      fail(result, "an expire at the destination removes WAL that it needs");
      return;
    }
    if (!bring_own_wal(backup, result)) return;
    // Before the backup, so that no expiry sees the one without the other.
    bring_keep(backup.id);
    try {
      if (!trees.commit()) {
        result.state = BackupCopyState::deleted;
        return;
      }
    } catch (const Error& error) {
      // Closed by a run that found it gone here.
      if (error.kind() != ErrorKind::conflict || from_.storage().find_size(key)) throw;
      result.state = BackupCopyState::gone;
      return;
    }
    reporter_.info("copied backup " + backup.id + " of " + cluster_.name);
  }

  // What was decided there later stands.
  void bring_keep(const std::string& id) {
    const auto keep = keeps_.find(id);
    if (keep == keeps_.end() || request_.dry_run) return;
    const auto there = keeps_there_.find(id);
    if (there != keeps_there_.end() && there->second.when >= keep->second.when) return;
    put_backup_keep(to_, cluster_.name, id, keep->second);
  }

  [[nodiscard]] const ClusterIdentity& identity_of(const BackupInfo& backup) const {
    return *std::ranges::find(identities_, backup.identity_number, &ClusterIdentity::number);
  }

  [[nodiscard]] bool is_expired_there(const BackupInfo& backup) const {
    return is_expiring(WalArchive(to_, identity_of(backup)), backup.timeline_branch(), backup.start,
                       backup.stop);
  }

  // False: what it needs is not there in whole.
  [[nodiscard]] bool bring_own_wal(const BackupInfo& backup, CopiedBackup& result) {
    const auto stretch = stretch_of(backup, identity_of(backup).geometry);
    const auto there =
        copiers_.at(backup.identity_number).bring(stretch.branch, stretch.first, stretch.behind);
    if (there == stretch.behind - stretch.first) return true;
    // Expired here meanwhile, as a whole?
    if (!from_.storage().find_size(backup_root_key(cluster_.name, backup.id))) {
      result.state = BackupCopyState::gone;
    } else {
      fail(result, "WAL that it needs, from " + backup.start.text() + " to " + backup.stop.text() +
                       ", is missing, damaged, or other at the destination");
    }
    return false;
  }

  // From the oldest backup on that the destination has: what lies before it, it has
  // expired, or never needs. All where there was never a backup.
  void copy_wal(const ClusterIdentity& identity) {
    std::uint64_t first = all_numbers;
    bool has_backups = false;
    const auto from = [&](const BackupInfo& backup, bool is_there) {
      if (backup.identity_number != identity.number) return;
      has_backups = true;
      if (is_there) first = std::min(first, identity.geometry.number_of(backup.start));
    };
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      const auto state = result_of(i).state;
      from(chosen_[i], state == BackupCopyState::copied || state == BackupCopyState::there);
    }
    if (has_others_ && !request_.from) {
      for (const auto& backup : list_backups(to_, cluster_.name).backups) from(backup, true);
    }
    if (!has_backups && !request_.from) first = 0;
    const WalArchive archive(from_, identity);
    for (const auto& branch : archive.branches()) {
      (void)copiers_.at(identity.number).bring(branch, first, all_numbers);
    }
  }

  // Gaps that were accepted, and the names of relations.
  void copy_records(const ClusterIdentity& identity) {
    copy_accepted_gaps(from_, to_, identity);
    copy_left_timelines(from_, to_, identity);
    copy_catalogues(from_, to_, identity, reporter_);
  }

  void add(const WalCopied& copied) {
    auto& all = cluster_.wal;
    all.files += copied.files;
    all.bytes += copied.bytes;
    all.there += copied.there;
    all.fault_count += copied.fault_count;
    for (const auto& fault : copied.faults) {
      if (all.faults.size() < copied_damage_max) all.faults.push_back(fault);
    }
  }

  const Repository& from_;
  const Repository& to_;
  Clock& clock_;
  const CopyRequest& request_;
  const Reporter& reporter_;
  std::function<void(std::uint64_t)> reading_;
  std::vector<ClusterIdentity> identities_;
  std::vector<BackupInfo> chosen_;  // oldest first
  std::map<std::uint32_t, WalCopier> copiers_;
  std::map<std::string, BackupKeep> keeps_;
  std::map<std::string, BackupKeep> keeps_there_;
  bool has_others_ = false;  // the destination, backups that are not chosen
  CopiedCluster cluster_;
};

}  // namespace

std::string_view copy_state_name(BackupCopyState state) {
  switch (state) {
    case BackupCopyState::copied: return "copied";
    case BackupCopyState::there: return "there";
    case BackupCopyState::deleted: return "deleted";
    case BackupCopyState::closed: return "closed";
    case BackupCopyState::gone: return "gone";
    case BackupCopyState::failed: return "failed";
  }
  throw Error(ErrorKind::internal, "a state of a copy without a name");
}

bool CopyReport::is_whole() const {
  return std::ranges::all_of(clusters, [](const CopiedCluster& cluster) {
    return cluster.failure.empty() && cluster.wal.fault_count == 0 &&
           std::ranges::none_of(cluster.backups, [](const CopiedBackup& backup) {
             return backup.state == BackupCopyState::failed ||
                    backup.state == BackupCopyState::closed;
           });
  });
}

CopyReport copy_repository(const Repository& from, const Repository& to, Clock& clock,
                           const CopyRequest& request, const Reporter& reporter,
                           const Meter& meter) {
  std::vector<std::string> names;
  if (request.cluster) {
    names.push_back(get_cluster(from, *request.cluster).name);
  } else {
    for (const auto& identity : list_clusters(from)) names.push_back(identity.name);
  }
  RateLimit limit(clock, request.bytes_per_second);
  CopyReport report;
  for (const auto& name : names) {
    try {
      report.clusters.push_back(
          ClusterCopier(from, to, clock, request, reporter, meter, limit, name).run());
    } catch (const Error& error) {
      // What is the matter with one stops no other.
      if (names.size() == 1 ||
          (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict)) {
        throw;
      }
      const auto why = one_line(error);
      std::string text("cluster ");
      text.append(name).append(" is not copied: ").append(why);
      reporter.warn(text);
      report.clusters.push_back({.name = name, .failure = why, .backups = {}, .wal = {}});
    }
  }
  return report;
}

}  // namespace walvault
