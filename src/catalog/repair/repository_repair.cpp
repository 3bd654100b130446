#include "catalog/repair/repository_repair.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/left_timeline.h"
#include "catalog/repair/lost_objects.h"
#include "catalog/repair/lost_records.h"
#include "catalog/repair/registration_repair.h"
#include "catalog/wal/wal_check.h"
#include "repository/damage.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"
#include "repository/pin.h"
#include "repository/reader_pin.h"
#include "repository/root_copy.h"
#include "repository/tree.h"

namespace walvault {
namespace {

// A list of damage may be cut short: what was mended makes room for the rest.
constexpr int rounds_max = 1000;
// What was found whole in the round before is not read again.
constexpr std::chrono::hours fresh{24};

class RepositoryRepair {
 public:
  RepositoryRepair(const Repository& ours, const Repository* theirs, Clock& clock,
                   const RepairRequest& request, const Reporter& reporter, const Meter& meter)
      : ours_(ours),
        theirs_(theirs),
        storage_(ours.storage()),
        clock_(clock),
        request_(request),
        reporter_(reporter),
        meter_(meter) {
    if (theirs != nullptr) source_.emplace(ours, *theirs);
  }

  RepairReport run() && {
    repair_registrations(ours_, theirs_, request_.dry_run, report_);
    for (const auto& each : report_.unmended) why_not_[each.key] = each.why;
    report_.unmended.clear();
    if (theirs_ != nullptr && !request_.dry_run) bring_records(ours_, *theirs_, report_);
    VerifyRequest verification;
    verification.jobs = request_.jobs;
    if (request_.was_verified) verification.max_age = fresh;
    auto found = verify_now(verification);
    for (int round = 0; round < rounds_max && !found.is_whole() && mend(found); ++round) {
      if (request_.dry_run) break;
      verification.max_age = fresh;
      found = verify_now(verification);
    }
    bring_missing_wal();
    complete_root_copies();
    name_what_is_left(found);
    return std::move(report_);
  }

 private:
  VerifyReport verify_now(const VerifyRequest& verification) {
    // Each run has a name of its own: what it leaves on record is found by it.
    auto run = request_.run;
    run[0] = static_cast<std::uint8_t>(run[0] + ++verifications_);
    return verify(ours_, clock_, run, verification, reporter_, meter_);
  }

  // True: anything was mended, so that another look may find more.
  bool mend(const VerifyReport& found) {
    const auto before = report_.mended.size();
    hold_packs(found);
    for (const auto& object : found.objects) {
      reported_.insert(object.key);
      if (place_of(object.key) != ObjectPlace::root_copies) try_to_mend(object.key);
    }
    // A copy is made again of its root, which by now is there, or is not to be had.
    for (const auto& object : found.objects) {
      if (place_of(object.key) == ObjectPlace::root_copies) try_to_mend(object.key);
    }
    for (const auto& each : found.windows) {
      for (const auto& gap : each.gaps) fill(each.identity, gap);
    }
    for (const auto& damage : found.damaged_backups) {
      if (damage.wal_incomplete) bring_own_wal(damage);
    }
    return report_.mended.size() > before;
  }

  // gc must not delete what is just being put in a damaged one's place.
  void hold_packs(const VerifyReport& found) {
    pins_.clear();
    if (request_.dry_run) return;
    PackTable packs;
    for (const auto& object : found.objects) {
      if (const auto name = PackName::parse(object.key)) packs.add(*name, 0);
    }
    const auto clusters = storage_.list_names(prefix_of(ObjectPlace::clusters));
    if (packs.entries().empty() || clusters.empty()) return;
    pins_.push_back(std::make_unique<ReaderPin>(ours_, clock_, request_.run, ++pin_number_,
                                                clusters.front(), packs));
  }

  void try_to_mend(const std::string& key) {
    if (!tried_.insert(key).second) return;
    reporter_.check_cancelled();
    try {
      mend_object(key);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable && !is_damage(error)) throw;
      why_not_[key] = one_line(error);
    }
  }

