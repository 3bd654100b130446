#include "restore/fetch/recovery_pin.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

constexpr int version = 1;
constexpr std::size_t pin_bytes_max = 1 << 20;

}  // namespace

bool RecoveryPin::needs(const SegmentName& segment) const {
  return std::ranges::any_of(runs, [&](const WalRun& run) {
    return run.timeline == segment.timeline && segment.number >= run.first &&
           segment.number - run.first < run.segments;
  });
}

std::string encode_recovery_pin(const RecoveryPin& pin) {
  auto branches = ordered_json::array();
  for (const auto& branch : pin.branches) branches.push_back(branch.text());
  auto runs = ordered_json::array();
  for (const auto& run : pin.runs) {
    runs.push_back({{"timeline", run.timeline.value},
                    {"first_segment", run.first},
                    {"segments", run.segments}});
  }
  const ordered_json document = {
      {"walvault_recovery_plan", version},
      {"repository", {{"id", pin.repository_id}, {"url", pin.repository_url}}},
      {"cluster", pin.cluster},
      {"identity", pin.identity},
      {"system_identifier", std::to_string(pin.system_identifier)},
      {"timeline", pin.timeline.value},
      {"branches", branches},
      {"runs", runs},
      {"partial", pin.partial}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

RecoveryPin decode_recovery_pin(ByteView content, const std::string& path) try {
  const auto document = ordered_json::parse(as_text(content));
  if (document.at("walvault_recovery_plan").get<int>() != version) {
    throw Error(ErrorKind::corrupt, "it is of another version");
  }
  RecoveryPin pin;
  pin.repository_id = document.at("repository").at("id");
  pin.repository_url = document.at("repository").at("url");
  pin.cluster = document.at("cluster");
  pin.identity = document.at("identity");
  pin.system_identifier = std::stoull(document.at("system_identifier").get<std::string>());
  pin.timeline = {document.at("timeline").get<std::uint32_t>()};
  for (const auto& text : document.at("branches")) {
    const auto branch = TimelineBranch::parse(text.get<std::string>());
    if (!branch) throw Error(ErrorKind::corrupt, text.dump() + " is no branch of a timeline");
    pin.branches.push_back(*branch);
  }
  for (const auto& run : document.at("runs")) {
    pin.runs.push_back({.timeline = {run.at("timeline").get<std::uint32_t>()},
                        .first = run.at("first_segment"),
                        .segments = run.at("segments")});
  }
  pin.partial = document.at("partial");
  if (pin.timeline == TimelineId{}) throw Error(ErrorKind::corrupt, "it names no timeline");
  return pin;
} catch (const std::exception& error) {
  throw Error(ErrorKind::corrupt, "the plan of this recovery cannot be read: " + path, error.what(),
              "Restore again. With an empty file walvault-fetch delivers what is archived now.");
}

std::optional<RecoveryPin> find_recovery_pin(const std::string& path) {
  if (!find_status(path)) return std::nullopt;
  const auto content = read_file(path, pin_bytes_max);
  return content.empty() ? std::nullopt : std::optional(decode_recovery_pin(content, path));
}

}  // namespace walvault
