// A Storage decorator that fails once, at the call it is told to.
#pragma once

#include <atomic>
#include <functional>

#include "base/error.h"
#include "storage/storage.h"

namespace walvault {

enum class Fault {
  transient,   // nothing was done; trying again may help
  permanent,   // nothing was done
  lost_reply,  // it was done, but the answer is an error; trying again may help
};

// Counts calls from 1. Thread-safe.
class FaultyStorage final : public Storage {
  template <typename Operation>
  auto faulty(Operation&& operation) {
    const bool fails = ++calls_ == failing_call_;
    if (fails && fault_ != Fault::lost_reply) fail();
    if constexpr (std::is_void_v<decltype(operation())>) {
      operation();
      if (fails) fail();
    } else {
      auto result = operation();
      if (fails) fail();
      return result;
    }
  }

 public:
  explicit FaultyStorage(Storage& inner) : inner_(inner) {}

  // From here on calls count from 1 again, and number `call` fails.
  void fail_at(int call, Fault fault) {
    calls_ = 0;
    failing_call_ = call;
    fault_ = fault;
  }
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] bool has_failed() const { return calls_ >= failing_call_; }

  bool put_if_absent(std::string_view key, const ObjectContent& content) override {
    return faulty([&] { return inner_.put_if_absent(key, content); });
  }
  std::optional<Bytes> find(std::string_view key, ByteRange range) override {
    return faulty([&] { return inner_.find(key, range); });
  }
  std::optional<std::uint64_t> find_size(std::string_view key) override {
    return faulty([&] { return inner_.find_size(key); });
  }
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override {
    faulty([&] { inner_.list(prefix, each); });
  }
  std::vector<std::string> list_names(std::string_view prefix) override {
    return faulty([&] { return inner_.list_names(prefix); });
  }
  void remove(const std::vector<std::string>& keys) override {
    faulty([&] { inner_.remove(keys); });
  }
  void settle(const std::vector<std::string>& keys) override {
    faulty([&] { inner_.settle(keys); });
  }
  Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                           const IsWhole& is_whole) override {
    return faulty([&] { return inner_.replace_damaged(key, content, is_whole); });
  }
  std::uint64_t remove_leftovers(Timestamp time) override { return inner_.remove_leftovers(time); }
  bool has_conditional_writes() override { return true; }
  std::string url() const override { return inner_.url(); }

 private:
  [[noreturn]] void fail() const {
    auto error = Error(ErrorKind::unavailable, "this call fails in this test");
    if (fault_ == Fault::permanent) throw error;
    throw std::move(error).transient();
  }

  Storage& inner_;
  std::atomic<int> calls_{0};
  int failing_call_ = 0;
  Fault fault_ = Fault::permanent;
};

}  // namespace walvault
