// What every Storage promises (storage/storage.h), as one suite. A new
// implementation gives a StorageFactory and instantiates the suite with it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <ostream>
#include <thread>

#include "storage/storage.h"
#include "support/test_data.h"

namespace walvault {

// An empty storage, and what has to outlive it.
struct StorageUnderTest {
  std::shared_ptr<void> keeps_alive;
  std::unique_ptr<Storage> storage;
};

struct StorageFactory {
  std::string name;
  std::function<StorageUnderTest()> make;

  friend std::ostream& operator<<(std::ostream& out, const StorageFactory& factory) {
    return out << factory.name;
  }
};

class StorageContract : public testing::TestWithParam<StorageFactory> {
 protected:
  StorageContract() : under_test_(GetParam().make()), storage_(*under_test_.storage) {}

  void put(std::string_view key, std::string_view content) {
    ASSERT_TRUE(storage_.put_if_absent(key, as_bytes(content))) << key;
  }
  [[nodiscard]] std::vector<std::string> keys_under(std::string_view prefix) {
    std::vector<std::string> keys;
    storage_.list(prefix, [&](const ObjectInfo& object) { keys.push_back(object.key); });
    return keys;
  }
  [[nodiscard]] std::string text_at(std::string_view key, ByteRange range = whole_object) {
    const auto bytes = storage_.find(key, range);
    return bytes ? std::string(as_text(*bytes)) : "(absent)";
  }

 private:
  StorageUnderTest under_test_;

