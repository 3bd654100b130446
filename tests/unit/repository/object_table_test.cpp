#include "repository/object_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace walvault {
namespace {

using ::testing::HasSubstr;

TEST(ObjectTable, EveryKeyHasOnePlace) {
  std::set<std::string_view> prefixes;
  for (const auto& info : object_table()) {
    EXPECT_TRUE(info.prefix.ends_with('/')) << info.prefix;
    EXPECT_TRUE(prefixes.insert(info.prefix).second) << info.prefix;
    const auto key = std::string(info.prefix) + "x";
    EXPECT_EQ(place_of(key), info.place) << key;
    EXPECT_EQ(info_of(info.place).prefix, info.prefix);
    EXPECT_FALSE(info.what.empty()) << info.prefix;
    EXPECT_FALSE(info.deleted_by.empty()) << info.prefix;
    for (const auto& other : object_table()) {
      const bool is_same = other.place == info.place;
      EXPECT_EQ(other.prefix.starts_with(info.prefix), is_same) << info.prefix << other.prefix;
    }
  }
}

TEST(ObjectTable, KnowsNoOtherKeys) {
  for (const auto* const key : {"", "wal", "walx/main", "keys/ring/1", "tmp/x", "Wal/main/1"}) {
    EXPECT_EQ(place_of(key), std::nullopt) << key;
  }
}

TEST(ObjectTable, PutsAClusterBehindThePrefix) {
  EXPECT_EQ(prefix_of(ObjectPlace::wal, "main"), "wal/main/");
  EXPECT_EQ(prefix_of(ObjectPlace::ledgers, "a-b"), "wal-ledger/a-b/");
}

// What is remembered for good may never change: of a sealed object one reading tells whether
// it is whole, and of a root the same.
TEST(ObjectTable, RemembersForGoodOnlyWhatOneReadingProves) {
  for (const auto& info : object_table()) {
    if (info.cached != Cached::lasting) continue;
    EXPECT_TRUE(info.is_sealed || info.kind == ObjectKind::root) << info.prefix;
  }
}

constexpr auto page_path = WALVAULT_SOURCE_DIR "/docs/objects.md";

std::string text_of(const char* path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

TEST(ObjectTable, ThePageInDocsIsMadeOfIt) {
  if (::getenv("WALVAULT_WRITE_PAGES") != nullptr) {
    std::ofstream(page_path) << object_table_page();
  }
  EXPECT_EQ(text_of(page_path), object_table_page())
      << "Write it anew with: WALVAULT_WRITE_PAGES=1 build/dev/bin/unit_repository "
         "--gtest_filter=ObjectTable.*";
}

// The page of the format names each kind and each place, too.
TEST(ObjectTable, ThePageOfTheFormatKnowsEveryPlace) {
  const auto format = text_of(WALVAULT_SOURCE_DIR "/docs/repository-format.md");
  for (const auto& info : object_table()) {
    EXPECT_THAT(format, HasSubstr("| `" + std::string(info.prefix))) << info.prefix;
  }
}

}  // namespace
}  // namespace walvault
