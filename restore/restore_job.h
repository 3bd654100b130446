// One restore from its options to the directory, without a command around it: what
// `walvault restore` does, and whoever else restores.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "app/config.h"
#include "base/reporter.h"
#include "catalog/recovery/proved_plan.h"
#include "catalog/recovery/rival_timeline.h"
#include "datadir/held_directory.h"
#include "restore/restore.h"
#include "restore/restore_options.h"

namespace walvault {

// What a person at a terminal is asked. Each answers nullopt where nobody is there.
struct RestoreQuestions {
  // Which of two timelines that grew beside each other.
  std::function<std::optional<TimelineId>(const TimelineChoice&)> which_timeline =
      [](const TimelineChoice&) { return std::nullopt; };
  // Whether the restored server takes the original's place, where nothing tells.
  std::function<std::optional<bool>()> is_original = [] { return std::nullopt; };
};

// The steps in their order: make one, plan, carry out. Not thread-safe.
class RestoreJob {
 public:
  // Before anything is touched: compares the places, and locks the directory if it is there.
  // Error{usage} for options that make no sense; {conflict} where places overlap, or another
  // restore is at work. The references must outlive the job.
  RestoreJob(const Config& config, const RestoreOptions& options, const Reporter& reporter);

  // Saves what a replaced directory alone has, chooses backup and WAL, proves them, and looks
  // whether there is room. Writes nothing else. Errors as plan_proved_recovery,
  // prepare_replacement and check_destination.
  void plan(const Repository& repository, const RestoreQuestions& questions = {});

  // After plan().
  [[nodiscard]] const ProvedPlan& proved() const { return *proved_; }
  [[nodiscard]] const RestoreRequest& request() const { return request_; }
  [[nodiscard]] WalGeometry geometry() const { return archive_->identity().geometry; }

  // Reads the WAL that replay needs, records which timelines a restore as the original leaves,
  // then restores. `run`: random, of this run. `begins` is
  // called when all of that WAL is known to be whole; `written` from any thread.
  RestoreResult carry_out(const RandomId& run, const std::function<void()>& begins,
                          const std::function<void(std::uint64_t bytes)>& written);

 private:
  void choose(const std::vector<ClusterIdentity>& identities, const RestoreQuestions& questions);
  void settle_recovery_settings(const RestoreQuestions& questions);
  void record_what_is_left() const;
  void check_places();
  void expect_owner() const;

  const Config& config_;
  const RestoreOptions& options_;
  const Reporter& reporter_;
  std::string cluster_;
  PlanRequest wanted_;
  RestoreRequest request_;
  HeldDirectory held_;

  const Repository* repository_ = nullptr;
  std::optional<WalArchive> archive_;
  std::optional<ProvedPlan> proved_;
  bool takes_place_ = false;  // of the server whose WAL was archived
};

}  // namespace walvault
