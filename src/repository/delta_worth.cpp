#include "repository/delta_worth.h"

namespace walvault {
namespace {

constexpr double kept = 0.95;  // of what older measurements count, with each new one

}  // namespace

bool DeltaWorth::wants_bases() {
  const std::lock_guard lock(mutex_);
  if (batches_ < batches_min || is_worth_it()) return true;
  return ++passed_by_ % trial_every == 0;
}

void DeltaWorth::note_read(Seconds took, std::uint64_t saved_bytes) {
  const std::lock_guard lock(mutex_);
  read_seconds_ = read_seconds_ * kept + took.count();
  saved_bytes_ = saved_bytes_ * kept + static_cast<double>(saved_bytes);
  ++batches_;
}

void DeltaWorth::note_stored(Seconds took, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  store_seconds_ = store_seconds_ * kept + took.count();
  stored_bytes_ = stored_bytes_ * kept + static_cast<double>(bytes);
}

bool DeltaWorth::is_worth_it() const {
  const auto seconds_a_byte = store_seconds_ / stored_bytes_ / storers_;
  return read_seconds_ / readers_ <= patience * saved_bytes_ * seconds_a_byte;
}

}  // namespace walvault
