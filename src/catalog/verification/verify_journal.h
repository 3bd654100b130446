// What one run of verification has found, put on record in the repository as it goes
// along, so that a run that is ended has not worked in vain.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "catalog/records/verified.h"

namespace walvault {

// Not thread-safe.
class VerifyJournal {
 public:
  // Reads what earlier runs have found. That something cannot be put on record is told
  // to `warn`, once, and is no error. The references must outlive the journal.
  VerifyJournal(const Repository& repository, Clock& clock, const RandomId& run,
                std::function<void(const std::string&)> warn);

  [[nodiscard]] Timestamp started() const { return started_; }

  // Found right by that tier within `age` before this run began, and not found damaged
  // since.
  [[nodiscard]] bool is_pack_right(const PackName& pack, VerifyTier tier,
                                   std::chrono::milliseconds age) const;
  [[nodiscard]] bool is_segment_right(const std::string& branch_prefix, std::uint64_t number,
                                      VerifyTier tier, std::chrono::milliseconds age) const;
  [[nodiscard]] bool is_tree_right(const std::string& root_key,
                                   std::chrono::milliseconds age) const;

  void note_pack(const PackName& pack, VerifyTier tier);
  void note_damaged_pack(const PackName& pack);
  void note_segment(const std::string& branch_prefix, std::uint64_t number, VerifyTier tier);
  void note_damaged_segment(const std::string& branch_prefix, std::uint64_t number);
  void note_tree(const std::string& root_key);
  void note_damaged_tree(const std::string& root_key);

  // There are no segments before this one any more.
  void forget_segments_before(const std::string& branch_prefix, std::uint64_t number);

  // Puts what was noted since the last time on record; `when_due` where that is more
  // than a minute ago.
  void save() noexcept;
  void save_when_due();

  // Puts one record in place of all that are there: of this run and of those before it,
  // without packs and backups that are not there any more.
  void finish(VerifyRun run, const std::function<bool(const PackName&)>& is_there);

 private:
  template <typename Change>
  void note(Change&& change);
  void warn(const Error& error);

  const Repository& repository_;
  Clock& clock_;
  const RandomId run_;
  std::function<void(const std::string&)> warn_;
  const Timestamp started_;
  VerifiedRecord known_;               // before this run, and what it adds
  VerifiedRecord fresh_;               // what it adds, since the last save
  std::vector<std::string> replaced_;  // keys of records that known_ has taken over
  std::uint32_t parts_ = 0;
  bool cannot_record_ = false;
  SteadyTime saved_;
};

}  // namespace walvault
