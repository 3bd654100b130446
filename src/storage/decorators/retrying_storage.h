// Adds patience to any Storage: an operation that throws a transient
// Error{unavailable} is repeated after a growing pause, everything else passes
// through. A put_if_absent whose lost first try went through answers false on
// the second, as its contract allows.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "storage/storage.h"

namespace walvault {

struct RetryPolicy {
  // No try begins later than this after the first one failed; there is a second
  // one in any case.
  std::chrono::milliseconds patience{400};
  std::chrono::milliseconds first_pause{50};  // doubles with each try
  std::chrono::milliseconds pause_max{10'000};
  // Pauses are shortened by up to a half, each by another part: many clients that
  // were refused at once do not come back at once.
  bool jitter = false;
  // Called before each repetition that is `noticed_from` or more behind the first
  // failure, for somebody who waits and wonders; from any thread.
  std::function<void(const Error&)> notice = {};
  std::chrono::milliseconds noticed_from{2000};
  // Called some times a second during a pause, from any thread; what it throws ends the
  // operation. What clears up behind an exception has ten seconds all the same, together.
  std::function<void()> check_cancelled = {};
};

class RetryingStorage final : public Storage {
 public:
  RetryingStorage(std::unique_ptr<Storage> inner, Clock& clock, RetryPolicy policy = {});

  [[nodiscard]] bool put_if_absent(std::string_view key, const ObjectContent& content) override;
  [[nodiscard]] std::optional<Bytes> find(std::string_view key, ByteRange range) override;
  [[nodiscard]] std::optional<std::uint64_t> find_size(std::string_view key) override;
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override;
  [[nodiscard]] std::vector<std::string> list_names(std::string_view prefix) override;
  void remove(const std::vector<std::string>& keys) override;
  std::uint64_t remove_leftovers(Timestamp before) override;
  void settle(const std::vector<std::string>& keys) override;
  [[nodiscard]] Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                                         const IsWhole& is_whole) override;
  [[nodiscard]] bool has_conditional_writes() override;
  [[nodiscard]] std::string url() const override { return inner_->url(); }

 private:
  // `has_gone_on`: set by an operation that came further than before.
  template <typename Operation>
  auto with_retries(Operation&& operation, bool* has_gone_on = nullptr);

  void wait(std::chrono::milliseconds pause);
  void check_cancelled();

  std::unique_ptr<Storage> inner_;
  Clock& clock_;
  RetryPolicy policy_;
  std::mutex mutex_;
  std::optional<SteadyTime> cancelled_;  // when that was noticed
};

}  // namespace walvault
