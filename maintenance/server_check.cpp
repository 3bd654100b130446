#include "maintenance/server_check.h"

#include <charconv>

#include "base/error.h"
#include "base/format.h"

namespace walvault {
namespace {

// A server that is idle for longer than this without a switch has more to lose
// than an administrator would guess.
constexpr std::chrono::minutes archive_timeout_max{5};

class Judge {
 public:
  explicit Judge(const std::map<std::string, std::string>& values) : values_(values) {}

  // nullopt, and a finding that says so, for a setting that cannot be seen.
  std::optional<std::string> value(const std::string& name) {
    const auto it = values_.find(name);
    if (it != values_.end()) return it->second;
    findings_.push_back({.name = name,
                         .verdict = Verdict::warning,
                         .text = "this user may not see it",
                         .advice = "GRANT pg_read_all_settings TO ...;"});
    return std::nullopt;
  }

  void good(const std::string& name, const std::string& text) {
    findings_.push_back({.name = name, .verdict = Verdict::good, .text = text, .advice = ""});
  }
  void warn(const std::string& name, const std::string& text, const std::string& advice) {
    findings_.push_back(
        {.name = name, .verdict = Verdict::warning, .text = text, .advice = advice});
  }
  void bad(const std::string& name, const std::string& text, const std::string& advice) {
    findings_.push_back({.name = name, .verdict = Verdict::bad, .text = text, .advice = advice});
  }

  // At least `wanted`, or else the verdict.
  void at_least(const std::string& name, int wanted, Verdict otherwise, const std::string& why) {
    const auto text = value(name);
    if (!text) return;
    int number = 0;
    std::from_chars(text->data(), text->data() + text->size(), number);
    if (number >= wanted) return good(name, *text);
    findings_.push_back(
        {.name = name, .verdict = otherwise, .text = *text + ": " + why, .advice = name + " = 10"});
  }

  [[nodiscard]] std::vector<Finding> take() { return std::move(findings_); }

 private:
  const std::map<std::string, std::string>& values_;
  std::vector<Finding> findings_;
};

void judge_archiving(Judge& judge, const std::string& archive_command) {
  const auto command_line = "archive_command = '" + archive_command + "'";
  const auto mode = judge.value("archive_mode");
  if (mode == "off") {
    judge.bad("archive_mode",
              "off: WAL comes only with backups, and no moment between them can be "
              "restored",
              "archive_mode = on   # needs a restart");
    return;
  }
  if (mode) judge.good("archive_mode", *mode);
  const auto command = judge.value("archive_command");
  if (!command) return;
  // SHOW gives this for a command that is set while archiving is off.
  if (command->empty() || *command == "(disabled)") {
    judge.bad("archive_command", "empty: the server keeps its WAL until its disk is full",
              command_line);
  } else if (command->find("walvault-archive") == std::string::npos) {
    judge.warn("archive_command", *command + ": does it call walvault-archive?", command_line);
  } else {
    judge.good("archive_command", *command);
  }
}

void judge_archive_timeout(Judge& judge) {
  const auto text = judge.value("archive_timeout");
  if (!text) return;
  const std::string line = "archive_timeout = 60";
  if (*text == "0") {
    return judge.warn("archive_timeout",
                      "0: the last commits of a quiet server wait until a segment is full", line);
  }
  // SHOW writes a number with its unit: 1min.
  if (parse_duration(*text, "archive_timeout") > archive_timeout_max) {
    return judge.warn("archive_timeout", *text + ": commits are at risk for so long", line);
  }
  judge.good("archive_timeout", *text);
}

}  // namespace

Finding good(const std::string& name, const std::string& text) {
  return {.name = name, .verdict = Verdict::good, .text = text, .advice = ""};
}
Finding warning(const std::string& name, const std::string& text, const std::string& advice) {
  return {.name = name, .verdict = Verdict::warning, .text = text, .advice = advice};
}
Finding bad(const std::string& name, const std::string& text, const std::string& advice) {
  return {.name = name, .verdict = Verdict::bad, .text = text, .advice = advice};
}

Finding bad(const std::string& name, const Error& error) {
  return bad(name, one_line(error), error.hint());
}

std::string verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::good: return "ok";
    case Verdict::warning: return "warning";
    case Verdict::bad: return "failed";
  }
  return {};
}

const std::vector<std::string>& judged_settings() {
  static const std::vector<std::string> names{
      "wal_level",       "archive_mode",          "archive_command",  "archive_timeout",
      "max_wal_senders", "max_replication_slots", "full_page_writes", "data_checksums"};
  return names;
}

std::vector<Finding> judge_settings(const std::map<std::string, std::string>& values,
                                    const std::string& archive_command) {
  Judge judge(values);
  if (const auto level = judge.value("wal_level")) {
    if (*level == "minimal") {
      judge.bad("wal_level", "minimal: the WAL is not enough for a restore",
                "wal_level = replica   # needs a restart");
    } else {
      judge.good("wal_level", *level);
    }
  }
  judge_archiving(judge, archive_command);
  judge_archive_timeout(judge);
  judge.at_least("max_wal_senders", 2, Verdict::bad,
                 "a backup needs one, and another when it streams WAL");
  judge.at_least("max_replication_slots", 1, Verdict::warning, "a backup takes one");
  if (const auto writes = judge.value("full_page_writes")) {
    if (*writes == "off") {
      judge.bad("full_page_writes", "off: a crash may leave torn pages", "full_page_writes = on");
    } else {
      judge.good("full_page_writes", *writes);
    }
  }
  if (const auto checksums = judge.value("data_checksums")) {
    if (*checksums == "off") {
      judge.warn("data_checksums", "off: damaged pages are backed up unnoticed",
                 "pg_checksums --enable, while the server is stopped");
    } else {
      judge.good("data_checksums", *checksums);
    }
  }
  return judge.take();
}

Finding judge_archiver(const ArchiverState& state) {
  if (!state.failing_file) {
    return {.name = "archiver", .verdict = Verdict::good, .text = "nothing fails", .advice = ""};
  }
  return {.name = "archiver",
          .verdict = Verdict::bad,
          .text = "archiving " + *state.failing_file + " failed at " + state.failing_since +
                  ", and nothing was archived since",
          .advice = "Look into the server's log for what the archive_command said."};
}

}  // namespace walvault
