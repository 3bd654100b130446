#include "catalog/verification/verification.h"

#include <algorithm>

#include "catalog/records/backup_list.h"
#include "catalog/verification/content_reader.h"
#include "catalog/verification/object_reader.h"
#include "catalog/verification/orphans.h"
#include "catalog/verification/verify_scope.h"
#include "repository/damaged_packs.h"
#include "repository/object_table.h"

namespace walvault {
namespace {

// A backup that was deleted meanwhile, and what it alone needed, is no damage.
void forget_what_was_deleted(VerifyState& state) {
  std::erase_if(state.report.damaged_backups, [&](const BackupDamage& damage) {
    return !state.storage.find_size(backup_root_key(damage.cluster, damage.id));
  });
  std::set<std::string> needed;
  bool any_gone = false;
  for (const auto& subject : state.subjects) {
    if (!state.storage.find_size(subject.root_key)) {
      any_gone = true;
      continue;
    }
    for (const auto& entry : subject.packs.entries()) needed.insert(entry.name.key());
  }
  if (!any_gone) return;
  state.report.object_count -= std::erase_if(state.report.objects, [&](const ObjectDamage& object) {
    return object.key.starts_with(prefix_of(ObjectPlace::packs)) && !needed.contains(object.key);
  });
}

void judge_costs(VerifyState& state) {
  std::vector<BackupInfo> subjects;
  for (const auto& subject : state.subjects) subjects.push_back(subject.info);
  for (const auto& cluster : state.clusters) {
    const auto list = list_backups(state.repository, cluster.name);
    for (const auto& identity : cluster_identities(state.repository, cluster.name)) {
      try {
        state.report.windows.push_back(judge_windows(
            state.repository, identity, list.backups, subjects, state.request.backup.has_value(),
            state.damaged_segments, state.report.damaged_backups));
      } catch (const Error& error) {
        const bool is_unreadable =
            error.kind() == ErrorKind::unavailable && holds_repository(state.storage);
        if (!VerifyState::is_damage(error) && !is_unreadable) throw;
        state.report.windows.push_back({.identity = identity, .untold = one_line(error)});
      }
      for (const auto& key : state.report.windows.back().missing_files) {
        state.add_damage(key, DamageKind::missing, "");
      }
    }
  }
  for (auto& damage : state.report.damaged_backups) damage.join_lost();
  forget_what_was_deleted(state);
}

void look_for_orphans(VerifyState& state) {
  if (state.request.backup) return;
  const auto of_cluster = "/" + state.request.cluster.value_or("") + "/";
  for (const auto& orphan : find_orphans(state.repository)) {
    if (state.request.cluster && orphan.key.find(of_cluster) == std::string::npos) continue;
    const bool is_known = std::ranges::find(state.report.objects, orphan.key, &ObjectDamage::key) !=
                          state.report.objects.end();
    if (is_known) continue;
    state.add_damage(orphan.key, DamageKind::missing, orphan.why);
  }
}

void finish(VerifyState& state) {
  state.report.stored_bytes_read = state.stored_bytes_read;
  state.report.plain_bytes_read = state.plain_bytes_read;
  state.journal.finish(
      {.cluster = state.request.cluster.value_or(""),
       .tier = state.request.tier,
       .partial = state.request.backup || state.request.sample < 1 || state.request.max_age,
       .whole = state.report.is_whole(),
       .damaged = state.report.object_count},
      [&](const PackName& pack) { return state.listed.contains(pack); });
}

}  // namespace

bool VerifyReport::is_whole() const {
  return object_count == 0 && damaged_backups.empty() &&
         std::ranges::all_of(windows, [](const VerifiedWindows& each) {
           return each.gaps.empty() && each.untold.empty();
         });
}

VerifyReport verify(const Repository& repository, Clock& clock, const RandomId& run,
                    const VerifyRequest& request, const Reporter& reporter, const Meter& meter) {
  VerifyState state(repository, clock, run, request, reporter, meter);
  state.report.tier = request.tier;
  state.marked = list_damaged_packs(repository);
  find_scope(state);
  try {
    if (request.tier >= VerifyTier::stored) read_objects(state);
    read_trees(state);
    judge_costs(state);
    look_for_orphans(state);
  } catch (...) {
    state.journal.save();
    throw;
  }
  finish(state);
  return std::move(state.report);
}

}  // namespace walvault
