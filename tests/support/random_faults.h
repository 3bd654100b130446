// A Storage decorator that fails at random: nothing was done, or it was done and the answer is
// lost.
#pragma once

#include <atomic>
#include <mutex>
#include <random>

#include "base/error.h"
#include "storage/storage.h"

namespace walvault {

// Thread-safe. The same seed gives the same faults to the same calls; with several threads their
// order is that of the machine.
class RandomFaults final : public Storage {
  enum class Drawn { nothing, undone, answer_lost };

  Drawn draw() {
    const std::lock_guard lock(mutex_);
    if (one_in_ == 0 || random_() % one_in_ != 0) return Drawn::nothing;
    ++faults_;
    return random_() % 2 == 0 ? Drawn::undone : Drawn::answer_lost;
  }

  template <typename Operation>
  auto faulty(Operation&& operation) {
    const auto drawn = draw();
    if (drawn == Drawn::undone) fail();
    auto result = operation();
    if (drawn == Drawn::answer_lost) fail();
    return result;
  }

  [[noreturn]] static void fail() {
    throw Error(ErrorKind::unavailable, "this call fails in this test");
  }

 public:
  RandomFaults(Storage& inner, unsigned seed) : inner_(inner), random_(seed) {}

  // One call in so many fails; 0: none.
  void set_rate(unsigned one_in) { one_in_ = one_in; }
  [[nodiscard]] std::uint64_t faults() const { return faults_; }

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
    // Cut: some of it was told.
    std::uint64_t told = 0;
    const bool is_cut = draw() == Drawn::undone;
    inner_.list(prefix, [&](const ObjectInfo& object) {
      if (is_cut && ++told > 3) fail();
      each(object);
    });
    if (is_cut) fail();
  }
  std::vector<std::string> list_names(std::string_view prefix) override {
    return faulty([&] { return inner_.list_names(prefix); });
  }
  void remove(const std::vector<std::string>& keys) override {
    // Cut: the first ones are gone.
    if (draw() == Drawn::undone) {
      inner_.remove({keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 2)});
      fail();
    }
    inner_.remove(keys);
  }
  void settle(const std::vector<std::string>& keys) override {
    faulty([&] {
      inner_.settle(keys);
      return true;
    });
  }
  Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                           const IsWhole& is_whole) override {
    return faulty([&] { return inner_.replace_damaged(key, content, is_whole); });
  }
  std::uint64_t remove_leftovers(Timestamp time) override { return inner_.remove_leftovers(time); }
  bool has_conditional_writes() override { return true; }
  std::string url() const override { return inner_.url(); }

 private:
  Storage& inner_;
  std::mutex mutex_;
  std::mt19937 random_;
  std::atomic<unsigned> one_in_{0};
  std::atomic<std::uint64_t> faults_{0};
};

}  // namespace walvault