  void mend_object(const std::string& key) {
    const auto place = place_of(key);
    if (place == ObjectPlace::root_copies) return copy_root_again(key);
    if (place && info_of(*place).is_derived) return remove_derived(key);
    if (place == ObjectPlace::deleted) return seal_again(key, ObjectKind::deleted);
    if (place == ObjectPlace::backups) {
      if (const auto copy = find_root_copy(ours_, key)) {
        return put(key, *copy, "taken from its copy in this repository");
      }
    }
    if (place == ObjectPlace::backups && is_tombstone(key)) {
      return seal_again(key, ObjectKind::tombstone);
    }
    if (place == ObjectPlace::pins || place == ObjectPlace::plans ||
        place == ObjectPlace::wal_expiry) {
      why_not_[key] = std::string(info_of(*place).loss) + ". Only its command knows what it said.";
      return;
    }
    if (!source_) {
      why_not_[key] = "It is in this repository alone; name another one with --from.";
      return;
    }
    std::string why;
    const auto object = source_->find(key, why);
    if (!object) {
      why_not_[key] = why;
      return;
    }
    put(key, *object, "taken from " + theirs_->storage().url());
  }

  void put(const std::string& key, ByteView object, std::string how) {
    if (!request_.dry_run) {
      put_mended(storage_, key, object, [&](ByteView there) { return is_whole(key, there); });
      forget_mark(key);
    }
    report_.mended.push_back({.key = key, .how = std::move(how)});
  }

  [[nodiscard]] bool is_whole(const std::string& key, ByteView object) const {
    const auto place = *place_of(key);
    const auto& codec = ours_.codec();
    switch (place) {
      case ObjectPlace::packs: return sha256(object) == PackName::parse(key).value().digest;
      case ObjectPlace::wal: return find_wal_fault(codec, object, key).empty();
      case ObjectPlace::backups:
        if (is_of_kind(object, ObjectKind::tombstone)) break;
        return unless_damaged([&] { return std::optional(decode_root(codec, object, key)); })
            .has_value();
      default: break;
    }
    const auto kind = place == ObjectPlace::backups ? ObjectKind::tombstone : info_of(place).kind;
    return unless_damaged([&] { return std::optional(codec.unseal(kind, key, object)); })
        .has_value();
  }

  // Backups do not borrow from a pack that is marked.
  void forget_mark(const std::string& key) {
    const auto pack = PackName::parse(key);
    if (pack) storage_.remove({damaged_pack_key(*pack)});
  }

  // It is made again where it is needed.
  void remove_derived(const std::string& key) {
    if (!request_.dry_run) storage_.remove({key});
    report_.mended.push_back({.key = key, .how = "removed: it is made again when it is needed"});
  }

  // It is what tells that there was a backup: it stays while its root is not there.
  void copy_root_again(const std::string& key) {
    const auto root_key = root_key_of_copy(key);
    const auto root = storage_.find(root_key);
    if (root && !is_of_kind(*root, ObjectKind::tombstone) && is_whole(root_key, *root)) {
      return put(key, ours_.codec().seal(ObjectKind::root_copy, key, *root),
                 "made again of its root");
    }
    if (storage_.find_size(deletion_key(root_key))) return remove_derived(key);
    why_not_[key] = "The root that it is a copy of is lost, too.";
  }

  // Of some objects the name says all that anybody relies on.
  void seal_again(const std::string& key, ObjectKind kind) {
    ByteWriter payload;
    if (kind == ObjectKind::deleted) payload.time(clock_.now());
    put(key, ours_.codec().seal(kind, key, payload.bytes()), "made again: its name says it all");
  }

  // Whatever of it is damaged: no root is as small.
  [[nodiscard]] bool is_tombstone(const std::string& key) const {
    constexpr std::uint64_t bytes = envelope_bytes + sizeof(std::uint64_t) + sizeof(Digest::bytes);
    return storage_.find_size(key) == bytes;
  }

