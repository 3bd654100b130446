// Brings trees to another repository, object for object: the same packs under the same
// names, then the same root under the same key. What the other has already is not
// brought again.
//
// At the destination this is a writer among others (docs/repository-format.md,
// "Deleting while others write", "Copies"), in this order:
//   1. read the roots, and PUT a pin for each that names all of its packs, brought or
//      there already;
//   2. then LIST the plans of gcs, until none names a pack of them: a name that is
//      brought here a second time must not be on the list of one who deletes;
//   3. then LIST the packs that are there, and PUT those that are not;
//   4. put_if_absent of each root: the commit.
// Each run has pins of its own, which nobody else removes as long as the root may come.
// Nothing is written at the source.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/reporter.h"
#include "repository/repository.h"
#include "repository/tree.h"

namespace walvault {

struct TreeCopyOptions {
  unsigned jobs = 2;  // packs on their way at once, each in memory
  // How long a gc at the destination is waited for.
  std::chrono::milliseconds wait_max{std::chrono::minutes(10)};
};

struct TreeCopied {
  std::uint64_t packs = 0;  // that were brought
  std::uint64_t bytes = 0;
  std::uint64_t packs_there = 0;  // before
};

// Not thread-safe.
class TreeCopier {
 public:
  // The references must outlive the copier. `run`: random, of this run. `meter` is told of
  // stored bytes before they are read, from any thread, and may throw.
  TreeCopier(const Repository& from, const Repository& to, Clock& clock, const RandomId& run,
             TreeCopyOptions options, Reporter reporter, Meter meter);

  // Step 1 for one root. False: it is not at the source any more. Error{corrupt}: it is
  // damaged there. `with_pin` false: for who only wants to know what would be brought.
  [[nodiscard]] bool add(const std::string& root_key, bool with_pin = true);

  // Steps 2 and 3, behind all of those: what is there. Error{unavailable} when gcs do
  // not come to an end.
  void look();
  // Step 3 alone, for who only wants to know.
  void look_without_waiting() { find_there(); }

  // As if the packs of a root that was added were brought.
  [[nodiscard]] TreeCopied pretend(const std::string& root_key);

  // Brings the packs. nullopt: the source has the root no more. Error{corrupt} names a
  // pack that is damaged on either side.
  [[nodiscard]] std::optional<TreeCopied> bring_packs(const std::string& root_key);

  // Step 4, of the root whose packs were brought last. False: it was deleted there
  // meanwhile, and stays so. Error{conflict} where its key holds something else, or was
  // closed.
  [[nodiscard]] bool commit();

  // For a root that will not be committed: what was brought for it is gc's. That it cannot be
  // done is no error.
  void give_up(const std::string& root_key);

  // Closes the keys of roots that an earlier run began, which the source has no more, and
  // which no other repository is being copied from: what was brought for them is gc's.
  void close_lost();

  // Before further roots are added: of earlier ones nothing is asked any more.
  void forget_added() { wanted_.clear(); }

 private:
  struct StoredRoot {
    std::string key;
    Bytes bytes;
    PackTable packs;
  };
  [[nodiscard]] std::optional<StoredRoot> find_root(const std::string& root_key) const;
  [[nodiscard]] std::string pin_key_of(const std::string& root_key) const;
  [[nodiscard]] bool is_condemned() const;
  void find_there();
  [[nodiscard]] bool bring(const PackTable::Entry& entry);

  const Repository& from_;
  const Repository& to_;
  Clock& clock_;
  const TreeCopyOptions options_;
  const Reporter reporter_;
  const Meter meter_;
  const WriterId writer_;
  const std::string run_;
  bool removes_pins_ = true;
  std::map<PackName, std::uint64_t> wanted_;  // of all roots, with their sizes
  std::map<PackName, std::uint64_t> there_;   // of those, at the destination
  std::optional<StoredRoot> brought_;
};

// The writer in whose name a repository's content is copied to another one, the same in
// each run: so a later one finds what an earlier one left.
[[nodiscard]] WriterId copying_writer(const Repository& from);

// Pins of copies say that they were made then. Age gives none of them up: what a copy that
// was broken off has brought waits for the next one.
inline constexpr Timestamp copied_for_ever = Timestamp::max();

}  // namespace walvault
