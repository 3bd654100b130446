#include "maintenance/repair_run.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/program_reporter.h"
#include "app/progress.h"
#include "catalog/repair/repository_repair.h"

namespace walvault {
namespace {

using nlohmann::ordered_json;

// So many lines of a list a person reads; --json has more.
constexpr std::size_t lines_max = 20;

template <typename List, typename Each>
std::string lines_of(const List& list, Each&& each) {
  std::string text;
  for (std::size_t i = 0; i < std::min(list.size(), lines_max); ++i) {
    text.append("  ").append(each(list[i])).append("\n");
  }
  if (list.size() > lines_max) {
    text += "  and " + std::to_string(list.size() - lines_max) + " more: see --json\n";
  }
  return text;
}

}  // namespace

RepairReport repair_from(Program& program, const Repository& repository,
                         const std::vector<RepositoryConfig>& sources,
                         const RepairOptions& options) {
  RepairRequest request{.run = program.writer(),
                        .jobs = options.jobs,
                        .dry_run = options.dry_run,
                        .was_verified = options.was_verified};
  RepairReport all;
  const auto repair_with = [&](const Repository* source) {
    std::unique_ptr<Progress> progress;
    auto report = repair_repository(repository, source, system_clock(), request, program_reporter(),
                                    {.total =
                                         [&](std::uint64_t bytes) {
                                           progress = std::make_unique<Progress>(
                                               "repair", bytes, program.shows_progress());
                                         },
                                     .done =
                                         [&](std::uint64_t bytes) {
                                           if (progress) progress->add(bytes);
                                         }});
    std::ranges::move(report.mended, std::back_inserter(all.mended));
    all.unmended = std::move(report.unmended);
    // Runs have names of their own.
    ++request.run[1];
    request.was_verified = true;
  };
  if (sources.empty()) repair_with(nullptr);
  for (const auto& place : sources) {
    const auto source = open_repository(program.config(), place, program.writer());
    repair_with(&source.repository);
    if (all.is_whole()) break;
  }
  return all;
}

ordered_json repair_json(const RepairReport& report, bool dry_run) {
  ordered_json mended = ordered_json::array();
  for (const auto& each : report.mended) mended.push_back({{"key", each.key}, {"how", each.how}});
  ordered_json unmended = ordered_json::array();
  for (const auto& each : report.unmended) {
    unmended.push_back({{"key", each.key}, {"why", each.why}});
  }
  return {{"dry_run", dry_run},
          {"whole", report.is_whole()},
          {"mended", mended},
          {"unmended", unmended}};
}

std::string repair_text(const RepairReport& report, bool dry_run) {
  std::string text;
  if (report.mended.empty()) {
    text += report.is_whole() ? "Nothing is missing or damaged.\n" : "Nothing could be mended.\n";
  } else {
    text += dry_run ? "Would be mended:\n" : "Mended:\n";
    text += lines_of(report.mended,
                     [](const MendedObject& each) { return each.key + ": " + each.how; });
  }
  if (report.unmended.empty()) return text;
  text += "NOT mended:\n";
  text += lines_of(report.unmended,
                   [](const UnmendedObject& each) { return each.key + ": " + each.why; });
  return text +
         "What that costs: walvault verify. If it cannot be had from another repository either: "
         "walvault backup stores the data again.\n";
}

}  // namespace walvault
