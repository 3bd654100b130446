#include "restore/recovery_settings.h"

#include <array>
#include <string_view>
#include <utility>

#include "postgres/text_lines.h"

namespace walvault {
namespace {

constexpr std::string_view begin_mark = "# walvault: recovery settings begin";
constexpr std::string_view end_mark = "# walvault: recovery settings end";

std::string setting(std::string_view name, std::string_view value) {
  std::string line(name);
  line += " = '";
  for (const char c : value) {
    if (c == '\'' || c == '\\') line.push_back(c);
    line.push_back(c);
  }
  return line + "'\n";
}

// 2026-11-21 10:41:00.000000+00: unambiguous whatever the server's settings.
std::string postgres_time(Timestamp time) {
  auto text = to_rfc3339(time);
  text[10] = ' ';
  text.pop_back();
  return text + "+00";
}

// The setting that names the target, and its value.
std::pair<std::string_view, std::string> target_setting(const RecoveryTarget& target) {
  switch (target.kind) {
    case TargetKind::latest: return {"", ""};
    case TargetKind::time: return {"recovery_target_time", postgres_time(target.time)};
    case TargetKind::lsn: return {"recovery_target_lsn", target.lsn.text()};
    case TargetKind::xid:
      return {"recovery_target_xid", std::to_string(static_cast<std::uint32_t>(target.xid))};
    case TargetKind::name: return {"recovery_target_name", target.name};
    case TargetKind::immediate: return {"recovery_target", "immediate"};
  }
  return {"", ""};
}

// Takes away what stands between the two marks. Where the end mark is missing,
// nobody knows what is the user's, and all but the mark stays: what follows is
// overridden by the settings that are put behind it.
std::string without_own_settings(const std::string& content) {
  std::string kept;
  std::string block;
  bool in_block = false;
  for (const auto line : split_lines(content)) {
    if (line == begin_mark) {
      kept += std::exchange(block, {});
      in_block = true;
    } else if (line == end_mark) {
      block.clear();
      in_block = false;
    } else {
      (in_block ? block : kept) += std::string(line) + "\n";
    }
  }
  return kept + block;
}

// What the server was told for another life, as a standby above all.
std::string left_over_settings(int major) {
  std::string content;
  for (const auto* const name : {"recovery_end_command", "archive_cleanup_command",
                                 "primary_conninfo", "primary_slot_name"}) {
    content += setting(name, "");
  }
  content += setting("recovery_min_apply_delay", "0");
  constexpr int promote_trigger_file_until = 15;
  constexpr int slot_synchronization_since = 17;
  if (major != 0 && major <= promote_trigger_file_until) {
    content += setting("promote_trigger_file", "");
  }
  if (major >= slot_synchronization_since) content += setting("sync_replication_slots", "off");
  return content;
}

}  // namespace

std::string with_recovery_settings(const std::string& auto_conf, const RecoverySettings& settings) {
  static constexpr std::array<std::string_view, 5> target_names = {
      "recovery_target", "recovery_target_name", "recovery_target_time", "recovery_target_xid",
      "recovery_target_lsn"};
  auto content = without_own_settings(auto_conf);
  content += std::string(begin_mark) + "\n";
  content += setting("restore_command", settings.restore_command);
  // Of several settings of one name the last counts, at its place. So these
  // empty ones take back whatever stood before (in the user's files, or left
  // over from an earlier recovery); the real one has to come after them,
  // because PostgreSQL refuses an empty one behind it.
  const auto [target_name, target_value] = target_setting(settings.target);
  for (const auto name : target_names) {
    if (name != target_name) content += setting(name, "");
  }
  if (!target_name.empty()) {
    content += setting(target_name, target_value);
    content += setting("recovery_target_inclusive", settings.target.inclusive ? "on" : "off");
    content += setting("recovery_target_action", settings.action);
  }
  if (settings.standby) {
    // Through every promotion of the primary.
    content += setting("recovery_target_timeline", "latest");
    if (!settings.primary_conninfo.empty()) {
      content += setting("primary_conninfo", settings.primary_conninfo);
    }
  } else {
    content += setting("recovery_target_timeline", std::to_string(settings.timeline.value));
    content += left_over_settings(settings.server_major);
  }
  if (!settings.archiving) {
    content += setting("archive_mode", "off");
    content += setting("max_logical_replication_workers", "0");
    content += setting("synchronous_standby_names", "");
  }
  if (!settings.reads_ahead) content += setting("recovery_prefetch", "off");
  content += std::string(end_mark) + "\n";
  return content;
}

}  // namespace walvault
