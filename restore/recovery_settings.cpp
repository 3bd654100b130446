#include "restore/recovery_settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
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

// A line of a configuration file: a name and, behind blanks or one "=", what stands for it.
struct SettingLine {
  std::string name;  // in small letters
  std::string_view value;
};

std::optional<SettingLine> setting_line(std::string_view line) {
  static constexpr std::string_view blanks = " \t\r\v\f";
  const auto skip = [&](std::string_view what) {
    line.remove_prefix(std::min(line.find_first_not_of(what), line.size()));
  };
  skip(blanks);
  const auto length = std::min(line.find_first_of(" \t\r\v\f=#"), line.size());
  if (length == 0) return std::nullopt;
  SettingLine found;
  for (const char c : line.substr(0, length)) {
    found.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  line.remove_prefix(length);
  skip(blanks);
  if (line.starts_with('=')) line.remove_prefix(1);
  skip(blanks);
  found.value = line;
  return found;
}

// Without quotes and what follows it.
std::string_view plain_value(std::string_view value) {
  if (value.starts_with('\'')) {
    value.remove_prefix(1);
    return value.substr(0, value.find('\''));
  }
  return value.substr(0, value.find_first_of(" \t\r\v\f#"));
}

bool has_include(const std::string& content) {
  const auto lines = split_lines(content);
  return std::ranges::any_of(lines, [](std::string_view line) {
    const auto found = setting_line(line);
    return found && found->name.starts_with("include");
  });
}

// The last one that the file has of a setting: that counts. nullopt: none that is a number.
std::optional<std::uint32_t> number_in(const std::string& content, std::string_view name) {
  std::optional<std::uint32_t> number;
  for (const auto line : split_lines(content)) {
    auto found = setting_line(line);
    if (!found || found->name != name) continue;
    auto& value = found->value;
    if (value.starts_with('\'')) value.remove_prefix(1);
    std::uint32_t parsed = 0;
    const auto [end, failure] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    number = failure == std::errc{} && end != value.data() ? std::optional(parsed) : std::nullopt;
  }
  return number;
}

// Of a copy: it archives nothing, applies no subscription's changes, waits for no standby.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> copy_settings = {
    {{"archive_mode", "off"},
     {"max_logical_replication_workers", "0"},
     {"synchronous_standby_names", ""}}};

// Of one recovery; others of PostgreSQL's own that begin so there are none.
constexpr std::array<std::string_view, 8> target_settings = {
    "recovery_target",        "recovery_target_name",    "recovery_target_time",
    "recovery_target_xid",    "recovery_target_lsn",     "recovery_target_inclusive",
    "recovery_target_action", "recovery_target_timeline"};

// What a server was told for another life, as a standby above all, and what that is for the time
// of a recovery; with the majors that know it.
struct LeftOver {
  std::string_view name;
  std::string_view value;
  int since = 0;
  int until = std::numeric_limits<int>::max();
};
constexpr std::array<LeftOver, 6> left_over_settings = {
    {{.name = "archive_cleanup_command", .value = ""},
     {.name = "primary_conninfo", .value = ""},
     {.name = "primary_slot_name", .value = ""},
     {.name = "recovery_min_apply_delay", .value = "0"},
     {.name = "promote_trigger_file", .value = "", .since = 1, .until = 15},
     {.name = "sync_replication_slots", .value = "off", .since = 17}}};

bool is_left_over(const std::string& name) {
  return std::ranges::find(left_over_settings, name, &LeftOver::name) != left_over_settings.end();
}

}  // namespace

std::vector<RaisedSetting> settings_to_raise(const RequiredSettings& required,
                                             const std::string& auto_conf,
                                             const std::optional<std::string>& postgresql_conf) {
  const auto own = without_own_settings(auto_conf);
  const bool is_known = postgresql_conf && !has_include(*postgresql_conf);
  std::vector<RaisedSetting> raised;
  // What PostgreSQL takes where no file says otherwise, from 13 to 18.
  const auto look_at = [&](const char* name, std::uint32_t value, std::uint32_t by_default) {
    if (value == 0) return;
    auto configured = number_in(own, name);
    if (!configured && is_known) configured = number_in(*postgresql_conf, name);
    // What is not known is taken for no smaller than PostgreSQL has it by itself: to write it down
    // might make it smaller.
    if (configured.value_or(by_default) < value) raised.push_back({.name = name, .value = value});
  };
  look_at("max_connections", required.max_connections, 100);
  look_at("max_worker_processes", required.max_worker_processes, 8);
  look_at("max_wal_senders", required.max_wal_senders, 10);
  look_at("max_prepared_transactions", required.max_prepared_transactions, 0);
  look_at("max_locks_per_transaction", required.max_locks_per_transaction, 64);
  return raised;
}

std::string with_recovery_settings(const std::string& auto_conf, const RecoverySettings& settings,
                                   const std::vector<RaisedSetting>& raised) {
  static constexpr std::array<std::string_view, 5> target_names = {
      "recovery_target", "recovery_target_name", "recovery_target_time", "recovery_target_xid",
      "recovery_target_lsn"};
  auto content = without_own_settings(auto_conf);
  content += std::string(begin_mark) + "\n";
  for (const auto& each : raised) content += setting(each.name, std::to_string(each.value));
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
    content += setting("recovery_end_command", settings.end_command);
    for (const auto& each : left_over_settings) {
      if (settings.server_major >= each.since && settings.server_major <= each.until) {
        content += setting(each.name, each.value);
      }
    }
  }
  if (!settings.archiving) {
    for (const auto& [name, value] : copy_settings) content += setting(name, value);
  }
  if (!settings.reads_ahead) content += setting("recovery_prefetch", "off");
  content += std::string(end_mark) + "\n";
  return content;
}

std::string without_recovery_target(const std::string& auto_conf) {
  const auto is_of_recovery = [&](std::string_view line, bool in_block) {
    const auto found = setting_line(line);
    if (!found) return false;
    // Whoever sets others changes the file through the server, which keeps no comments: then
    // nobody knows any more where the block was.
    if (std::ranges::find(target_settings, found->name) != target_settings.end()) return true;
    if (found->name == "recovery_end_command") {
      return in_block ||
             found->value.find("walvault recovery-ended --pgdata . ") != std::string_view::npos ||
             found->value.find("walvault'' recovery-ended --pgdata . ") != std::string_view::npos;
    }
    return in_block && (found->name == "recovery_prefetch" || is_left_over(found->name));
  };
  std::string kept;
  bool in_block = false;
  for (const auto line : split_lines(auto_conf)) {
    if (line == begin_mark) in_block = true;
    if (line == end_mark) in_block = false;
    if (!is_of_recovery(line, in_block)) kept += std::string(line) + "\n";
  }
  return kept;
}

std::string with_role(const std::string& auto_conf, bool is_original) {
  std::string content;
  for (const auto line : split_lines(auto_conf)) {
    const auto found = setting_line(line);
    const bool is_of_copy =
        found && std::ranges::any_of(copy_settings, [&](const auto& each) {
          return found->name == each.first && plain_value(found->value) == each.second;
        });
    if (!is_of_copy) content += std::string(line) + "\n";
  }
  if (!is_original) {
    for (const auto& [name, value] : copy_settings) content += setting(name, value);
  }
  return content;
}

}  // namespace walvault