 protected:
  Storage& storage_;
};

using Keys = std::vector<std::string>;

TEST_P(StorageContract, GivesBackWhatWasPut) {
  put("a", "one");
  put("deep/er/key_1.x-y", "two");
  EXPECT_EQ(text_at("a"), "one");
  EXPECT_EQ(text_at("deep/er/key_1.x-y"), "two");
  EXPECT_EQ(storage_.find_size("a"), 3u);
}

TEST_P(StorageContract, KeepsAnEmptyObjectApartFromAnAbsentOne) {
  put("empty", "");
  EXPECT_EQ(text_at("empty"), "");
  EXPECT_EQ(storage_.find_size("empty"), 0u);
  EXPECT_EQ(keys_under(""), Keys{"empty"});
}

TEST_P(StorageContract, AnswersAbsentForWhatIsNotThere) {
  put("a/x", "1");
  for (const auto* const key : {"b", "a/y", "b/x/y"}) {
    EXPECT_EQ(text_at(key), "(absent)") << key;
    EXPECT_EQ(storage_.find_size(key), std::nullopt) << key;
  }
  EXPECT_EQ(keys_under("b/"), Keys{});
  EXPECT_EQ(storage_.list_names("b/c/"), Keys{});
}

TEST_P(StorageContract, AnswersAbsentForAPartOfAKeyAndForWhatWouldLieBelowOne) {
  put("a/x", "1");
  EXPECT_EQ(text_at("a"), "(absent)");
  EXPECT_EQ(storage_.find_size("a"), std::nullopt);
  EXPECT_EQ(text_at("a/x/y"), "(absent)");
  EXPECT_EQ(storage_.find_size("a/x/y"), std::nullopt);
}

TEST_P(StorageContract, NeverChangesAnObject) {
  put("a/x", "first");
  EXPECT_FALSE(storage_.put_if_absent("a/x", as_bytes("second, and longer")));
  EXPECT_FALSE(storage_.put_if_absent("a/x", as_bytes("first")));
  EXPECT_EQ(text_at("a/x"), "first");
}

TEST_P(StorageContract, CutsARangeAtTheObjectsEnd) {
  put("a", "0123456789");
  EXPECT_EQ(text_at("a", {.offset = 2, .length = 3}), "234");
  EXPECT_EQ(text_at("a", {.offset = 7}), "789");
  EXPECT_EQ(text_at("a", {.offset = 7, .length = 100}), "789");
  EXPECT_EQ(text_at("a", {.offset = 3, .length = 0}), "");
  EXPECT_EQ(text_at("a", {.offset = 10, .length = 5}), "");
  EXPECT_EQ(text_at("a", {.offset = 1'000'000, .length = 5}), "");
  EXPECT_EQ(text_at("a", {.offset = std::numeric_limits<std::uint64_t>::max()}), "");
  EXPECT_EQ(text_at("a", {.length = 4}), "0123");
}

TEST_P(StorageContract, JoinsThePartsOfALargeObjectInOrder) {
  const auto first = random_bytes(3'000'001, 1);
  const auto second = random_bytes(17, 2);
  const auto third = random_bytes(5u << 20, 3);
  ASSERT_TRUE(storage_.put_if_absent("packs/large", ObjectContent{first, second, {}, third}));

  Bytes whole = first;
  whole.insert(whole.end(), second.begin(), second.end());
  whole.insert(whole.end(), third.begin(), third.end());
  EXPECT_EQ(storage_.find_size("packs/large"), whole.size());
  EXPECT_TRUE(storage_.find("packs/large") == whole);
  const auto around_a_seam = storage_.find("packs/large", {.offset = 3'000'000, .length = 20});
  ASSERT_TRUE(around_a_seam);
  EXPECT_TRUE(std::ranges::equal(*around_a_seam, ByteView(whole).subspan(3'000'000, 20)));
}

TEST_P(StorageContract, ListsWholeKeysInAscendingOrder) {
  // '-' and '.' sort before '/', '0' and 'A' after it.
  const Keys ascending{"a-b/x", "a-b/y", "a.b", "a/b-c/d", "a/b.c/d", "a/b/c",  "a/b0",
                       "a/x",   "a0/x",  "aA",  "b",       "b_/z",    "pa/q/r", "pa/q0/r"};
  auto shuffled = ascending;
  std::ranges::reverse(shuffled);
  for (const auto& key : shuffled) put(key, key);
  ASSERT_TRUE(std::ranges::is_sorted(ascending));

  EXPECT_EQ(keys_under(""), ascending);
  EXPECT_EQ(keys_under("a/"), (Keys{"a/b-c/d", "a/b.c/d", "a/b/c", "a/b0", "a/x"}));
  EXPECT_EQ(keys_under("a-b/"), (Keys{"a-b/x", "a-b/y"}));
  EXPECT_EQ(keys_under("a/b/"), Keys{"a/b/c"});
}

TEST_P(StorageContract, ListsFromTheMiddleOfAPartOn) {
  for (const auto* const key : {"a/b", "a/bc/d", "a/bc-d", "a/bd", "a/c", "ab/x", "abc", "b/x"}) {
    put(key, "");
  }
  EXPECT_EQ(keys_under("a/b"), (Keys{"a/b", "a/bc-d", "a/bc/d", "a/bd"}));
  EXPECT_EQ(keys_under("a/bc"), (Keys{"a/bc-d", "a/bc/d"}));
  EXPECT_EQ(keys_under("ab"), (Keys{"ab/x", "abc"}));
  EXPECT_EQ(keys_under("a/b-"), Keys{});
  EXPECT_EQ(keys_under("c"), Keys{});
  EXPECT_EQ(keys_under("c/d"), Keys{});
}

TEST_P(StorageContract, SettlesWhatIsThere) {
  put("a/x", "1");
  put("b", "2");
  storage_.settle({"a/x", "b", "never/there", "a/nor-this"});
  storage_.settle({});
  EXPECT_EQ(keys_under(""), (Keys{"a/x", "b"}));
  EXPECT_EQ(text_at("a/x"), "1");
}

TEST_P(StorageContract, ReplacesOnlyWhatIsDamaged) {
  const auto is_right = [](ByteView bytes) { return as_text(bytes) == "right"; };
  const auto replace = [&](std::string_view key) {
    return storage_.replace_damaged(key, as_bytes("right"), is_right);
  };
  EXPECT_EQ(replace("a/x"), Replaced::absent);
  EXPECT_EQ(replace("a"), Replaced::absent);
  EXPECT_EQ(keys_under(""), Keys{});
  put("a/x", "damaged, and longer");
  put("a/y", "neighbour");
  EXPECT_EQ(replace("a/x"), Replaced::replaced);
  EXPECT_EQ(text_at("a/x"), "right");
  EXPECT_EQ(storage_.find_size("a/x"), 5u);
  EXPECT_EQ(storage_.replace_damaged("a/x", as_bytes("other"), is_right), Replaced::is_whole);
  EXPECT_EQ(text_at("a/x"), "right");
  EXPECT_EQ(keys_under(""), (Keys{"a/x", "a/y"}));
  EXPECT_FALSE(storage_.put_if_absent("a/x", as_bytes("first again")));
  EXPECT_EQ(storage_.remove_leftovers(Timestamp::max()), 0u) << "nothing is left of it";
}

TEST_P(StorageContract, ShowsOldOrNewBytesWhileOneIsReplaced) {
  const auto right = random_bytes(300'000, 1);
  auto wrong = right;
  wrong[1000] ^= 1;
  ASSERT_TRUE(storage_.put_if_absent("race/x", wrong));
  const auto is_right = [&](ByteView bytes) { return std::ranges::equal(bytes, right); };
  std::atomic<int> other = 0;
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 5; ++round) {
          const auto seen = storage_.find("race/x");
          if (!seen || (*seen != right && *seen != wrong)) ++other;
          if (storage_.replace_damaged("race/x", right, is_right) == Replaced::absent) ++failed;
        }
      });
    }
  }
  EXPECT_EQ(other, 0);
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(storage_.find("race/x") == right);
}