  // Also of backups that an older version took.
  void complete_root_copies() {
    if (request_.dry_run) return;
    std::vector<std::string> roots;
    storage_.list(prefix_of(ObjectPlace::backups),
                  [&](const ObjectInfo& object) { roots.push_back(object.key); });
    for (const auto& key : roots) {
      if (storage_.find_size(root_copy_key(key))) continue;
      const auto root = storage_.find(key);
      if (!root || is_of_kind(*root, ObjectKind::tombstone) || !is_whole(key, *root)) continue;
      if (put_root_copy(ours_, key, *root)) {
        report_.mended.push_back({.key = root_copy_key(key), .how = "made again of its root"});
      }
    }
  }

  void fill(const ClusterIdentity& identity, const WalGap& gap) {
    if (gap.state != GapState::open || gap.is_minimal) return;
    const auto geometry = identity.geometry;
    const auto archive = WalArchive(ours_, identity).with({gap.timeline});
    bring_missing(archive, gap.timeline, geometry.number_of(gap.from), gap.to);
  }

  // Of segments that are not there: before the first of a branch no gap is seen.
  void bring_own_wal(const BackupDamage& damage) {
    const auto backups = list_backups(ours_, damage.cluster).backups;
    const auto info = std::ranges::find(backups, damage.id, &BackupInfo::id);
    if (info == backups.end()) return;
    const auto identity = get_cluster_identity(ours_, damage.cluster, info->identity_number);
    bring_missing(WalArchive(ours_, identity).with({info->timeline_branch()}),
                  info->timeline_branch(), identity.geometry.number_of(info->start), info->stop);
  }

  // What is there, damaged, was reported as an object.
  void bring_missing(const WalArchive& archive, TimelineBranch branch, std::uint64_t first,
                     Lsn to) {
    if (!source_) return;
    const auto geometry = archive.identity().geometry;
    const auto behind = geometry.number_before(to) + 1;
    for (const auto number : source_->numbers_of(archive, branch, first, behind)) {
      const SegmentName segment{.timeline = branch.timeline, .number = number};
      if (!archive.has_segment(segment)) try_to_mend(archive.key_of(segment.text(geometry)));
    }
  }

  // Where no backup leads to, and behind the last segment of a branch, nobody misses WAL.
  void bring_missing_wal() {
    if (!source_) return;
    for (const auto& cluster : readable_clusters(ours_)) {
      for (const auto& identity : cluster_identities(ours_, cluster)) {
        const WalArchive archive(ours_, identity);
        for (const auto& branch : archive.branches()) {
          const auto view = archive.with({branch});
          const auto segments = view.segments(branch.timeline);
          if (segments.empty()) continue;
          for (std::size_t i = 1; i < segments.size(); ++i) {
            bring_between(view, branch, segments[i - 1].number + 1, segments[i].number);
          }
          const auto wanted = last_wanted(archive, branch);
          auto last = segments.back().number;
          constexpr auto all = std::numeric_limits<std::uint64_t>::max();
          for (const auto number : source_->numbers_of(view, branch, last + 1, all)) {
            // Behind a hole it would go on with nothing.
            if (number != last + 1 || number > wanted || is_accepted(view, branch, number)) break;
            const SegmentName segment{.timeline = branch.timeline, .number = number};
            try_to_mend(view.key_of(segment.text(identity.geometry)));
            last = number;
          }
          const SegmentName next{.timeline = branch.timeline, .number = last + 1};
          for (const auto& key : source_->keys_of_parts(view, next)) {
            if (next.number > wanted || is_accepted(view, branch, next.number)) break;
            if (!storage_.find_size(key)) try_to_mend(key);
          }
        }
      }
    }
  }

  // Behind which number of a branch nothing can be wanted: where other histories left it, or an
  // operator did.
  [[nodiscard]] std::uint64_t last_wanted(const WalArchive& archive, TimelineBranch branch) const {
    const auto records = list_left_timelines(ours_, archive.identity());
    if (std::ranges::find(records, branch, &LeftTimeline::timeline) != records.end()) return 0;
    std::optional<std::uint64_t> last;
    for (const auto timeline : archive.timelines()) {
      if (timeline == branch.timeline) continue;
      const auto left = archive.history(timeline).leaves(branch.timeline);
      if (left) last = std::max(last.value_or(0), archive.identity().geometry.number_of(*left));
    }
    return last.value_or(std::numeric_limits<std::uint64_t>::max());
  }

