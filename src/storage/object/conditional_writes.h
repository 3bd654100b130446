// Whether an object store heeds the condition of a write, on which everything rests. It is found
// out with a write of its own before the first that matters, and remembered.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

namespace walvault {

// Thread-safe.
class ConditionalWrites {
 public:
  // `seen`: it was seen to heed it not long ago. `saw` is told when it is seen now; may be empty.
  // `probe` asks the store.
  ConditionalWrites(bool seen, std::function<void()> saw, std::function<bool()> probe)
      : seen_(seen), saw_(std::move(saw)), probe_(std::move(probe)) {}

  // For who deletes: asks, once a process.
  [[nodiscard]] bool are_heeded() {
    const std::scoped_lock lock(mutex_);
    return ask();
  }

  // For who writes: what was seen yesterday is good enough for what a name decides.
  [[nodiscard]] bool may_be_used() {
    const std::scoped_lock lock(mutex_);
    return (seen_ && !heeded_) || ask();
  }

 private:
  bool ask() {
    if (!heeded_) {
      heeded_ = probe_();
      if (*heeded_ && saw_) saw_();
    }
    return *heeded_;
  }

  const bool seen_;
  const std::function<void()> saw_;
  const std::function<bool()> probe_;
  std::mutex mutex_;
  std::optional<bool> heeded_;
};

}  // namespace walvault