TEST_P(StorageContract, ListsSizes) {
  std::map<std::string, std::uint64_t> expected;
  for (const std::size_t size : {0u, 1u, 4096u, 100'000u}) {
    const auto key = "sizes/" + std::to_string(size);
    ASSERT_TRUE(storage_.put_if_absent(key, random_bytes(size, size)));
    expected[key] = size;
  }
  std::map<std::string, std::uint64_t> listed;
  storage_.list("", [&](const ObjectInfo& object) { listed[object.key] = object.size; });
  EXPECT_EQ(listed, expected);
}

TEST_P(StorageContract, ListsEachNameBelowAPrefixOnce) {
  for (const auto* const key :
       {"a/x", "a/y", "a-b/x", "a.b/x", "c", "d/e/f", "d/e/g", "d/e-/f", "d/h"}) {
    put(key, "");
  }
  EXPECT_EQ(storage_.list_names(""), (Keys{"a", "a-b", "a.b", "c", "d"}));
  EXPECT_EQ(storage_.list_names("a/"), (Keys{"x", "y"}));
  EXPECT_EQ(storage_.list_names("d/"), (Keys{"e", "e-", "h"}));
  EXPECT_EQ(storage_.list_names("d/e/"), (Keys{"f", "g"}));
}

TEST_P(StorageContract, HoldsNothingAtFirst) {
  EXPECT_EQ(keys_under(""), Keys{});
  EXPECT_EQ(storage_.list_names(""), Keys{});
}

TEST_P(StorageContract, RemovesExactlyWhatItIsAskedTo) {
  for (const auto* const key : {"a/x", "a/y", "a/z", "b"}) put(key, key);
  storage_.remove({"a/x", "b", "never/there", "nor-this"});
  EXPECT_EQ(keys_under(""), (Keys{"a/y", "a/z"}));
  EXPECT_EQ(text_at("a/x"), "(absent)");
  EXPECT_EQ(text_at("a/y"), "a/y");
  storage_.remove({});
  storage_.remove({"a/x"});
}

TEST_P(StorageContract, PutsAgainWhatWasRemoved) {
  put("a/x", "before");
  storage_.remove({"a/x"});
  put("a/x", "after");
  EXPECT_EQ(text_at("a/x"), "after");
}

TEST_P(StorageContract, TakesTheLongestKeys) {
  std::string deepest = std::string(255, 'k');
  put(deepest, "1");
  deepest = "p";
  for (int i = 1; i < 16; ++i) deepest += "/p";
  put(deepest, "2");
  EXPECT_EQ(text_at(deepest), "2");
  EXPECT_EQ(keys_under(""), (Keys{std::string(255, 'k'), deepest}));
}

TEST_P(StorageContract, RefusesWhatIsNoKey) {
  std::string too_deep = "p";
  for (int i = 0; i < 16; ++i) too_deep += "/p";
  const Keys bad{"",
                 "/",
                 "/a",
                 "a/",
                 "a//b",
                 ".",
                 "..",
                 "a/../b",
                 "./a",
                 ".a",
                 "a/.b",
                 "a b",
                 "a\nb",
                 "\xC3\xA4",
                 "a:b",
                 "a\\b",
                 "a*",
                 "a/b c/d",
                 too_deep,
                 std::string(256, 'k'),
                 std::string("a\0b", 3)};
  for (const auto& key : bad) {
    EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent(key, as_bytes("x")); }), "internal")
        << key;
    EXPECT_EQ(error_of([&] { (void)storage_.find(key); }), "internal") << key;
    EXPECT_EQ(error_of([&] { (void)storage_.find_size(key); }), "internal") << key;
    EXPECT_EQ(error_of([&] { storage_.remove({key}); }), "internal") << key;
  }
  EXPECT_EQ(keys_under(""), Keys{});
}