  // Not what was accepted as lost, nor what expired.
  void bring_between(const WalArchive& view, TimelineBranch branch, std::uint64_t first,
                     std::uint64_t behind) {
    if (first == behind) return;
    for (const auto number : source_->numbers_of(view, branch, first, behind)) {
      const SegmentName segment{.timeline = branch.timeline, .number = number};
      if (is_accepted(view, branch, number)) continue;
      try_to_mend(view.key_of(segment.text(view.identity().geometry)));
    }
  }

  [[nodiscard]] bool is_accepted(const WalArchive& view, TimelineBranch branch,
                                 std::uint64_t number) const {
    const auto geometry = view.identity().geometry;
    return covers(list_accepted_gaps(ours_, view.identity()), branch, geometry.start_of(number),
                  geometry.start_of(number + 1));
  }

  void name_what_is_left(const VerifyReport& found) {
    const auto is_mended = [&](const std::string& key) {
      return std::ranges::find(report_.mended, key, &MendedObject::key) != report_.mended.end();
    };
    std::set<std::string> named;
    const auto name = [&](const std::string& key, const std::string& otherwise) {
      if ((request_.dry_run && is_mended(key)) || !named.insert(key).second) return;
      const auto why = why_not_.find(key);
      report_.unmended.push_back(
          {.key = key, .why = why == why_not_.end() ? otherwise : why->second});
    };
    for (const auto& object : found.objects) name(object.key, object.why);
    // Also what a verification does not come to any more, or did not come to.
    for (const auto& [key, why] : why_not_) {
      const auto place = place_of(key);
      if (is_mended(key)) continue;
      if (place == ObjectPlace::clusters || place == ObjectPlace::branches ||
          reported_.contains(key)) {
        name(key, why);
      }
    }
    for (const auto& each : found.windows) {
      for (const auto& gap : each.gaps) {
        const auto geometry = each.identity.geometry;
        const auto archive = WalArchive(ours_, each.identity).with({gap.timeline});
        const SegmentName segment{.timeline = gap.timeline.timeline,
                                  .number = geometry.number_of(gap.from)};
        name(archive.key_of(segment.text(geometry)),
             "WAL from " + gap.from.text() + " to " + gap.to.text() + " is missing.");
      }
      if (!each.untold.empty()) name(prefix_of(ObjectPlace::wal, each.identity), each.untold);
    }
    for (const auto& damage : found.damaged_backups) {
      if (!damage.wal_incomplete) continue;
      name(backup_root_key(damage.cluster, damage.id),
           "WAL that it needs itself is missing or damaged.");
    }
    if (found.object_count > found.objects.size()) {
      report_.unmended.push_back(
          {.key = "and more",
           .why = std::to_string(found.object_count - found.objects.size()) +
                  " objects that walvault verify --json does not list either."});
    }
  }

  const Repository& ours_;
  const Repository* theirs_;
  Storage& storage_;
  Clock& clock_;
  const RepairRequest& request_;
  const Reporter& reporter_;
  const Meter& meter_;
  std::optional<LostObjects> source_;
  std::vector<std::unique_ptr<ReaderPin>> pins_;
  std::uint32_t pin_number_ = 1000;  // apart from those of the verifications
  int verifications_ = 0;
  std::set<std::string> tried_;
  std::set<std::string> reported_;
  std::map<std::string, std::string> why_not_;
  RepairReport report_;
};

}  // namespace

RepairReport repair_repository(const Repository& ours, const Repository* theirs, Clock& clock,
                               const RepairRequest& request, const Reporter& reporter,
                               const Meter& meter) {
  return RepositoryRepair(ours, theirs, clock, request, reporter, meter).run();
}

}  // namespace walvault
