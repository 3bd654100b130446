#include "catalog/retention/expiry.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "catalog/records/backup_list.h"
#include "repository/pin.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// Objects that are removed at a time.
constexpr std::size_t batch_keys = 256;

// Keys of everything in a range, and of the ledgers of its directories.
void for_each_batch(
    const WalArchive& archive, const WalRange& range,
    const std::function<void(const std::vector<std::string>&, std::uint64_t)>& each) {
  auto& storage = archive.repository().storage();
  const auto geometry = archive.identity().geometry;
  const auto view = archive.with({range.timeline});
  for (auto number = range.first; number < range.behind;
       number = geometry.first_of_log(geometry.log_of(number) + 1)) {
    const SegmentName name{.timeline = range.timeline.timeline, .number = number};
    const auto any = view.key_of(name.text(geometry));
    const auto directory = any.substr(0, any.rfind('/') + 1);
    // First, so that none is left that tells of segments which are no more.
    const auto ledgers = ledgers_beside(directory);
    std::vector<std::string> stale;
    for (const auto& ledger : storage.list_names(ledgers)) stale.push_back(ledgers + ledger);
    if (!stale.empty()) storage.remove(stale);
    std::vector<std::string> keys;
    std::uint64_t segments = 0;
    for (const auto& file : storage.list_names(directory)) {
      const auto segment = SegmentName::parse(std::string_view(file).substr(0, 24), geometry);
      if (!segment || segment->number < range.first || segment->number >= range.behind) continue;
      segments += file.size() == 24 ? 1 : 0;
      keys.push_back(directory + file);
      if (keys.size() < batch_keys) continue;
      each(keys, segments);
      keys.clear();
      segments = 0;
    }
    if (!keys.empty()) each(keys, segments);
  }
}

// Before the first backup is deleted: those that are to stay are still there and
// can be read, and nobody decided otherwise since the plan was made.
void check_plan_holds(const Repository& repository, const std::string& cluster,
                      const ExpiryPlan& plan, Timestamp now) {
  std::vector<std::string> relied_on;
  const auto deleted = deleted_backups(repository, cluster);
  const auto keeps = list_backup_keeps(repository, cluster);
  const auto changed = [&](const std::string& id) {
    return Error(ErrorKind::unavailable, "something else changed the backups of " + cluster,
                 "Backup " + id +
                     " is not what it was when it was decided what goes. Nothing "
                     "was deleted.",
                 "Run it again.");
  };
  for (const auto& verdict : plan.verdicts) {
    if (!verdict.stays()) {
      const auto keep = keeps.find(verdict.id);
      if (keep != keeps.end() && (!keep->second.until || *keep->second.until >= now)) {
        throw changed(verdict.id);
      }
      continue;
    }
    const auto key = backup_root_key(cluster, verdict.id);
    const auto root = repository.storage().find(key);
    if (!root || deleted.contains(verdict.id)) throw changed(verdict.id);
    (void)decode_root(repository.codec(), *root, key);
    relied_on.push_back(key);
  }
  // Others put them, who may have died before their names were durable.
  repository.storage().settle(relied_on);
}

class ExpiryRun {
 public:
  ExpiryRun(const Repository& repository, const std::string& cluster, const ExpiryPlan& plan,
            const RandomId& run, Timestamp now, const std::function<void()>& check_cancelled)
      : repository_(repository),
        storage_(repository.storage()),
        cluster_(cluster),
        plan_(plan),
        run_(run),
        now_(now),
        check_cancelled_(check_cancelled) {}

  ExpiryResult carry_out() {
    repository_.expect_deletable();
    if (!plan_.is_empty()) check_plan_holds(repository_, cluster_, plan_, now_);
    delete_backups();
    const auto identities = cluster_identities(repository_, cluster_);
    if (!plan_.wal.empty() && !delete_wal()) return std::move(result_);
    remove_finished_announcements(repository_, cluster_, identities);
    return std::move(result_);
  }

