#include "catalog/repository_copy.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "base/rate_limit.h"
#include "catalog/accepted_gap.h"
#include "catalog/backup_info.h"
#include "catalog/backup_keep.h"
#include "catalog/wal_expiry.h"

namespace walvault {
namespace {

constexpr std::uint64_t all_numbers = std::numeric_limits<std::uint64_t>::max();

// Of large segments fewer are in memory at once.
constexpr std::uint64_t segments_bytes_max = 256u << 20;

constexpr std::chrono::seconds expiry_wait_max{60};
constexpr std::chrono::milliseconds nap{500};

// A root has at least a head; what is shorter may be a tombstone.
constexpr std::uint64_t tombstone_bytes_max = 256;

// What one branch's WAL is brought from.
struct Stretch {
  TimelineBranch branch;
  std::uint64_t first = 0;
  std::uint64_t behind = 0;  // of the segment that follows the last
};

Stretch stretch_of(const BackupInfo& backup, std::uint32_t segment_bytes) {
  return {.branch = {.timeline = backup.timeline, .branch = backup.branch},
          .first = backup.start.value / segment_bytes,
          .behind = (backup.stop.value - 1) / segment_bytes + 1};
}

class ClusterCopier {
 public:
  ClusterCopier(const Repository& from, const Repository& to, Clock& clock,
                const CopyRequest& request, const CopyListener& listener, RateLimit& limit,
                std::string name)
      : from_(from), to_(to), clock_(clock), request_(request), listener_(listener) {
    reading_ = [&limit, &listener](std::uint64_t bytes) {
      listener.check_cancelled();
      limit.take(bytes, listener.check_cancelled);
      listener.read(bytes);
    };
    cluster_.name = std::move(name);
  }

  CopiedCluster run() {
    copy_registrations(from_, to_, cluster_.name, request_.dry_run);
    identities_ = cluster_identities(from_, cluster_.name);
    choose_backups();
    for (const auto& identity : identities_) copy_branches(identity);
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
    const auto most = std::max<std::uint64_t>(1, segments_bytes_max / identity.segment_bytes);
    return {.jobs = static_cast<unsigned>(std::min<std::uint64_t>(request_.jobs, most)),
            .dry_run = request_.dry_run};
  }

  void choose_backups() {
    auto list = list_backups(from_, cluster_.name);
    if (!request_.backups.empty()) {
      for (const auto& id : request_.backups) chosen_.push_back(get_backup(list.backups, id));
      std::ranges::sort(chosen_, {},
                        [](const BackupInfo& info) { return std::pair(info.start_time, info.id); });
      const auto same = std::ranges::unique(chosen_, {}, &BackupInfo::id);
      chosen_.erase(same.begin(), same.end());
      return;
    }
    chosen_ = std::move(list.backups);
    if (request_.from) {
      (void)get_backup(chosen_, *request_.from);
      const auto first = std::ranges::find(chosen_, *request_.from, &BackupInfo::id);
      chosen_.erase(chosen_.begin(), first);
    }
    for (const auto& key : list.damaged) {
      cluster_.backups.push_back({.id = key,
                                  .state = BackupCopyState::failed,
                                  .packs = {},
                                  .why = "its root is damaged, or of a newer version"});
    }
  }

  void copy_branches(const ClusterIdentity& identity) {
    const auto there = list_branch_openings(to_, identity);
    for (const auto& opening : list_branch_openings(from_, identity)) {
      const auto same = std::ranges::find(there, opening.opened, &BranchOpening::opened);
      if (same == there.end()) {
        if (!request_.dry_run) (void)put_branch_opening(to_, identity, opening);
        continue;
      }
      if (same->descendants == opening.descendants) continue;
      throw Error(ErrorKind::conflict,
                  "timeline " + std::to_string(opening.opened.timeline.value) + " of cluster " +
                      cluster_.name + " was set aside in another way at " + to_.storage().url(),
                  "Its branch " + opening.opened.text() + " took another one's place there.",
                  "Copy to another place.");
    }
  }

