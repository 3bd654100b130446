// Credentials that run out and are loaded anew.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "base/error.h"

namespace walvault {

// `Credentials` are compared with ==, and have a member `expires`: an optional Timestamp.
// Thread-safe.
template <typename Credentials>
class RenewedCredentials {
 public:
  using Load = std::function<Credentials()>;

  // `load` is called for the first request, and whenever the credentials run out or are refused
  // as expired. `clock` must outlive this.
  RenewedCredentials(Load load, Clock& clock) : load_(std::move(load)), clock_(clock) {}

  [[nodiscard]] Credentials get() {
    const std::scoped_lock lock(mutex_);
    const bool runs_out =
        known_ && known_->expires && clock_.now() + renew_before >= *known_->expires;
    if (!known_) known_ = load_();
    if (runs_out && clock_.steady() >= renew_again_) {
      // Those that there are may still do: whoever gives them may be away for a moment,
      // and is not asked for each request.
      renew_again_ = clock_.steady() + renew_pause;
      try {
        known_ = load_();
      } catch (const Error&) {
        if (clock_.now() >= *known_->expires) throw;
      }
    }
    return *known_;
  }

  // The store refused these. False: there are no others.
  [[nodiscard]] bool renew(const Credentials& refused) {
    const std::scoped_lock lock(mutex_);
    // Another thread may have been refused before.
    if (known_ == refused) known_ = load_();
    return known_ != refused;
  }

 private:
  // So long before they run out they are renewed: a request that is signed now may be judged
  // minutes later.
  static constexpr std::chrono::minutes renew_before{5};
  static constexpr std::chrono::seconds renew_pause{30};

  const Load load_;
  Clock& clock_;
  std::mutex mutex_;
  std::optional<Credentials> known_;
  SteadyTime renew_again_{};  // not before this
};

}  // namespace walvault
