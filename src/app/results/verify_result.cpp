#include "app/results/verify_result.h"

#include <nlohmann/json.hpp>

#include "app/results/backup_result.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

ordered_json backup_damage_json(const BackupDamage& damage) {
  ordered_json lost = ordered_json::array();
  for (const auto& part : damage.lost) {
    ordered_json each = {{"path", part.path},
                         {"offset", part.offset},
                         {"length", part.length},
                         {"detail", part.why}};
    if (!part.path.empty() && part.length > 0) {
      each["first_block"] = part.offset / damage.block_bytes;
      each["last_block"] = (part.offset + part.length - 1) / damage.block_bytes;
    }
    lost.push_back(std::move(each));
  }
  ordered_json pages = ordered_json::array();
  for (const auto& page : damage.wrong_pages) {
    pages.push_back({{"path", page.path}, {"block", page.block}});
  }
  return {{"cluster", damage.cluster},
          {"id", damage.id},
          {"restorable", damage.is_restorable()},
          {"root_damaged", damage.whole},
          {"wal_incomplete", damage.wal_incomplete},
          {"lost_parts", damage.lost_count},
          {"lost_bytes", damage.lost_bytes},
          {"lost", lost},
          {"wrong_page_checksums", damage.wrong_page_count},
          {"pages", pages}};
}

}  // namespace

ordered_json verify_json(const VerifyReport& report, double seconds) {
  ordered_json objects = ordered_json::array();
  for (const auto& object : report.objects) {
    objects.push_back(
        {{"key", object.key}, {"state", damage_name(object.kind)}, {"detail", object.why}});
  }
  ordered_json backups = ordered_json::array();
  for (const auto& damage : report.damaged_backups) backups.push_back(backup_damage_json(damage));
  ordered_json gaps = ordered_json::array();
  ordered_json before = ordered_json::array();
  ordered_json after = ordered_json::array();
  ordered_json untold = ordered_json::array();
  for (const auto& each : report.windows) {
    for (const auto& gap : each.gaps) {
      ordered_json document = {{"cluster", each.identity.name}};
      document.update(gap_json(gap));
      gaps.push_back(std::move(document));
    }
    const auto add = [&](ordered_json& list, const RecoveryWindow& window) {
      auto document = window_json(each.identity, window);
      document["cluster"] = each.identity.name;
      list.push_back(std::move(document));
    };
    for (const auto& window : each.before) add(before, window);
    for (const auto& window : each.after) add(after, window);
    if (!each.untold.empty()) untold.push_back(each.identity.name + ": " + each.untold);
  }
  return {{"tier", tier_name(report.tier)},
          {"whole", report.is_whole()},
          {"backups", report.backups},
          {"packs", report.packs},
          {"pack_bytes", report.pack_bytes},
          {"packs_read", report.packs_read},
          {"wal_files", report.wal_files},
          {"wal_bytes", report.wal_bytes},
          {"wal_files_read", report.wal_files_read},
          {"other_objects_read", report.objects_read},
          {"stored_bytes_read", report.stored_bytes_read},
          {"plain_bytes_read", report.plain_bytes_read},
          {"duration_s", seconds},
          {"damaged", report.object_count},
          {"objects", objects},
          {"damaged_backups", backups},
          {"gaps", gaps},
          {"windows_before", before},
          {"windows", after},
          {"windows_untold", untold}};
}

}  // namespace walvault
