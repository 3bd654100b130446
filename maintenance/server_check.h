// What a server's settings mean for its backups: one finding for each, with
// the line that mends it. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace walvault {

enum class Verdict { good, warning, bad };

struct Finding {
  std::string name;  // of the setting, or of what was tried
  Verdict verdict = Verdict::good;
  std::string text;    // what was found
  std::string advice;  // the line for postgresql.conf, or what to do; empty when good
};

[[nodiscard]] Finding good(const std::string& name, const std::string& text);
[[nodiscard]] Finding warning(const std::string& name, const std::string& text,
                              const std::string& advice);
[[nodiscard]] Finding bad(const std::string& name, const std::string& text,
                          const std::string& advice);

// A failure as a finding: the error's words.
[[nodiscard]] Finding bad(const std::string& name, const Error& error);

[[nodiscard]] std::string verdict_name(Verdict verdict);

// The settings that judge_settings looks at.
[[nodiscard]] const std::vector<std::string>& judged_settings();

// `values` as SHOW gives them; one that is missing could not be seen.
// `archive_command` is the line to recommend.
[[nodiscard]] std::vector<Finding> judge_settings(const std::map<std::string, std::string>& values,
                                                  const std::string& archive_command);

// pg_stat_archiver: what failed last, if nothing was archived since. Times as
// the server writes them.
struct ArchiverState {
  std::optional<std::string> failing_file;
  std::string failing_since;
};
[[nodiscard]] Finding judge_archiver(const ArchiverState& state);

}  // namespace walvault
