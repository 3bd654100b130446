#include "restore/fetch/fetch_request.h"

#include "base/error.h"
#include "base/format.h"
#include "base/path.h"

namespace walvault {

void add_fetch_options(CommandLine& command_line, FetchRequest& request) {
  command_line.argument("NAME", request.name, "The file asked for, as PostgreSQL passes it in %f");
  command_line.argument("DESTINATION", request.destination,
                        "The file to write, as PostgreSQL passes it in %p");
  command_line.option("--identity", request.identity,
                      "Which of the cluster's identities is recovered. Default: the newest");
  command_line.option("--plan", request.plan,
                      "The file with the plan, which binds while it is there");
  command_line.option(
      "--branch", request.branches,
      "TIMELINE-BRANCH: the branch to use of a timeline that was set aside (repeatable)");
  command_line.option("--partial", request.partial,
                      "The segment that may be delivered as far as it was written");
  command_line.option("--prefetch", request.prefetch,
                      "How many segments to fetch ahead, into a directory beside the data "
                      "directory; 0 for none");
  command_line.flag("--standby", request.standby,
                    "The server is a standby: leave missing segments to streaming");
}

std::string fetch_line(const std::string& program, const Config& config, const std::string& cluster,
                       const FetchRequest& request) {
  auto line = shell_quoted(program);
  const auto add = [&](const std::string& option, const std::string& value) {
    line += " " + option + " " + value;
  };
  if (!config.path.empty()) add("--config", shell_quoted(absolute_path(config.path)));
  add("--repo", shell_quoted(config.repository_text()));
  add("--cluster", cluster);
  if (request.identity) add("--identity", *request.identity);
  if (!request.plan.empty()) add("--plan", shell_quoted(request.plan));
  for (const auto& branch : request.branches) add("--branch", branch);
  if (request.standby) line += " --standby";
  if (request.prefetch) add("--prefetch", *request.prefetch);
  return percent_escaped(line) + " %f %p";
}

std::string percent_escaped(const std::string& line) {
  std::string escaped;
  for (const char c : line) {
    escaped.push_back(c);
    if (c == '%') escaped.push_back(c);
  }
  return escaped;
}

RecoveryPin pin_of(const FetchRequest& request) {
  if (!request.plan.empty()) {
    if (auto pinned = find_recovery_pin(request.plan)) return *std::move(pinned);
  }
  RecoveryPin pin;
  pin.partial = request.partial;
  for (const auto& text : request.branches) {
    const auto branch = TimelineBranch::parse(text);
    if (!branch) {
      throw Error(ErrorKind::usage, "\"" + text + "\" is not a value for --branch",
                  "A timeline and a branch are expected, such as 2-0.");
    }
    pin.branches.push_back(*branch);
  }
  return pin;
}

}  // namespace walvault