  // What there is at the destination of the chosen ones.
  void find_states() {
    const auto prefix = "backups/" + cluster_.name + "/";
    std::map<std::string, std::uint64_t> there;
    to_.storage().list(prefix,
                       [&](const ObjectInfo& object) { there.emplace(object.key, object.size); });
    const auto deleted = deleted_backups(to_, cluster_.name);
    for (const auto& backup : chosen_) {
      CopiedBackup result{.id = backup.id, .state = {}, .packs = {}, .why = {}};
      const auto key = backup_root_key(cluster_.name, backup.id);
      const auto found = there.find(key);
      if (deleted.contains(backup.id)) {
        result.state = BackupCopyState::deleted;
      } else if (found != there.end()) {
        const auto content =
            found->second <= tombstone_bytes_max ? to_.storage().find(key) : std::nullopt;
        const bool is_closed = content && is_of_kind(*content, ObjectKind::tombstone);
        result.state = is_closed ? BackupCopyState::closed : BackupCopyState::there;
        if (is_closed) result.why = "an earlier copy of it was given up there";
      }
      cluster_.backups.push_back(std::move(result));
    }
  }

  // The results of the chosen ones stand behind those of the damaged.
  [[nodiscard]] CopiedBackup& result_of(std::size_t chosen) {
    return cluster_.backups[cluster_.backups.size() - chosen_.size() + chosen];
  }

  void fail(CopiedBackup& result, std::string why) {
    listener_.warn("backup " + result.id + " of " + cluster_.name + " is not copied: " + why);
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
      fail(result, error.message() + ": " + error.detail());
    }
  }

