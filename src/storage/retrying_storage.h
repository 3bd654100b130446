// Adds patience to any Storage: an operation that throws a transient
// Error{unavailable} is repeated after a growing pause, everything else passes
// through. A put_if_absent whose lost first try went through answers false on
// the second, as its contract allows.
#pragma once

#include <chrono>
#include <memory>

#include "base/clock.h"
#include "storage/storage.h"

namespace walvault {

struct RetryPolicy {
  int tries_max = 4;
  std::chrono::milliseconds first_pause{50};  // doubles with each try
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
  [[nodiscard]] std::string url() const override { return inner_->url(); }

 private:
  template <typename Operation>
  auto with_retries(Operation&& operation);

  std::unique_ptr<Storage> inner_;
  Clock& clock_;
  RetryPolicy policy_;
};

}  // namespace walvault
