#include "storage/decorators/caching_storage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <thread>

#include "storage/memory_storage.h"
#include "support/deterministic.h"
#include "support/hooked_storage.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

class LocalCacheTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> files;
    if (!fs::exists(path_)) return files;
    for (fs::directory_iterator it(path_), end; it != end; ++it) {
      files.push_back(it->path().string());
    }
    return files;
  }
  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& file : files()) sum += fs::file_size(file);
    return sum;
  }
  FakeClock clock_{now()};
  static Timestamp now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
  }

  TemporaryDirectory directory_;
  const std::string top_ = directory_.path() + "/a/b";
  LocalCache cache_{top_, "a place", 100'000, clock_};
  const std::string path_ = cache_.path();
};

TEST_F(LocalCacheTest, FindsWhatWasKept) {
  EXPECT_EQ(cache_.find("x"), std::nullopt);
  cache_.keep("x", as_bytes("one"));
  cache_.keep("y", as_bytes("two"));
  cache_.keep("x", as_bytes("three"));
  EXPECT_EQ(cache_.find("x"), bytes_of("three"));
  EXPECT_EQ(cache_.find("y"), bytes_of("two"));
  EXPECT_EQ(LocalCache(top_, "another place", 1, clock_).find("x"), std::nullopt);
  EXPECT_EQ(LocalCache(top_, "a place", 1, clock_).find("x"), bytes_of("three"));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
  ASSERT_EQ(::stat(files().at(0).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST_F(LocalCacheTest, BelievesNothingThatIsNotWhole) {
  cache_.keep("x", random_bytes(300, 1));
  cache_.keep("y", random_bytes(300, 2));
  const auto list = files();
  ASSERT_EQ(list.size(), 2u);
  const auto size = fs::file_size(list[0]);
  for (std::uint64_t at = 0; at < size; at += 7) {
    std::fstream file(list[0], std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 4));
    file.close();
    EXPECT_EQ(static_cast<int>(cache_.find("x").has_value()) +
                  static_cast<int>(cache_.find("y").has_value()),
              1)
        << at;
    std::fstream again(list[0], std::ios::in | std::ios::out | std::ios::binary);
    again.seekp(static_cast<std::streamoff>(at));
    again.put(byte);
  }
  // Exchanged.
  fs::rename(list[0], path_ + "/z");
  fs::rename(list[1], list[0]);
  fs::rename(path_ + "/z", list[1]);
  EXPECT_EQ(cache_.find("x"), std::nullopt);
  EXPECT_EQ(cache_.find("y"), std::nullopt);
  fs::resize_file(list[0], 3);
  fs::resize_file(list[1], 0);
  EXPECT_EQ(cache_.find("x"), std::nullopt);
  EXPECT_EQ(cache_.find("y"), std::nullopt);
  cache_.keep("x", as_bytes("again"));
  EXPECT_EQ(cache_.find("x"), bytes_of("again"));
}

// Somebody else's directory is none, and so is what leads elsewhere.
TEST_F(LocalCacheTest, UsesNothingThatOthersCanWriteTo) {
  cache_.keep("x", as_bytes("one"));
  const auto file = files().at(0);
  for (const auto& directory : {path_, path_.substr(0, path_.rfind('/'))}) {
    ASSERT_EQ(::chmod(directory.c_str(), 0770), 0);
    EXPECT_EQ(cache_.find("x"), std::nullopt) << directory;
    cache_.keep("y", as_bytes("two"));
    EXPECT_EQ(files().size(), 1u);
    ASSERT_EQ(::chmod(directory.c_str(), 0700), 0);
    EXPECT_TRUE(cache_.find("x"));
    if (::geteuid() != 0) continue;
    ASSERT_EQ(::chown(directory.c_str(), 65534, 65534), 0);
    EXPECT_EQ(cache_.find("x"), std::nullopt) << directory;
    ASSERT_EQ(::chown(directory.c_str(), 0, 0), 0);
  }
  const auto elsewhere = directory_.path() + "/elsewhere";
  fs::rename(path_, elsewhere);
  fs::create_symlink(elsewhere, path_);
  EXPECT_EQ(cache_.find("x"), std::nullopt);
  fs::remove(path_);
  fs::rename(elsewhere, path_);
  fs::rename(file, elsewhere);
  fs::create_symlink(elsewhere, file);
  EXPECT_EQ(cache_.find("x"), std::nullopt);
}

TEST_F(LocalCacheTest, LeavesFilesAloneThatAreNotItsOwn) {
  cache_.keep("x", as_bytes("one"));
  std::ofstream(path_ + "/somebody's") << std::string(200'000, 'x');
  for (int i = 0; i < 200; ++i) cache_.keep(std::to_string(i), random_bytes(1000, 1));
  EXPECT_TRUE(fs::exists(path_ + "/somebody's"));
}

TEST_F(LocalCacheTest, KnowsHowOldItIs) {
  cache_.keep("x", as_bytes("one"));
  clock_.advance(std::chrono::seconds(2));
  EXPECT_TRUE(cache_.find_recent("x", std::chrono::seconds(60)));
  clock_.advance(std::chrono::seconds(70));
  EXPECT_FALSE(cache_.find_recent("x", std::chrono::seconds(60)));
  clock_.jump(-std::chrono::seconds(140));
  EXPECT_FALSE(cache_.find_recent("x", std::chrono::seconds(60))) << "a clock that was set back";
}

TEST_F(LocalCacheTest, IsBounded) {
  for (int i = 0; i < 640; ++i) cache_.keep(std::to_string(i), random_bytes(1000, 1));
  // Between two looks at it it grows.
  EXPECT_LE(bytes(), 100'000u + 64 * 1200);
  EXPECT_GT(bytes(), 50'000u);
  cache_.keep("large", Bytes((16u << 20) + 1));
  EXPECT_EQ(cache_.find("large"), std::nullopt);
}

TEST_F(LocalCacheTest, SeveralAtOnceDisturbNobody) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const LocalCache cache(top_, "a place", 20'000, clock_);
      for (int i = 0; i < 300; ++i) {
        const auto name = std::to_string(i % 30);
        if (const auto found = cache.find(name)) {
          EXPECT_EQ(*found, random_bytes(1000, static_cast<std::uint64_t>(i % 30)));
        }
        cache.keep(name, random_bytes(1000, static_cast<std::uint64_t>(i % 30)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(LocalCacheTest, WithoutADirectoryItKnowsNothing) {
  LocalCache("", "a place", 1000, clock_).keep("x", as_bytes("one"));
  EXPECT_EQ(LocalCache("", "a place", 1000, clock_).find("x"), std::nullopt);
  const LocalCache hopeless("/dev/null/cache", "a place", 1000, clock_);
  hopeless.keep("x", as_bytes("one"));
  EXPECT_EQ(hopeless.find("x"), std::nullopt);
}

class CachingStorageTest : public LocalCacheTest {
 protected:
  CachingStorageTest() {
    for (const auto* key : {"backups/a/1", "format/1", "format/2", "packs/p"}) {
      (void)memory_.put_if_absent(key, as_bytes("0123456789"));
    }
  }
  [[nodiscard]] std::unique_ptr<CachingStorage> open() {
    auto hooked = std::make_unique<HookedStorage>(memory_);
    hooked->before = [this](std::string_view, std::string_view) { ++asked_; };
    return std::make_unique<CachingStorage>(
        std::move(hooked), cache_,
        CachePolicy{.lasting = {"backups/"},
                    .is_whole = [](std::string_view, ByteRange,
                                   ByteView content) { return as_text(content) != "damaged"; },
                    .recent = {"format/"}});
  }
  [[nodiscard]] int asked() { return std::exchange(asked_, 0); }

  MemoryStorage memory_;
  int asked_ = 0;
};

TEST_F(CachingStorageTest, KnowsContentInTheNextProcessToo) {
  for (const int asks : {2, 0, 0}) {
    const auto storage = open();
    EXPECT_EQ(storage->find("backups/a/1", whole_object), bytes_of("0123456789"));
    EXPECT_EQ(storage->find("backups/a/1", {.offset = 2, .length = 3}), bytes_of("234"));
    EXPECT_EQ(asked(), asks);
  }
  clock_.advance(std::chrono::hours(1000));
  EXPECT_TRUE(open()->find("backups/a/1", whole_object));
  EXPECT_EQ(asked(), 0);
}

TEST_F(CachingStorageTest, WhetherSomethingIsThereItAlwaysAsks) {
  const auto storage = open();
  (void)storage->find("backups/a/1", whole_object);
  memory_.remove({"backups/a/1"});
  EXPECT_EQ(storage->find_size("backups/a/1"), std::nullopt);
  EXPECT_TRUE(storage->list_names("backups/").empty());
  EXPECT_EQ(storage->find("backups/b/1", whole_object), std::nullopt);
  (void)memory_.put_if_absent("backups/b/1", as_bytes("x"));
  EXPECT_TRUE(storage->find("backups/b/1", whole_object));
}

TEST_F(CachingStorageTest, DoesNotRememberDamage) {
  (void)memory_.put_if_absent("backups/d/1", as_bytes("damaged"));
  EXPECT_TRUE(open()->find("backups/d/1", whole_object));
  memory_.overwrite("backups/d/1", bytes_of("mended"));
  EXPECT_EQ(open()->find("backups/d/1", whole_object), bytes_of("mended"));
}

TEST_F(CachingStorageTest, BelievesWhatIsRecentForAMinute) {
  const auto names = [&] { return open()->list_names("format/").size(); };
  EXPECT_EQ(names(), 2u);
  EXPECT_TRUE(open()->find("format/2", whole_object));
  EXPECT_EQ(asked(), 2);
  (void)memory_.put_if_absent("format/3", as_bytes("x"));
  EXPECT_EQ(names(), 2u);
  EXPECT_TRUE(open()->find("format/2", whole_object));
  EXPECT_EQ(asked(), 0);
  clock_.advance(std::chrono::seconds(62));
  EXPECT_EQ(names(), 3u);
  // No absence.
  const auto other = [&] { return open()->list_names("format/x/").size(); };
  EXPECT_EQ(other(), 0u);
  (void)memory_.put_if_absent("format/x/1", as_bytes("x"));
  EXPECT_EQ(other(), 1u);
}

TEST_F(CachingStorageTest, BelievesThatAListIsEmptyWhereItMay) {
  const auto look = [&](bool believes) {
    auto hooked = std::make_unique<HookedStorage>(memory_);
    hooked->before = [this](std::string_view, std::string_view) { ++asked_; };
    return CachingStorage(std::move(hooked), cache_,
                          {.recent = {"branches/"},
                           .may_be_empty = believes ? std::vector<std::string>{"branches/"}
                                                    : std::vector<std::string>{}})
        .list_names("branches/")
        .size();
  };
  EXPECT_EQ(look(true), 0u);
  EXPECT_EQ(asked(), 1);
  EXPECT_EQ(look(true), 0u);
  EXPECT_EQ(asked(), 0);
  EXPECT_EQ(look(false), 0u);
  EXPECT_EQ(asked(), 1);
  (void)memory_.put_if_absent("branches/1", as_bytes("x"));
  EXPECT_EQ(look(true), 0u);
  clock_.advance(std::chrono::seconds(62));
  EXPECT_EQ(look(true), 1u);
}

TEST_F(CachingStorageTest, AsksForTheRestEachTime) {
  const auto storage = open();
  (void)storage->find("packs/p", whole_object);
  (void)storage->find("packs/p", whole_object);
  EXPECT_EQ(asked(), 2);
}

}  // namespace
}  // namespace walvault
