#include "catalog/verification/verify_journal.h"

namespace walvault {
namespace {

// How long at most what was found is not on record.
constexpr std::chrono::minutes save_interval{1};

}  // namespace

VerifyJournal::VerifyJournal(const Repository& repository, Clock& clock, const RandomId& run,
                             std::function<void(const std::string&)> warn)
    : repository_(repository),
      clock_(clock),
      run_(run),
      warn_(std::move(warn)),
      started_(clock.now()),
      saved_(clock.steady()) {
  auto stored = load_verified(repository);
  known_ = std::move(stored.record);
  replaced_ = std::move(stored.keys);
}

bool VerifyJournal::is_pack_right(const PackName& pack, VerifyTier tier,
                                  std::chrono::milliseconds age) const {
  const auto it = known_.packs.find(pack);
  return it != known_.packs.end() && it->second.is_right_since(tier, started_ - age);
}

bool VerifyJournal::is_segment_right(const std::string& branch_prefix, std::uint64_t number,
                                     VerifyTier tier, std::chrono::milliseconds age) const {
  const auto it = known_.segments.find(branch_prefix);
  return it != known_.segments.end() && it->second.of(number).is_right_since(tier, started_ - age);
}

bool VerifyJournal::is_tree_right(const std::string& root_key,
                                  std::chrono::milliseconds age) const {
  const auto it = known_.trees.find(root_key);
  return it != known_.trees.end() && it->second.is_right_since(VerifyTier::deep, started_ - age);
}

template <typename Change>
void VerifyJournal::note(Change&& change) {
  change(known_);
  change(fresh_);
}

void VerifyJournal::note_pack(const PackName& pack, VerifyTier tier) {
  note([&](VerifiedRecord& record) { record.packs[pack].note(tier, started_); });
}

void VerifyJournal::note_damaged_pack(const PackName& pack) {
  note([&](VerifiedRecord& record) { record.packs[pack].damaged = started_; });
}

void VerifyJournal::note_segment(const std::string& branch_prefix, std::uint64_t number,
                                 VerifyTier tier) {
  VerifyTimes times;
  times.note(tier, started_);
  note([&](VerifiedRecord& record) {
    record.segments[branch_prefix].note(number, number + 1, times);
  });
}

void VerifyJournal::note_damaged_segment(const std::string& branch_prefix, std::uint64_t number) {
  VerifyTimes times;
  times.damaged = started_;
  note([&](VerifiedRecord& record) {
    record.segments[branch_prefix].note(number, number + 1, times);
  });
}

void VerifyJournal::note_tree(const std::string& root_key) {
  note([&](VerifiedRecord& record) { record.trees[root_key].note(VerifyTier::deep, started_); });
}

void VerifyJournal::note_damaged_tree(const std::string& root_key) {
  note([&](VerifiedRecord& record) { record.trees[root_key].damaged = started_; });
}

void VerifyJournal::forget_segments_before(const std::string& branch_prefix, std::uint64_t number) {
  known_.segments[branch_prefix].forget(0, number);
}

void VerifyJournal::save_when_due() {
  if (clock_.steady() - saved_ >= save_interval) save();
}

void VerifyJournal::save() noexcept {
  try {
    saved_ = clock_.steady();
    const bool is_empty = fresh_.packs.empty() && fresh_.segments.empty() && fresh_.trees.empty();
    if (cannot_record_ || is_empty) return;
    replaced_.push_back(put_verified(repository_, run_, ++parts_, fresh_));
    fresh_ = {};
  } catch (const Error& error) {
    warn(error);
  } catch (...) {
    cannot_record_ = true;
  }
}

void VerifyJournal::warn(const Error& error) {
  if (!cannot_record_) {
    warn_("cannot put on record what was verified: " + one_line(error));
  }
  cannot_record_ = true;
}

void VerifyJournal::finish(VerifyRun run, const std::function<bool(const PackName&)>& is_there) {
  run.started = started_;
  run.finished = clock_.now();
  known_.note_run(run);
  std::erase_if(known_.packs, [&](const auto& pack) { return !is_there(pack.first); });
  auto& storage = repository_.storage();
  try {
    std::erase_if(known_.trees, [&](const auto& tree) { return !storage.find_size(tree.first); });
    (void)put_verified(repository_, run_, ++parts_, known_);
    if (!replaced_.empty()) storage.remove(replaced_);
  } catch (const Error& error) {
    warn(error);
  }
}

}  // namespace walvault
