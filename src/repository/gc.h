// Returns the space of packs that nothing refers to, beside running writers and
// other gcs, with no lock and no clock: docs/repository-format.md, "Deleting while
// others write". Age decides only when a writer is taken for dead, and never
// whether a commit is kept.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/reporter.h"
#include "repository/repository.h"

namespace walvault {

struct GcOptions {
  // Between condemning and deleting: longer than any cache of directories or
  // listings lives, so that what a writer put before it looked is seen.
  std::chrono::milliseconds grace{std::chrono::minutes(2)};
  // A writer that began longer ago and has not committed is given up.
  std::chrono::milliseconds give_up_after{std::chrono::hours(48)};
  // No other gc is at work: plans that are there are of such as were ended by force.
  bool alone = false;
};

struct GcReport {
  std::uint64_t packs = 0;  // that were there
  std::uint64_t pack_bytes = 0;
  // Those that nothing refers to, or did not in the case of a dry run.
  std::uint64_t dead_packs = 0;
  std::uint64_t dead_bytes = 0;
  // Of these, what was deleted. Less only where a backup committed meanwhile
  // refers to the rest.
  std::uint64_t deleted_packs = 0;
  std::uint64_t deleted_bytes = 0;
  // Of the packs that the backups of each cluster refer to.
  std::map<std::string, std::uint64_t> cluster_bytes;
  std::vector<std::string> running;   // root keys of writers that may still commit
  std::vector<std::string> given_up;  // of those that cannot any more
};

// `run` names this run's plan. Error{corrupt} when a root or a pin is damaged: what
// it needs is not known, and nothing is deleted.
[[nodiscard]] GcReport collect_garbage(const Repository& repository, Clock& clock,
                                       const RandomId& run, const GcOptions& options,
                                       const Reporter& reporter = {});

// What that would delete; writes nothing.
[[nodiscard]] GcReport find_garbage(const Repository& repository);

}  // namespace walvault
