// What a restore tells walvault-fetch: the line that it writes, and how that is read. Both
// sides lie here, so that neither changes without the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command_line.h"
#include "app/config.h"
#include "catalog/records/timeline_branch.h"

namespace walvault {

struct FetchRequest {
  // What PostgreSQL fills in: %f and %p.
  std::string name;
  std::string destination;
  // Which of the cluster's identities is recovered; nullopt: the newest.
  std::optional<std::string> identity = {};
  std::vector<std::string> branches = {};  // "2-0"
  // The object of a segment that may be delivered as far as it was written; empty for none.
  std::string partial = {};
  std::optional<std::string> prefetch = {};
  bool standby = false;
};

// Declares the options of walvault-fetch. `request` must outlive the parsing.
void add_fetch_options(CommandLine& command_line, FetchRequest& request);

// The value of restore_command: `program` with the options of `request`, then %f and %p, whatever
// its name and destination say. Words are quoted for a shell, percent signs for PostgreSQL.
[[nodiscard]] std::string fetch_line(const std::string& program, const Config& config,
                                     const std::string& cluster, const FetchRequest& request);

// Error{usage} for a text that is no branch.
[[nodiscard]] std::vector<TimelineBranch> parse_branches(const std::vector<std::string>& texts);

}  // namespace walvault
