#include "storage/decorators/remembering_storage.h"

#include <gtest/gtest.h>

#include "storage/memory_storage.h"
#include "support/hooked_storage.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class RememberingStorageTest : public testing::Test {
 protected:
  RememberingStorageTest() {
    for (const auto* key : {"backups/a/1", "backups/b/1", "packs/p"}) {
      (void)memory_.put_if_absent(key, as_bytes("0123456789"));
    }
    hooked_.before = [this](std::string_view operation, std::string_view) {
      ++asked_[std::string(operation)];
    };
  }
  [[nodiscard]] std::string text_at(std::string_view key, ByteRange range = whole_object) {
    const auto found = storage_.find(key, range);
    return found ? std::string(as_text(*found)) : "(absent)";
  }
  [[nodiscard]] std::vector<std::string> keys_under(std::string_view prefix) {
    std::vector<std::string> keys;
    storage_.list(prefix, [&](const ObjectInfo& object) { keys.push_back(object.key); });
    return keys;
  }

  MemoryStorage memory_;
  HookedStorage hooked_{memory_};
  RememberingStorage storage_{hooked_, {"backups/"}, 15};
  std::map<std::string, int> asked_;
};

TEST_F(RememberingStorageTest, ReadsASmallObjectOnce) {
  EXPECT_EQ(text_at("backups/a/1", {.offset = 2, .length = 3}), "234");
  EXPECT_EQ(text_at("backups/a/1"), "0123456789");
  EXPECT_EQ(text_at("backups/a/1", {.offset = 8, .length = 9}), "89");
  EXPECT_EQ(text_at("backups/a/1", {.offset = 100}), "");
  EXPECT_EQ(storage_.find_size("backups/a/1"), 10u);
  EXPECT_EQ(asked_["find"], 1);
  EXPECT_EQ(asked_["find_size"], 0);
}

TEST_F(RememberingStorageTest, AsksForOthersEachTime) {
  (void)text_at("packs/p");
  (void)text_at("packs/p");
  EXPECT_EQ(asked_["find"], 2);
}

TEST_F(RememberingStorageTest, RemembersNoAbsence) {
  EXPECT_EQ(text_at("backups/c/1"), "(absent)");
  EXPECT_EQ(storage_.find_size("backups/c/1"), std::nullopt);
  (void)memory_.put_if_absent("backups/c/1", as_bytes("x"));
  EXPECT_EQ(text_at("backups/c/1"), "x");
}

TEST_F(RememberingStorageTest, RemembersSoManyBytesAndAsksForTheRest) {
  // The limit is passed by one object at most.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(text_at("backups/a/1"), "0123456789");
    EXPECT_EQ(text_at("backups/b/1"), "0123456789");
  }
  EXPECT_EQ(asked_["find"], 2);
  (void)memory_.put_if_absent("backups/c/1", as_bytes("x"));
  (void)text_at("backups/c/1");
  (void)text_at("backups/c/1");
  EXPECT_EQ(asked_["find"], 4);
}

TEST_F(RememberingStorageTest, ListsOnceAndKnowsTheSizes) {
  const std::vector<std::string> both{"backups/a/1", "backups/b/1"};
  EXPECT_EQ(keys_under("backups/"), both);
  EXPECT_EQ(keys_under("backups/"), both);
  EXPECT_EQ(storage_.list_names("backups/"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(storage_.list_names("backups/"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(storage_.find_size("backups/b/1"), 10u);
  EXPECT_EQ(asked_["list"], 1);
  EXPECT_EQ(asked_["list_names"], 0);
  EXPECT_EQ(asked_["find_size"], 0);
  EXPECT_EQ(storage_.list_names("packs/"), std::vector<std::string>{"p"});
  EXPECT_EQ(storage_.list_names("packs/"), std::vector<std::string>{"p"});
  EXPECT_EQ(asked_["list_names"], 1);
}

TEST_F(RememberingStorageTest, AListAnswersForAllBelowIt) {
  (void)memory_.put_if_absent("backups-2/a", as_bytes("x"));
  (void)memory_.put_if_absent("backups/a/2", as_bytes("x"));
  (void)keys_under("");
  EXPECT_EQ(keys_under("backups/a/"), (std::vector<std::string>{"backups/a/1", "backups/a/2"}));
  EXPECT_EQ(storage_.list_names("backups/"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(storage_.list_names(""), (std::vector<std::string>{"backups", "backups-2", "packs"}));
  EXPECT_TRUE(storage_.list_names("wal/").empty());
  EXPECT_TRUE(keys_under("backups/ab/").empty());
  EXPECT_EQ(asked_["list"], 1);
  EXPECT_EQ(asked_["list_names"], 0);
  // The narrowest of several, though another is older.
  (void)memory_.put_if_absent("packs/q", as_bytes("x"));
  EXPECT_EQ(keys_under("packs/").size(), 1u);
  EXPECT_TRUE(storage_.put_if_absent("backups/c/1", as_bytes("xyz")));
  EXPECT_FALSE(storage_.put_if_absent("backups/c/1", as_bytes("xyz")));
  EXPECT_EQ(keys_under("backups/"),
            (std::vector<std::string>{"backups/a/1", "backups/a/2", "backups/b/1", "backups/c/1"}));
  EXPECT_EQ(storage_.find_size("backups/c/1"), 3u);
}

TEST_F(RememberingStorageTest, SeesWhatItWritesItself) {
  (void)keys_under("backups/");
  (void)text_at("backups/a/1");
  EXPECT_TRUE(storage_.put_if_absent("backups/c/1", as_bytes("x")));
  EXPECT_EQ(keys_under("backups/").size(), 3u);
  storage_.remove({"backups/a/1"});
  EXPECT_EQ(keys_under("backups/").size(), 2u);
  EXPECT_EQ(text_at("backups/a/1"), "(absent)");
}

}  // namespace
}  // namespace walvault