TEST_P(StorageContract, LetsOneOfManyWritersOfAKeyWin) {
  constexpr int writers = 16;
  for (int round = 0; round < 8; ++round) {
    const auto key = "race/" + std::to_string(round) + "/x";
    std::latch start(writers);
    std::atomic<int> winners = 0;
    std::atomic<int> winner = -1;
    std::atomic<int> losers_that_saw_a_part = 0;
    const auto content_of = [](int writer) {
      return random_bytes(20'000 + static_cast<std::size_t>(writer) * 100,
                          static_cast<std::uint64_t>(writer));
    };
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < writers; ++i) {
        threads.emplace_back([&, i] {
          const auto content = content_of(i);
          start.arrive_and_wait();
          if (storage_.put_if_absent(key, content)) {
            ++winners;
            winner = i;
          } else {
            const auto there = storage_.find_size(key);
            if (!there || *there < 20'000) ++losers_that_saw_a_part;
          }
        });
      }
    }
    ASSERT_EQ(winners, 1);
    EXPECT_EQ(losers_that_saw_a_part, 0);
    EXPECT_TRUE(storage_.find(key) == content_of(winner));
  }
}

TEST_P(StorageContract, ServesManyThreadsAtOnce) {
  constexpr int threads_count = 8;
  constexpr int objects_each = 25;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < threads_count; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < objects_each; ++i) {
          const auto key = "shared/" + std::to_string(i) + "/" + std::to_string(t);
          const auto content = random_bytes(static_cast<std::size_t>(i * 37), 7);
          if (!storage_.put_if_absent(key, content)) ++wrong;
          if (storage_.find(key) != content) ++wrong;
          // Others are at work below the same prefix.
          std::string last;
          storage_.list("shared/", [&](const ObjectInfo& object) {
            if (object.key <= last) ++wrong;
            last = object.key;
          });
          if (i % 3 == 0) storage_.remove({key});
          if (storage_.find_size(key).has_value() != (i % 3 != 0)) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(keys_under("shared/").size(), std::size_t{threads_count * (objects_each - 9)});
}

TEST_P(StorageContract, ShowsAListingEverythingPutBeforeItWhileOthersPut) {
  for (int i = 0; i < 40; ++i) put("old/" + std::to_string(i), "x");
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (int i = 0; !stop && i < 2000; ++i) {
      (void)storage_.put_if_absent("old/new-" + std::to_string(i), as_bytes("y"));
    }
  });
  for (int round = 0; round < 10; ++round) {
    const auto keys = keys_under("old/");
    EXPECT_EQ(std::ranges::count_if(
                  keys, [](const auto& key) { return key.find("new") == std::string::npos; }),
              40);
  }
  stop = true;
}

TEST_P(StorageContract, SaysWhereItIs) { EXPECT_FALSE(storage_.url().empty()); }

}  // namespace walvault