  void copy_backups() {
    find_states();
    if (!request_.dry_run && from_.has(Feature::delta_frames)) {
      to_.announce(Feature::delta_frames);
    }
    TreeCopier trees(
        from_, to_, clock_, {.jobs = request_.jobs},
        {.reading = reading_, .check_cancelled = listener_.check_cancelled, .waiting = [this] {
           listener_.info("a gc works at " + to_.storage().url() + ": waiting until it is done");
         }});
    if (!request_.dry_run) {
      trees.close_lost([this](const std::string& root_key) {
        return from_.storage().find_size(root_key).has_value();
      });
    }
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      auto& result = result_of(i);
      if (result.state != BackupCopyState::copied) continue;
      listener_.check_cancelled();
      unless_damaged(result, [&] {
        const auto key = backup_root_key(cluster_.name, result.id);
        if (!trees.add(key, !request_.dry_run)) result.state = BackupCopyState::gone;
      });
    }
    trees.look();
    keeps_ = list_backup_keeps(from_, cluster_.name);
    keeps_there_ = list_backup_keeps(to_, cluster_.name);
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      auto& result = result_of(i);
      if (result.state != BackupCopyState::copied) continue;
      listener_.check_cancelled();
      unless_damaged(result, [&] { copy_backup(trees, chosen_[i], result); });
    }
    trees.prove();
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
    wait_for_expiry(backup);
    if (!bring_own_wal(backup, result)) return;
    // Before the backup, so that no expiry sees the one without the other.
    const auto keep = keeps_.find(backup.id);
    if (keep != keeps_.end() && !keeps_there_.contains(backup.id)) {
      put_backup_keep(to_, cluster_.name, backup.id, keep->second);
    }
    trees.commit();
    listener_.info("copied backup " + backup.id + " of " + cluster_.name);
  }

  void wait_for_expiry(const BackupInfo& backup) {
    const WalArchive archive(
        to_, *std::ranges::find(identities_, backup.identity_number, &ClusterIdentity::number));
    const auto enough = clock_.now() + expiry_wait_max;
    while (is_expiring(archive, {.timeline = backup.timeline, .branch = backup.branch},
                       backup.start, backup.stop)) {
      listener_.check_cancelled();
      if (clock_.now() > enough) {
        throw Error(ErrorKind::unavailable,
                    "an expire at " + to_.storage().url() + " removes WAL of backup " + backup.id,
                    "It was waited for, and did not come to an end.",
                    "Let it end, or run walvault expire there again, and then copy again.")
            .transient();
      }
      clock_.sleep_for(nap);
    }
  }

  // False: what it needs is not there in whole.
  [[nodiscard]] bool bring_own_wal(const BackupInfo& backup, CopiedBackup& result) {
    auto& copier = copiers_.at(backup.identity_number);
    const auto segment_bytes = copier_identity(backup).segment_bytes;
    const auto stretch = stretch_of(backup, segment_bytes);
    const auto there = copier.bring(stretch.branch, stretch.first, stretch.behind);
    if (there == stretch.behind - stretch.first) return true;
    fail(result, "WAL that it needs, from " + backup.start.text() + " to " + backup.stop.text() +
                     ", is missing or damaged");
    return false;
  }

  [[nodiscard]] const ClusterIdentity& copier_identity(const BackupInfo& backup) const {
    return *std::ranges::find(identities_, backup.identity_number, &ClusterIdentity::number);
  }

  // From the oldest backup on that the destination has: what lies before it, it has
  // expired, or never needs. All where it has none.
  void copy_wal(const ClusterIdentity& identity) {
    std::uint64_t first = all_numbers;
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      const auto state = result_of(i).state;
      if (chosen_[i].identity_number != identity.number ||
          (state != BackupCopyState::copied && state != BackupCopyState::there)) {
        continue;
      }
      first = std::min(first, chosen_[i].start.value / identity.segment_bytes);
    }
    if (first == all_numbers) first = 0;
    const WalArchive archive(from_, identity);
    for (const auto& branch : archive.branches()) {
      (void)copiers_.at(identity.number).bring(branch, first, all_numbers);
    }
  }

  // Gaps that were accepted, and the names of relations.
  void copy_records(const ClusterIdentity& identity) {
    const auto there = list_accepted_gaps(to_, identity);
    for (const auto& gap : list_accepted_gaps(from_, identity)) {
      const bool is_there = std::ranges::any_of(there, [&](const AcceptedGap& other) {
        return encode_accepted_gap(other) == encode_accepted_gap(gap);
      });
      if (!is_there) put_accepted_gap(to_, identity, gap);
    }
    const auto prefix = "catalogues/" + identity.name + "/" + std::to_string(identity.number) + "/";
    const auto names = to_.storage().list_names(prefix);
    const std::set<std::string> known(names.begin(), names.end());
    for (const auto& name : from_.storage().list_names(prefix)) {
      if (known.contains(name)) continue;
      const auto key = prefix + name;
      try {
        const auto payload = from_.find_sealed(ObjectKind::catalogue, key);
        if (payload) (void)to_.put_sealed(ObjectKind::catalogue, key, *payload);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
        listener_.warn("names for walvault find are not copied: " + error.message());
      }
    }
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
  const CopyListener& listener_;
  std::function<void(std::uint64_t)> reading_;
  std::vector<ClusterIdentity> identities_;
  std::vector<BackupInfo> chosen_;  // oldest first
  std::map<std::uint32_t, WalCopier> copiers_;
  std::map<std::string, BackupKeep> keeps_;
  std::map<std::string, BackupKeep> keeps_there_;
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
    return cluster.wal.fault_count == 0 &&
           std::ranges::none_of(cluster.backups, [](const CopiedBackup& backup) {
             return backup.state == BackupCopyState::failed ||
                    backup.state == BackupCopyState::closed;
           });
  });
}

CopyReport copy_repository(const Repository& from, const Repository& to, Clock& clock,
                           const CopyRequest& request, const CopyListener& listener) {
  std::vector<std::string> names;
  if (request.cluster) {
    names.push_back(get_cluster(from, *request.cluster).name);
  } else {
    for (const auto& identity : list_clusters(from)) names.push_back(identity.name);
  }
  RateLimit limit(clock, request.bytes_per_second);
  CopyReport report;
  for (auto& name : names) {
    report.clusters.push_back(
        ClusterCopier(from, to, clock, request, listener, limit, std::move(name)).run());
  }
  return report;
}

}  // namespace walvault
