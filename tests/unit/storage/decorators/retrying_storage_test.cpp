#include "storage/decorators/retrying_storage.h"

#include <gtest/gtest.h>

#include "storage/memory_storage.h"
#include "support/deterministic.h"
#include "support/hooked_storage.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;
using Keys = std::vector<std::string>;

class RetryingStorageTest : public testing::Test {
 protected:
  RetryingStorageTest() {
    auto hooked = std::make_unique<HookedStorage>(memory_);
    hooked_ = hooked.get();
    retrying_ = std::make_unique<RetryingStorage>(
        std::move(hooked), clock_,
        RetryPolicy{.patience = milliseconds(350), .first_pause = milliseconds(50)});
  }

  // The next `times` operations fail.
  void fail(int times, bool transient) {
    calls_ = 0;
    hooked_->before = [this, times, transient](std::string_view, std::string_view) {
      if (++calls_ > times) return;
      auto error = Error(ErrorKind::unavailable, "the device is busy");
      if (transient) throw std::move(error).transient();
      throw error;
    };
  }
  [[nodiscard]] milliseconds paused() const {
    return std::chrono::duration_cast<milliseconds>(clock_now() - started_);
  }
  [[nodiscard]] Timestamp clock_now() const { return const_cast<FakeClock&>(clock_).now(); }

  using Operation = std::pair<std::string, std::function<void()>>;
  [[nodiscard]] std::vector<Operation> all_operations() {
    return {{"put", [this] { (void)retrying_->put_if_absent("k", as_bytes("v")); }},
            {"find", [this] { (void)retrying_->find("k", whole_object); }},
            {"find_size", [this] { (void)retrying_->find_size("k"); }},
            {"list", [this] { retrying_->list("", [](const ObjectInfo&) {}); }},
            {"list_names", [this] { (void)retrying_->list_names(""); }},
            {"remove", [this] { retrying_->remove({"k"}); }},
            {"settle", [this] { retrying_->settle({"k"}); }},
            {"replace",
             [this] {
               (void)retrying_->replace_damaged("k", as_bytes("v"), [](ByteView) { return true; });
             }},
            {"has_conditional_writes", [this] { (void)retrying_->has_conditional_writes(); }}};
  }

  MemoryStorage memory_;
  FakeClock clock_;
  const Timestamp started_ = clock_.now();
  HookedStorage* hooked_ = nullptr;
  std::unique_ptr<RetryingStorage> retrying_;
  int calls_ = 0;
};

// Patience is measured by a clock that nobody sets.
TEST_F(RetryingStorageTest, KeepsItsPatienceWhateverBecomesOfTheDate) {
  for (const auto jump : {std::chrono::hours(-1), std::chrono::hours(1)}) {
    fail(1000, true);
    const auto failing = hooked_->before;
    hooked_->before = [&, jump](std::string_view operation, std::string_view key) {
      clock_.jump(jump);
      failing(operation, key);
    };
    const auto began = clock_.steady();
    EXPECT_EQ(error_of([&] { (void)retrying_->find("k", whole_object); }), "unavailable");
    EXPECT_EQ(clock_.steady() - began, milliseconds(350));
    EXPECT_EQ(calls_, 4);
  }
}

TEST_F(RetryingStorageTest, RepeatsATransientErrorAfterGrowingPauses) {
  milliseconds expected{0};
  for (const auto& [name, operation] : all_operations()) {
    fail(3, true);
    EXPECT_EQ(error_of(operation), "nothing") << name;
    EXPECT_EQ(calls_, 4) << name;
    expected += milliseconds(50 + 100 + 200);
    EXPECT_EQ(paused(), expected) << name;
  }
}

