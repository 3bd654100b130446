#include "catalog/verification/damage_cost.h"

#include <algorithm>
#include <tuple>

#include "catalog/recovery/recovery_plan.h"
#include "catalog/recovery/timeline_division.h"

namespace walvault {
namespace {

// So many parts of a backup are remembered before those that touch are joined.
constexpr std::size_t lost_parts_max = 100'000;

class CostOfDamage {
 public:
  CostOfDamage(const Repository& repository, const ClusterIdentity& identity,
               const std::vector<BackupInfo>& subjects, bool alone)
      : archive_(WalArchive(repository, identity).at_this_moment(true)),
        alone_(alone),
        found_{.identity = identity} {
    for (const auto& subject : subjects) {
      if (subject.cluster == identity.name && subject.identity_number == identity.number) {
        subjects_.push_back(subject);
      }
    }
  }

  VerifiedWindows judge(const std::vector<BackupInfo>& backups,
                        const std::map<std::string, DamageKind>& segments,
                        std::vector<BackupDamage>& damages) {
    // Nobody can tell what was in these.
    bool changed = forget(segments, true);
    auto moments = recoverable_moments({archive_, backups});
    found_.before = std::move(moments.windows);
    for (const auto& gap : moments.gaps) {
      if (gap.state == GapState::open && !gap.is_minimal && costs(gap)) found_.gaps.push_back(gap);
    }
    if (!alone_) find_missing_histories();
    changed |= forget(segments, false);
    for (const auto& subject : subjects_) {
      if (!has_its_wal(subject, moments.gaps)) damage_in(damages, subject).wal_incomplete = true;
    }
    auto left = backups;
    std::erase_if(left, [&](const BackupInfo& backup) {
      return std::ranges::any_of(damages, [&](const BackupDamage& damage) {
        return damage.id == backup.id && damage.cluster == backup.cluster &&
               !damage.is_restorable();
      });
    });
    changed |= left.size() != backups.size();
    found_.after = changed ? recoverable_moments({archive_, left}).windows : found_.before;
    return std::move(found_);
  }

 private:
  // As if these segments were not archived; whether there are any.
  bool forget(const std::map<std::string, DamageKind>& segments, bool unreadable) {
    const auto prefix = archive_.prefix();
    TimelineBranch branch;
    std::uint64_t first = 0;
    std::uint64_t behind = 0;
    bool any = false;
    const auto flush = [&] {
      if (behind > first) archive_.forget(branch, first, behind);
    };
    for (const auto& [key, kind] : segments) {
      if (!key.starts_with(prefix) || unreadable != (kind == DamageKind::unreadable)) continue;
      const auto place = segment_place(archive_, key);
      if (!place) continue;
      any = true;
      // Those that follow one another go at once.
      if (branch != place->branch || behind != place->number) {
        flush();
        branch = place->branch;
        first = place->number;
      }
      behind = place->number + 1;
    }
    flush();
    return any;
  }

  // Without its history file no server recovers onto a timeline.
  void find_missing_histories() {
    for (const auto& branch : archive_.branches()) {
      const auto view = archive_.view_of(branch);
      if (branch.timeline.value == 1 || view.segments(branch.timeline).empty()) continue;
      auto key = view.key_of(history_file_name(branch.timeline));
      if (!archive_.repository().storage().find_size(key)) {
        found_.missing_files.push_back(std::move(key));
      }
    }
  }

  // Whether a gap is one on the way from a subject.
  [[nodiscard]] bool costs(const WalGap& gap) const {
    const auto view = archive_.view_of(gap.timeline);
    const auto timeline = gap.timeline.timeline;
    const auto history =
        find_sound_history(view, timeline).value_or(TimelineHistory::root(timeline));
    return std::ranges::any_of(subjects_, [&](const BackupInfo& subject) {
      if (subject.start >= gap.to) return false;
      if (alone_) return subject.stop > gap.from && gap.timeline == subject.timeline_branch();
      return lies_on(view, subject, history);
    });
  }

  [[nodiscard]] bool has_its_wal(const BackupInfo& backup, const std::vector<WalGap>& gaps) const {
    const auto branch = backup.timeline_branch();
    return has_own_wal(archive_.with({branch}), backup) &&
           std::ranges::none_of(gaps, [&](const WalGap& gap) {
             return !gap.damage.empty() && gap.timeline == branch && gap.from < backup.stop &&
                    gap.to > backup.start;
           });
  }

  ArchiveMoment archive_;
  const bool alone_;
  std::vector<BackupInfo> subjects_;
  VerifiedWindows found_;
};

}  // namespace

std::string_view damage_name(DamageKind kind) {
  switch (kind) {
    case DamageKind::missing: return "missing";
    case DamageKind::damaged: return "damaged";
    case DamageKind::unreadable: return "unreadable";
  }
  return "";
}

void BackupDamage::add_lost(LostContent content) {
  ++lost_count;
  lost_bytes += content.length;
  if (lost.size() < lost_parts_max) lost.push_back(std::move(content));
}

void BackupDamage::join_lost() {
  std::ranges::sort(lost, {},
                    [](const LostContent& each) { return std::tuple(each.path, each.offset); });
  std::vector<LostContent> joined;
  for (auto& part : lost) {
    auto* const last = joined.empty() ? nullptr : &joined.back();
    if (last != nullptr && !part.path.empty() && last->path == part.path &&
        last->offset + last->length == part.offset) {
      last->length += part.length;
    } else {
      joined.push_back(std::move(part));
    }
  }
  if (joined.size() > damage_list_max) joined.resize(damage_list_max);
  lost = std::move(joined);
}

BackupDamage& damage_in(std::vector<BackupDamage>& damages, const BackupInfo& backup) {
  const auto it = std::ranges::find_if(damages, [&](const BackupDamage& each) {
    return each.cluster == backup.cluster && each.id == backup.id;
  });
  if (it != damages.end()) return *it;
  auto& damage = damages.emplace_back();
  damage.cluster = backup.cluster;
  damage.id = backup.id;
  if (backup.control.block_bytes != 0) damage.block_bytes = backup.control.block_bytes;
  return damage;
}

std::optional<SegmentPlace> segment_place(const WalArchive& archive, std::string_view key) {
  const auto prefix_bytes = archive.prefix().size();
  const auto rest = key.substr(prefix_bytes);
  const auto file = key.substr(key.rfind('/') + 1);
  const auto segment = SegmentName::parse(file.substr(0, 24), archive.identity().geometry);
  const auto slash = rest.find('/');
  if (!segment || slash == std::string_view::npos || slash < 10 ||
      (file.size() > 24 && !file.substr(24).starts_with(".partial"))) {
    return std::nullopt;
  }
  // 00000001-0
  const auto branch = TimelineBranch::parse(std::to_string(segment->timeline.value) +
                                            std::string(rest.substr(8, slash - 8)));
  if (!branch) return std::nullopt;
  return SegmentPlace{.branch_prefix = std::string(key.substr(0, prefix_bytes + slash + 1)),
                      .branch = *branch,
                      .number = segment->number,
                      .partial = file.size() > 24};
}

VerifiedWindows judge_windows(const Repository& repository, const ClusterIdentity& identity,
                              const std::vector<BackupInfo>& backups,
                              const std::vector<BackupInfo>& subjects, bool alone,
                              const std::map<std::string, DamageKind>& segments,
                              std::vector<BackupDamage>& damages) {
  return CostOfDamage(repository, identity, subjects, alone).judge(backups, segments, damages);
}

}  // namespace walvault
