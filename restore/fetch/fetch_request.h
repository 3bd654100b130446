// What a restore tells walvault-fetch: the line that it writes, and how that is read. Both
// sides lie here, so that neither changes without the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/command_line.h"
#include "app/config.h"
#include "restore/fetch/recovery_pin.h"

namespace walvault {

struct FetchRequest {
  // What PostgreSQL fills in: %f and %p.
  std::string name;
  std::string destination;
  // Which of the cluster's identities is recovered; nullopt: the newest.
  std::optional<std::string> identity = {};
  std::string plan = {};  // the file of the pinned plan; empty: there is none
  // Of what is not pinned, as restores of earlier versions wrote it.
  std::vector<std::string> branches = {};  // "2-0"
  std::string partial = {};                // as RecoveryPin::partial
  std::optional<std::string> prefetch = {};
  bool standby = false;
};

// Declares the options of walvault-fetch. `request` must outlive the parsing.
void add_fetch_options(CommandLine& command_line, FetchRequest& request);

// The value of restore_command: `program` with the options of `request`, then %f and %p, whatever
// its name and destination say. Words are quoted for a shell, percent signs for PostgreSQL.
[[nodiscard]] std::string fetch_line(const std::string& program, const Config& config,
                                     const std::string& cluster, const FetchRequest& request);

// Of a command in PostgreSQL's configuration: a percent sign would be taken for one of its own.
[[nodiscard]] std::string percent_escaped(const std::string& line);

// What binds of it: the pinned plan while there is one, else what the options say. Error{usage} for
// a text that is no branch, {corrupt} for a plan that cannot be read.
[[nodiscard]] RecoveryPin pin_of(const FetchRequest& request);

}  // namespace walvault