TEST_F(RetryingStorageTest, HasNewPatienceWithAListingThatGoesOn) {
  for (int i = 10; i < 40; ++i) {
    ASSERT_TRUE(memory_.put_if_absent("k/" + std::to_string(i), as_bytes("v")));
  }
  // It breaks off behind each object that it has not shown before.
  class Stumbling final : public Storage {
   public:
    explicit Stumbling(Storage& inner) : inner_(inner) {}
    void list(std::string_view prefix,
              const std::function<void(const ObjectInfo&)>& each) override {
      inner_.list(prefix, [&](const ObjectInfo& object) {
        each(object);
        if (object.key <= shown_) return;
        shown_ = object.key;
        throw Error(ErrorKind::unavailable, "the connection broke").transient();
      });
    }
    bool put_if_absent(std::string_view, const ObjectContent&) override { return false; }
    std::optional<Bytes> find(std::string_view, ByteRange) override { return {}; }
    std::optional<std::uint64_t> find_size(std::string_view) override { return {}; }
    std::vector<std::string> list_names(std::string_view) override { return {}; }
    void remove(const std::vector<std::string>&) override {}
    void settle(const std::vector<std::string>&) override {}
    Replaced replace_damaged(std::string_view, const ObjectContent&, const IsWhole&) override {
      return Replaced::absent;
    }
    std::uint64_t remove_leftovers(Timestamp) override { return 0; }
    bool has_conditional_writes() override { return true; }
    std::string url() const override { return ""; }

   private:
    Storage& inner_;
    std::string shown_;
  };
  RetryingStorage storage(std::make_unique<Stumbling>(memory_), clock_,
                          {.patience = milliseconds(350), .first_pause = milliseconds(50)});
  std::vector<std::string> keys;
  storage.list("k/", [&](const ObjectInfo& object) { keys.push_back(object.key); });
  EXPECT_EQ(keys.size(), 30u);
}

TEST_F(RetryingStorageTest, GivesUpAfterItsTries) {
  for (const auto& [name, operation] : all_operations()) {
    fail(1000, true);
    EXPECT_EQ(error_of(operation), "unavailable") << name;
    EXPECT_EQ(calls_, 4) << name;
  }
}

TEST_F(RetryingStorageTest, PassesOnAnErrorThatWillNotPass) {
  for (const auto& [name, operation] : all_operations()) {
    fail(1, false);
    EXPECT_EQ(error_of(operation), "unavailable") << name;
    EXPECT_EQ(calls_, 1) << name;
  }
  EXPECT_EQ(paused(), milliseconds(0));
}

TEST_F(RetryingStorageTest, PassesOnWhatIsNoErrorOfTheStorage) {
  hooked_->before = [this](std::string_view, std::string_view) {
    ++calls_;
    throw std::runtime_error("something else");
  };
  EXPECT_THROW((void)retrying_->find_size("k"), std::runtime_error);
  EXPECT_EQ(calls_, 1);
}

