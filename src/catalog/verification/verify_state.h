// What the parts of a verification share: what is in scope, what was found so far. Its parts in
// their order: VerifyScope, ObjectReader, ContentReader, and verification.cpp, which tells what
// it costs.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rate_limit.h"
#include "base/reporter.h"
#include "catalog/verification/verification.h"
#include "catalog/verification/verify_journal.h"
#include "repository/damaged_packs.h"
#include "repository/reader_pin.h"
#include "repository/tree_check.h"

namespace walvault {

// A backup in scope.
struct Subject {
  BackupInfo info;
  std::string root_key;
  PackTable packs;
  bool readable = true;
};

struct PackState {
  std::uint64_t size = 0;
  // What the trees that need it are asked for: nothing, its content, or, when it
  // cannot be read, nothing either and all of it is lost.
  PackTask task = PackTask::skip;
  bool faulty = false;
  // Trees that need it and were not read to the end.
  std::size_t trees_left = 0;
};

struct VerifyState {
  VerifyState(const Repository& repository_verified, Clock& clock_used, const RandomId& run_id,
              const VerifyRequest& asked, const Reporter& told, const Meter& shown)
      : repository(repository_verified),
        storage(repository.storage()),
        clock(clock_used),
        run(run_id),
        request(asked),
        reporter(told),
        progress(shown),
        journal(repository, clock, run, reporter.warn),
        limit(clock, request.bytes_per_second) {}

  [[nodiscard]] bool is_deep() const { return request.tier == VerifyTier::deep; }

  // From any thread: so many bytes are about to be read.
  void meter(std::uint64_t bytes);

  void add_damage(std::string key, DamageKind kind, std::string why);
  BackupDamage& damage_of(const Subject& subject) {
    return damage_in(report.damaged_backups, subject.info);
  }

  // A bit of an envelope makes an object look like a newer program's.
  static bool is_damage(const Error& error) {
    return error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::conflict;
  }

  // What an action on one object throws because that object cannot be read, while
  // the repository can. Anything else is thrown on.
  template <typename Action>
  std::optional<std::string> unreadable(Action&& action) {
    try {
      action();
      return std::nullopt;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unavailable) throw;
      if (!holds_repository(storage)) throw;
      return one_line(error);
    }
  }

  // Likewise for one that can be repeated. A repository that was away and has come back
  // in between has made nothing unreadable.
  template <typename Action>
  std::optional<std::string> unreadable_twice(Action&& action) {
    return unreadable(action) ? unreadable(action) : std::nullopt;
  }

  // So that no backup borrows from it; and the reverse.
  void mark(const PackName& name, PackDamage damage);
  void unmark(const PackName& name);

  const Repository& repository;
  Storage& storage;
  Clock& clock;
  const RandomId run;
  const VerifyRequest& request;
  const Reporter& reporter;
  const Meter& progress;
  VerifyJournal journal;
  RateLimit limit;

  bool is_partial = false;  // not all trees that need a pack are in scope
  std::vector<ClusterIdentity> clusters;
  std::vector<Subject> subjects;
  std::map<PackName, PackState> packs;
  std::map<PackName, std::uint64_t> listed;  // needed or not, with their sizes
  std::set<PackName> marked;
  std::map<std::string, DamageKind> damaged_segments;
  std::vector<std::unique_ptr<ReaderPin>> pins;

  std::atomic<std::uint64_t> stored_bytes_read{0};
  std::atomic<std::uint64_t> plain_bytes_read{0};
  std::mutex mutex;  // guards what threads add to the report
  VerifyReport report;
};

}  // namespace walvault
