#include "postgres/backup_label.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "postgres/text_lines.h"

namespace walvault {
namespace {

Error damaged(std::string_view file, std::string detail) {
  return {ErrorKind::corrupt, "the backup's " + std::string(file) + " is damaged",
          std::move(detail)};
}

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t value = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// The value of the line "<key>: <value>"; nullopt when there is none.
std::optional<std::string_view> value_of(const std::vector<std::string_view>& lines,
                                         std::string_view key) {
  for (const auto line : lines) {
    if (line.size() > key.size() + 2 && line.starts_with(key) &&
        line.substr(key.size(), 2) == ": ") {
      return line.substr(key.size() + 2);
    }
  }
  return std::nullopt;
}

}  // namespace

BackupLabel parse_backup_label(ByteView content) {
  const auto lines = split_lines(as_text(content));
  const auto required = [&](std::string_view key) {
    const auto value = value_of(lines, key);
    if (!value) throw damaged("backup_label", "The line \"" + std::string(key) + "\" is missing.");
    return *value;
  };
  const auto malformed = [](std::string_view key, std::string_view value) {
    return damaged("backup_label", "The line \"" + std::string(key) + "\" is malformed: \"" +
                                       std::string(value.substr(0, 200)) + "\".");
  };

  BackupLabel label;
  const auto start = required("START WAL LOCATION");
  const auto blank = start.find(" (file ");
  const auto lsn = Lsn::parse(start.substr(0, blank));
  if (blank == std::string_view::npos || !lsn || !start.ends_with(')')) {
    throw malformed("START WAL LOCATION", start);
  }
  label.start = *lsn;
  label.start_file = start.substr(blank + 7, start.size() - blank - 8);

  const auto checkpoint_text = required("CHECKPOINT LOCATION");
  const auto checkpoint = Lsn::parse(checkpoint_text);
  if (!checkpoint) throw malformed("CHECKPOINT LOCATION", checkpoint_text);
  label.checkpoint = *checkpoint;

  const auto timeline_text = required("START TIMELINE");
  const auto timeline = parse_number(timeline_text);
  if (!timeline || *timeline == 0) throw malformed("START TIMELINE", timeline_text);
  label.timeline = {*timeline};

  const auto from = required("BACKUP FROM");
  label.from_standby = from == "standby";
  // 13 says "master".
  if (!label.from_standby && from != "primary" && from != "master") {
    throw malformed("BACKUP FROM", from);
  }
  label.label = value_of(lines, "LABEL").value_or("");
  return label;
}

Bytes backup_label_of_whole(ByteView content) {
  Bytes out;
  auto text = as_text(content);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n') + 1);
    const auto whole = line.empty() ? text : line;
    if (!whole.starts_with("INCREMENTAL FROM ")) out.insert(out.end(), whole.begin(), whole.end());
    text.remove_prefix(whole.size());
  }
  return out;
}

std::vector<Tablespace> parse_tablespace_map(ByteView content) {
  std::vector<Tablespace> tablespaces;
  std::string line;
  const auto take_line = [&] {
    if (line.empty()) return;
    const auto blank = line.find(' ');
    const auto oid = parse_number(std::string_view(line).substr(0, blank));
    if (blank == std::string::npos || !oid || blank + 1 >= line.size()) {
      throw damaged("tablespace_map", "A line is malformed: \"" + line.substr(0, 200) + "\".");
    }
    tablespaces.push_back({.oid = *oid, .location = line.substr(blank + 1)});
    line.clear();
  };
  bool escaped = false;
  for (const char c : as_text(content)) {
    if (!escaped && c == '\\') {
      escaped = true;
    } else if (!escaped && (c == '\n' || c == '\r')) {
      take_line();
    } else {
      line.push_back(c);
      escaped = false;
    }
  }
  take_line();
  return tablespaces;
}

std::string format_tablespace_map(const std::vector<Tablespace>& tablespaces) {
  std::string text;
  for (const auto& tablespace : tablespaces) {
    text += std::to_string(tablespace.oid) + " ";
    for (const char c : tablespace.location) {
      if (c == '\n' || c == '\r' || c == '\\') text.push_back('\\');
      text.push_back(c);
    }
    text.push_back('\n');
  }
  return text;
}

}  // namespace walvault