TEST_F(RetryingStorageTest, EndsInAPauseWhenItIsCancelled) {
  auto hooked = std::make_unique<HookedStorage>(memory_);
  hooked->before = [](std::string_view, std::string_view) {
    throw Error(ErrorKind::unavailable, "the network is away").transient();
  };
  struct Cancelled {};
  RetryingStorage retrying(std::move(hooked), clock_,
                           {.patience = milliseconds(60'000),
                            .first_pause = milliseconds(5000),
                            .check_cancelled = [this] {
                              if (paused() >= milliseconds(1000)) throw Cancelled{};
                            }});
  EXPECT_THROW((void)retrying.find("k", whole_object), Cancelled);
  EXPECT_LE(paused(), milliseconds(1200));
}

TEST_F(RetryingStorageTest, ClearsUpBehindACancellation) {
  auto hooked = std::make_unique<HookedStorage>(memory_);
  Timestamp back = started_ + std::chrono::seconds(5);
  hooked->before = [&](std::string_view, std::string_view) {
    if (clock_now() < back) throw Error(ErrorKind::unavailable, "it is away").transient();
  };
  struct Cancelled {};
  RetryingStorage retrying(
      std::move(hooked), clock_,
      {.patience = milliseconds(60'000), .check_cancelled = [] { throw Cancelled{}; }});
  (void)memory_.put_if_absent("pin", as_bytes("p"));
  struct Pin {
    Storage& storage;
    ~Pin() {
      try {
        storage.remove({"pin"});
      } catch (...) {
        // Seen by the test.
      }
    }
  };
  const auto work = [&] {
    const Pin pin{retrying};
    (void)retrying.find("k", whole_object);
  };
  EXPECT_THROW(work(), Cancelled);
  EXPECT_FALSE(memory_.find_size("pin").has_value());
  // And not for ever, however much there is to clear up.
  back = clock_now() + std::chrono::seconds(50);
  for (int i = 0; i < 10; ++i) EXPECT_THROW(work(), Cancelled);
  EXPECT_LT(clock_now() - started_, std::chrono::seconds(20));
}

TEST_F(RetryingStorageTest, DoesNotPauseWhenNothingFails) {
  for (const auto& [name, operation] : all_operations()) operation();
  EXPECT_EQ(paused(), milliseconds(0));
}

TEST_F(RetryingStorageTest, AnswersFalseForAPutWhoseFirstAnswerWasLost) {
  hooked_->after = [this](std::string_view, std::string_view) {
    if (++calls_ == 1) throw Error(ErrorKind::unavailable, "the connection broke").transient();
  };
  EXPECT_FALSE(retrying_->put_if_absent("k", as_bytes("v")));
  EXPECT_EQ(memory_.find("k", whole_object), bytes_of("v"));
}

// Lists in order and breaks off behind each multiple of `every` objects, once
// each.
class BreakingList final : public Storage {
 public:
  BreakingList(Storage& inner, int every) : inner_(inner), every_(every) {}

  bool put_if_absent(std::string_view key, const ObjectContent& content) override {
    return inner_.put_if_absent(key, content);
  }
  std::optional<Bytes> find(std::string_view key, ByteRange range) override {
    return inner_.find(key, range);
  }
  std::optional<std::uint64_t> find_size(std::string_view key) override {
    return inner_.find_size(key);
  }
  void list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) override {
    int seen = 0;
    inner_.list(prefix, [&](const ObjectInfo& object) {
      each(object);
      if (++seen == broken_at_ + every_) {
        broken_at_ = seen;
        throw Error(ErrorKind::unavailable, "the connection broke").transient();
      }
    });
  }
  std::vector<std::string> list_names(std::string_view prefix) override {
    return inner_.list_names(prefix);
  }
  void remove(const std::vector<std::string>& keys) override { inner_.remove(keys); }
  void settle(const std::vector<std::string>& keys) override { inner_.settle(keys); }
  Replaced replace_damaged(std::string_view key, const ObjectContent& content,
                           const IsWhole& is_whole) override {
    return inner_.replace_damaged(key, content, is_whole);
  }
  std::uint64_t remove_leftovers(Timestamp time) override { return inner_.remove_leftovers(time); }
  bool has_conditional_writes() override { return true; }
  std::string url() const override { return inner_.url(); }

 private:
  Storage& inner_;
  int every_;
  int broken_at_ = 0;
};

TEST_F(RetryingStorageTest, TakesUpABrokenListingWithoutRepeatingOrLosingAKey) {
  Keys expected;
  for (int i = 10; i < 25; ++i) {
    expected.push_back("k" + std::to_string(i));
    ASSERT_TRUE(memory_.put_if_absent(expected.back(), as_bytes("x")));
  }
  RetryingStorage retrying(std::make_unique<BreakingList>(memory_, 5), clock_);
  Keys seen;
  retrying.list("", [&](const ObjectInfo& object) { seen.push_back(object.key); });
  EXPECT_EQ(seen, expected);
}

TEST_F(RetryingStorageTest, DoesNotTakeAnErrorOfTheListsCallerForTheStorages) {
  for (const auto* const key : {"a", "b", "c"}) {
    ASSERT_TRUE(memory_.put_if_absent(key, as_bytes("x")));
  }
  Keys seen;
  EXPECT_EQ(error_of([&] {
              retrying_->list("", [&](const ObjectInfo& object) {
                seen.push_back(object.key);
                if (object.key == "b") {
                  throw Error(ErrorKind::unavailable, "the caller's own").transient();
                }
              });
            }),
            "unavailable");
  // Repeated, the listing would go on behind "b" as if it had been dealt with.
  EXPECT_EQ(seen, (Keys{"a", "b"}));
}

}  // namespace
}  // namespace walvault
