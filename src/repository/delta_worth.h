// Whether a difference is worth reading what it is made against: measured while a backup
// runs, where the repository is far away and each base takes a request.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

#include "base/clock.h"

namespace walvault {

// Thread-safe.
class DeltaWorth {
 public:
  using Seconds = std::chrono::duration<double>;

  // So many threads read bases, and store packs, at once. `clock`: what they measure by; it
  // must outlive this.
  DeltaWorth(Clock& clock, unsigned readers, unsigned storers)
      : clock_(clock), readers_(readers), storers_(storers) {}

  // Bases are read as long as that takes no more than so many times what storing takes
  // that is saved by it: the space is saved for as long as the backup is kept.
  static constexpr double patience = 4;
  // So many batches are measured before anything is decided.
  static constexpr unsigned batches_min = 8;
  // Where it is not worth it, one batch of so many tries it again.
  static constexpr unsigned trial_every = 32;

  [[nodiscard]] SteadyTime now() const { return clock_.steady(); }

  // Whether bases are to be read for the next batch.
  [[nodiscard]] bool wants_bases();
  // One thread read them in that time, which saved so many bytes.
  void note_read(Seconds took, std::uint64_t saved_bytes);
  // One thread stored a pack.
  void note_stored(Seconds took, std::uint64_t bytes);

 private:
  [[nodiscard]] bool is_worth_it() const;

  Clock& clock_;
  const unsigned readers_;
  const unsigned storers_;
  std::mutex mutex_;
  // Older measurements count less and less.
  double read_seconds_ = 0;
  double saved_bytes_ = 0;
  // Before the first pack is stored, of a middling line.
  double store_seconds_ = 1;
  double stored_bytes_ = 16e6;
  unsigned batches_ = 0;  // measured
  unsigned passed_by_ = 0;
};

}  // namespace walvault