 private:
  void delete_backups() {
    for (const auto& verdict : plan_.verdicts) {
      if (verdict.stays()) continue;
      check_cancelled_();
      delete_backup(repository_, cluster_, verdict.id, now_);
      result_.deleted.push_back(verdict.id);
    }
    // Roots that a run which died had not come to.
    const auto deleted = deleted_backups(repository_, cluster_);
    for (const auto& id : deleted) {
      const auto key = backup_root_key(cluster_, id);
      if (storage_.find_size(key)) storage_.remove({key});
    }
    std::vector<std::string> copies;
    const auto prefix = prefix_of(ObjectPlace::root_copies, cluster_);
    for (const auto& id : storage_.list_names(prefix)) {
      if (deleted.contains(id)) copies.push_back(prefix + id);
    }
    if (!copies.empty()) storage_.remove(copies);
  }

  // The order is what makes it safe: announce, then look for running backups, then
  // for those that were committed meanwhile. A backup writes its pin, then looks for
  // announcements, then whether its WAL is there. False: it has to stay.
  bool delete_wal() {
    const auto announcement =
        announce_wal_expiry(repository_, cluster_, run_, {.created = now_, .ranges = plan_.wal});
    result_.wal_left = find_obstacle();
    if (!result_.wal_left.empty()) {
      storage_.remove({announcement});
      return false;
    }
    accept_holes();
    for (const auto& range : plan_.wal) {
      const WalArchive archive(repository_,
                               get_cluster_identity(repository_, cluster_, range.identity_number));
      for_each_batch(archive, range,
                     [&](const std::vector<std::string>& keys, std::uint64_t segments) {
                       check_cancelled_();
                       storage_.remove(keys);
                       result_.segments += segments;
                     });
    }
    storage_.remove({announcement});
    return true;
  }

  // Why no WAL may go; empty: it may.
  [[nodiscard]] std::string find_obstacle() const {
    std::optional<std::string> running;
    for (const auto& stored : list_pins(repository_)) {
      const auto& root_key = stored.pin.root_key;
      const bool concerns_cluster =
          root_key.starts_with(prefix_of(ObjectPlace::backups, cluster_)) ||
          root_key.starts_with(prefix_of(ObjectPlace::readers, cluster_));
      if (concerns_cluster && is_live(repository_, stored.pin)) running = root_key;
    }
    const auto after = list_backups(repository_, cluster_);
    if (running) {
      return *running +
             " is being written or read, or the run that did was ended by force: walvault gc "
             "finds out. If it is a copy from elsewhere that was broken off, walvault copy there "
             "goes on with it, and walvault backups delete ID --yes here gives it up";
    }
    const bool has_others =
        !after.damaged.empty() || std::ranges::any_of(after.backups, [&](const BackupInfo& backup) {
          return std::ranges::find(plan_.backups, backup.id, &BackupInfo::id) ==
                 plan_.backups.end();
        });
    return has_others ? "a backup was completed meanwhile" : "";
  }

  void accept_holes() const {
    for (const auto& hole : plan_.holes) {
      const auto identity = get_cluster_identity(repository_, cluster_, hole.identity_number);
      put_accepted_gap(repository_, identity,
                       {.timeline = hole.timeline,
                        .from = identity.geometry.start_of(hole.first),
                        .to = identity.geometry.start_of(hole.behind),
                        .reason = expired_reason,
                        .when = now_});
    }
  }

  const Repository& repository_;
  Storage& storage_;
  const std::string& cluster_;
  const ExpiryPlan& plan_;
  const RandomId& run_;
  const Timestamp now_;
  const std::function<void()>& check_cancelled_;
  ExpiryResult result_;
};

}  // namespace

ExpiryResult carry_out_expiry(const Repository& repository, const std::string& cluster,
                              const ExpiryPlan& plan, const RandomId& run, Timestamp now,
                              const std::function<void()>& check_cancelled) {
  return ExpiryRun(repository, cluster, plan, run, now, check_cancelled).carry_out();
}

}  // namespace walvault
