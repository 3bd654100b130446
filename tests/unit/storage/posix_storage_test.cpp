// What the contract suite cannot ask of every storage: the files of a
// PosixStorage, what is synced when, and what becomes of a failing system call.
// linkat(), write() and fsync() are replaced by ones that a test can watch and make
// fail.
#include "storage/posix_storage.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

#include "base/file.h"
#include "support/deterministic.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace {

struct SystemCalls {
  // The answer's errno; 0 lets the call go through, -EEXIST lets it go
  // through and then answers EEXIST, as a network file system may.
  std::function<int(const std::string& from, const std::string& to)> link;
  std::function<int(const std::string& path)> fsync;
  // Not in the log. The answer's errno, or 0.
  std::function<int()> write;
  // At most so much of a write is done.
  std::size_t write_bytes_max = ~std::size_t{0};
  std::vector<std::string> log;
};
SystemCalls* watched = nullptr;

std::string path_of(int fd) {
  char path[4096];
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  const auto length = ::readlink(link.c_str(), path, sizeof path);
  return length < 0 ? "?" : std::string(path, static_cast<std::size_t>(length));
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int linkat(int from_directory, const char* from_name, int to_directory,
                      const char* to_name, int flags) noexcept {
  static const auto real_link = real<int (*)(int, const char*, int, const char*, int)>("linkat");
  int answer = 0;
  const auto from = path_of(from_directory) + "/" + from_name;
  const auto to = path_of(to_directory) + "/" + to_name;
  if (watched != nullptr) {
    // What a test does in its answer is not watched.
    auto* const calls = std::exchange(watched, nullptr);
    calls->log.push_back("link " + to);
    if (calls->link) answer = calls->link(from, to);
    watched = calls;
  }
  if (answer > 0) {
    errno = answer;
    return -1;
  }
  const int result = real_link(from_directory, from_name, to_directory, to_name, flags);
  if (answer < 0) {
    errno = -answer;
    return -1;
  }
  return result;
}

extern "C" ssize_t write(int fd, const void* bytes, size_t count) {
  static const auto real_write = real<ssize_t (*)(int, const void*, size_t)>("write");
  if (watched != nullptr) {
    if (const int answer = watched->write ? watched->write() : 0; answer != 0) {
      errno = answer;
      return -1;
    }
    count = std::min(count, watched->write_bytes_max);
  }
  return real_write(fd, bytes, count);
}

extern "C" int syncfs(int fd) noexcept {
  static const auto real_syncfs = real<int (*)(int)>("syncfs");
  if (watched != nullptr) watched->log.emplace_back("syncfs");
  return real_syncfs(fd);
}

extern "C" int fsync(int fd) {
  static const auto real_fsync = real<int (*)(int)>("fsync");
  if (watched != nullptr) {
    const auto path = path_of(fd);
    watched->log.push_back("fsync " + path);
    if (const int answer = watched->fsync ? watched->fsync(path) : 0; answer != 0) {
      errno = answer;
      return -1;
    }
  }
  return real_fsync(fd);
}

namespace walvault {
namespace {

namespace fs = std::filesystem;

class PosixStorageTest : public testing::Test {
 protected:
  PosixStorageTest() { storage_.prepare(); }
  ~PosixStorageTest() override { watched = nullptr; }

  void watch() {
    calls_ = {};
    watched = &calls_;
  }
  [[nodiscard]] std::vector<std::string> keys() {
    std::vector<std::string> keys;
    storage_.list("", [&](const ObjectInfo& object) { keys.push_back(object.key); });
    return keys;
  }
  [[nodiscard]] std::vector<std::string> temporaries() const {
    std::vector<std::string> found;
    const fs::path directory = root_ + "/tmp";
    if (!fs::exists(directory)) return found;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file()) found.push_back(entry.path());
    }
    return found;
  }
  [[nodiscard]] static mode_t mode_of(const std::string& path) {
    return find_status(path).value().st_mode & 07777u;
  }

  TemporaryDirectory directory_;
  const std::string root_ = directory_.path("repo");
  PosixStorage storage_{root_, id_of(7)};
  SystemCalls calls_;
};

using Keys = std::vector<std::string>;

TEST_F(PosixStorageTest, KeepsAnObjectInAFileOfItsKey) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("content")));
  EXPECT_EQ(read_file(root_ + "/a/b", 100), bytes_of("content"));
  EXPECT_EQ(storage_.url(), root_);
}

TEST_F(PosixStorageTest, LeavesNoTemporaryBehind) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("1")));
  ASSERT_FALSE(storage_.put_if_absent("a/b", as_bytes("2")));
  EXPECT_EQ(temporaries(), Keys{});
  EXPECT_EQ(find_status(root_ + "/a/b")->st_nlink, 1u);
}

TEST_F(PosixStorageTest, RemovesItsTemporaryDirectoryAtItsEnd) {
  const auto mine = root_ + "/tmp/" + to_hex(id_of(9));
  {
    PosixStorage other(root_, id_of(9));
    ASSERT_TRUE(other.put_if_absent("a", as_bytes("1")));
    EXPECT_TRUE(fs::exists(mine));
  }
  EXPECT_FALSE(fs::exists(mine));
}

TEST_F(PosixStorageTest, ListsNothingOfItsTemporaries) {
  ASSERT_TRUE(storage_.put_if_absent("tm/p", as_bytes("1")));
  ASSERT_TRUE(storage_.put_if_absent("a/tmp/b", as_bytes("2")));
  fs::create_directories(root_ + "/tmp/dead");
  std::ofstream(root_ + "/tmp/dead/0") << "left by a run that died";
  EXPECT_EQ(keys(), (Keys{"a/tmp/b", "tm/p"}));
  EXPECT_EQ(storage_.list_names(""), (Keys{"a", "tm"}));
  EXPECT_EQ(storage_.list_names("a/"), Keys{"tmp"});
}

TEST_F(PosixStorageTest, KeepsEverythingToItsOwner) {
  const auto before = ::umask(0);
  ASSERT_TRUE(storage_.put_if_absent("a/b/c", as_bytes("1")));
  ::umask(before);
  EXPECT_EQ(mode_of(root_ + "/a/b/c"), 0600u);
  for (const auto* const path : {"", "/a", "/a/b", "/tmp"}) {
    EXPECT_EQ(mode_of(root_ + path), 0700u) << path;
  }
}

TEST_F(PosixStorageTest, LetsAGroupInWhereThatIsAsked) {
  const auto before = ::umask(077);
  for (const mode_t mode : {mode_t{0750}, mode_t{0770}}) {
    const auto root = directory_.path() + "/of-mode-" + std::to_string(mode);
    PosixStorage storage(root, id_of(1), mode);
    storage.prepare();
    EXPECT_TRUE(storage.put_if_absent("a/b/c", as_bytes("x")));
    for (const auto* path : {"", "/a", "/a/b"}) {
      struct stat status {};
      ASSERT_EQ(::stat((root + path).c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 07777u, mode | S_ISGID) << path;
    }
    struct stat status {};
    ASSERT_EQ(::stat((root + "/a/b/c").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777u, mode & 0666u);
  }
  ::umask(before);
}

TEST_F(PosixStorageTest, TouchesNothingBeforeItsFirstOperation) {
  { const PosixStorage other(directory_.path("other"), id_of(1)); }
  EXPECT_FALSE(fs::exists(directory_.path("other")));
}

TEST_F(PosixStorageTest, IsPreparedAgainAndAgain) {
  ASSERT_TRUE(storage_.put_if_absent("a", as_bytes("1")));
  storage_.prepare();
  EXPECT_EQ(keys(), Keys{"a"});
  EXPECT_EQ(temporaries(), Keys{});
}

TEST_F(PosixStorageTest, PreparesOneDirectoryAndNotThoseAbove) {
  PosixStorage deep(directory_.path("no/such/parent"), id_of(1));
  EXPECT_EQ(error_of([&] { deep.prepare(); }), "unavailable");
  EXPECT_FALSE(fs::exists(directory_.path("no")));
}

TEST_F(PosixStorageTest, CallsAMissingRootUnavailableAndNotEmpty) {
  // A file system that is not mounted must not look like an empty repository.
  PosixStorage lost(directory_.path("not-mounted"), id_of(1));
  EXPECT_EQ(error_of([&] { (void)lost.find("a/b", whole_object); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)lost.find_size("a/b"); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)lost.list_names(""); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)lost.list_names("a/"); }), "unavailable");
  EXPECT_EQ(error_of([&] { lost.list("a/", [](const ObjectInfo&) {}); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)lost.put_if_absent("a/b", as_bytes("x")); }), "unavailable");
  EXPECT_EQ(error_of([&] { lost.remove({"a/b"}); }), "unavailable");
  EXPECT_FALSE(fs::exists(directory_.path("not-mounted")));
}

TEST_F(PosixStorageTest, CallsAFileInPlaceOfItsRootUnavailable) {
  std::ofstream(directory_.path("file")) << "x";
  PosixStorage wrong(directory_.path("file"), id_of(1));
  EXPECT_EQ(error_of([&] { (void)wrong.find("a/b", whole_object); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)wrong.find_size("a/b"); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)wrong.list_names(""); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)wrong.put_if_absent("a/b", as_bytes("x")); }), "unavailable");
  EXPECT_EQ(error_of([&] { wrong.prepare(); }), "unavailable");
}

TEST_F(PosixStorageTest, CallsAnUnusableDirectoryUnavailable) {
  // A file where a directory belongs stops every user, root too.
  std::ofstream(root_ + "/packs") << "x";
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("packs/a", as_bytes("x")); }),
            "unavailable");
  EXPECT_EQ(temporaries(), Keys{});
  EXPECT_EQ(error_of([&] { (void)storage_.list_names("packs/"); }), "unavailable");
}

TEST_F(PosixStorageTest, PassesOverAnObjectThatVanishesWhileItIsListed) {
  for (const auto* const key : {"a/1", "a/2", "b/1"}) {
    ASSERT_TRUE(storage_.put_if_absent(key, as_bytes("x")));
  }
  Keys seen;
  storage_.list("", [&](const ObjectInfo& object) {
    seen.push_back(object.key);
    if (object.key == "a/1") fs::remove_all(root_ + "/b");
  });
  EXPECT_EQ(seen, (Keys{"a/1", "a/2"}));
}

TEST_F(PosixStorageTest, SyncsTheContentBeforeItHasAName) {
  watch();
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("x")));
  ASSERT_GE(calls_.log.size(), 3u);
  EXPECT_TRUE(calls_.log[0].starts_with("fsync " + root_ + "/tmp/")) << calls_.log[0];
  EXPECT_EQ(calls_.log[1], "link " + root_ + "/a/b");
  // Then the directory that got the name, and all above it up to the root.
  EXPECT_EQ((Keys{calls_.log.begin() + 2, calls_.log.end()}),
            (Keys{"fsync " + root_ + "/a", "fsync " + root_}));
}

TEST_F(PosixStorageTest, SyncsTheDirectoriesAboveOncePerRun) {
  ASSERT_TRUE(storage_.put_if_absent("a/b/1", as_bytes("x")));
  watch();
  ASSERT_TRUE(storage_.put_if_absent("a/b/2", as_bytes("x")));
  ASSERT_EQ(calls_.log.size(), 3u);
  EXPECT_EQ(calls_.log[2], "fsync " + root_ + "/a/b");
}

TEST_F(PosixStorageTest, MakesWhatIsAlreadyThereDurableBeforeItSaysSo) {
  {
    PosixStorage other(root_, id_of(1));
    ASSERT_TRUE(other.put_if_absent("a/b/c", as_bytes("x")));
  }
  watch();
  EXPECT_FALSE(storage_.put_if_absent("a/b/c", as_bytes("y")));
  for (const auto* const path : {"/a/b/c", "/a/b", "/a", ""}) {
    EXPECT_EQ(std::ranges::count(calls_.log, "fsync " + root_ + path), 1) << path;
  }
}

TEST_F(PosixStorageTest, ThrowsWhenWhatIsAlreadyThereCannotBeSynced) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("x")));
  for (const auto* const failing : {"/a/b", "/a"}) {
    watch();
    calls_.fsync = [&](const std::string& path) { return path == root_ + failing ? EIO : 0; };
    EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a/b", as_bytes("x")); }), "unavailable")
        << failing;
  }
}

TEST_F(PosixStorageTest, LeavesNothingWhenTheContentCannotBeSynced) {
  watch();
  calls_.fsync = [](const std::string& path) {
    return path.find("/tmp/") != std::string::npos ? EIO : 0;
  };
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a/b", as_bytes("x")); }), "unavailable");
  watched = nullptr;
  EXPECT_EQ(storage_.find_size("a/b"), std::nullopt);
  EXPECT_EQ(keys(), Keys{});
  EXPECT_EQ(temporaries(), Keys{});
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("x")));
}

// Somebody may have seen it, and have deleted what it stands in for.
TEST_F(PosixStorageTest, WithdrawsNoNameThatWasVisible) {
  int number = 0;
  for (const auto* const failing : {"/a", ""}) {
    const auto key = "a/" + std::to_string(++number);
    PosixStorage storage(root_, id_of(9));
    watch();
    calls_.fsync = [&](const std::string& path) { return path == root_ + failing ? EIO : 0; };
    EXPECT_EQ(error_of([&] { (void)storage.put_if_absent(key, as_bytes("x")); }), "unavailable");
    // Nor is it said to be there as long as that cannot be synced.
    EXPECT_EQ(error_of([&] { (void)storage.put_if_absent(key, as_bytes("x")); }), "unavailable");
    watch();
    EXPECT_EQ(storage.find_size(key), 1u) << failing;
    EXPECT_EQ(calls_.log, Keys{});
    // What a sync lost that failed, a later one of the same file does not bring back.
    EXPECT_FALSE(storage.put_if_absent(key, as_bytes("x")));
    EXPECT_EQ(calls_.log.back(), "syncfs");
    // In another process, too.
    PosixStorage later(root_, id_of(10));
    EXPECT_FALSE(later.put_if_absent(key, as_bytes("x")));
    EXPECT_EQ(calls_.log.back(), "syncfs");
    watched = nullptr;
  }
}

TEST_F(PosixStorageTest, DoesNotTakeAnyLinkToItsTemporaryForTheName) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("theirs")));
  watch();
  calls_.link = [&](const std::string& from, const std::string&) {
    // A snapshot of the repository by hard links.
    fs::create_hard_link(from, directory_.path("snapshot"));
    return 0;
  };
  EXPECT_FALSE(storage_.put_if_absent("a/b", as_bytes("mine")));
}

TEST_F(PosixStorageTest, AnswersOnlyForWhatIsUnderTheKey) {
  ASSERT_TRUE(storage_.put_if_absent("a/b/1", as_bytes("x")));
  watch();
  calls_.link = [&](const std::string&, const std::string&) {
    fs::rename(root_ + "/a/b", root_ + "/a/moved");
    return 0;
  };
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a/b/2", as_bytes("x")); }), "unavailable");
  // One that went is made again.
  bool is_first = true;
  calls_.link = [&](const std::string&, const std::string&) {
    if (std::exchange(is_first, false)) fs::remove_all(root_ + "/c");
    return 0;
  };
  EXPECT_TRUE(storage_.put_if_absent("c/1", as_bytes("x")));
  watched = nullptr;
  EXPECT_EQ(storage_.find_size("c/1"), 1u);
}

TEST_F(PosixStorageTest, TakesADirectoryForNoObject) {
  fs::create_directories(root_ + "/a/b");
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a/b", as_bytes("x")); }), "corrupt");
}

// Another program may withdraw a name all the same, and give it to other content.
TEST_F(PosixStorageTest, SaysOfNoOtherFileThatItIsDurable) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("first")));
  const auto path = root_ + "/a/b";
  bool is_exchanged = false;
  watch();
  calls_.fsync = [&](const std::string& synced) {
    if (synced != path || is_exchanged) return 0;
    is_exchanged = true;
    fs::remove(path);
    std::ofstream(path) << "second";
    return 0;
  };
  EXPECT_FALSE(storage_.put_if_absent("a/b", as_bytes("x")));
  // As it was (its name is gone by then), and as it is.
  EXPECT_EQ(std::ranges::count(calls_.log, "fsync " + path), 2);
  watch();
  calls_.fsync = [&](const std::string& synced) {
    if (synced == path) fs::remove(path);
    return 0;
  };
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("x")));
}

class LinkedPosixStorageTest : public PosixStorageTest {
 protected:
  LinkedPosixStorageTest() {
    fs::create_directories(elsewhere_ + "/deeper");
    for (const auto& name : names_) std::ofstream(elsewhere_ + "/" + name) << "precious";
    for (const auto& name : names_) {
      fs::last_write_time(elsewhere_ + "/" + name,
                          fs::file_time_type::clock::now() - std::chrono::hours(50));
    }
  }
  void expect_untouched() const {
    Keys found;
    for (const auto& entry : fs::recursive_directory_iterator(elsewhere_)) {
      if (entry.is_regular_file()) found.push_back(fs::relative(entry.path(), elsewhere_));
    }
    std::ranges::sort(found);
    EXPECT_EQ(found, names_);
  }
  void link(const std::string& name) const {
    fs::create_directory_symlink(elsewhere_, root_ + "/" + name);
  }

  const std::string elsewhere_ = directory_.path("elsewhere");
  const Keys names_{"deeper/x", "x"};
};

TEST_F(LinkedPosixStorageTest, WritesAndDeletesThroughNoLink) {
  ASSERT_TRUE(storage_.put_if_absent("unfinished/own/1", as_bytes("x")));
  for (const auto* const name : {"packs", "unfinished/other", "unfinished/own/2"}) link(name);
  for (const auto* const key : {"packs/y", "packs/deeper/y", "unfinished/other/y"}) {
    EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent(key, as_bytes("y")); }), "conflict");
  }
  for (const auto* const key : {"packs/x", "packs/deeper/x", "unfinished/other/x"}) {
    EXPECT_EQ(error_of([&] { storage_.remove({key}); }), "conflict") << key;
  }
  // A link with an object's name is removed itself; nothing is written to what it leads to.
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("unfinished/own/2", as_bytes("y")); }),
            "unavailable");
  storage_.remove({"unfinished/own/2"});
  EXPECT_FALSE(fs::exists(fs::symlink_status(root_ + "/unfinished/own/2")));
  expect_untouched();
}

TEST_F(LinkedPosixStorageTest, ClearsNothingBehindALink) {
  fs::create_directories(root_ + "/tmp");
  link("tmp/" + to_hex(id_of(3)));
  EXPECT_EQ(storage_.remove_leftovers(system_clock().now()), 0u);
  expect_untouched();
  fs::remove_all(root_ + "/tmp");
  link("tmp");
  EXPECT_EQ(error_of([&] { (void)storage_.remove_leftovers(system_clock().now()); }), "conflict");
  EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a", as_bytes("x")); }), "conflict");
  expect_untouched();
}

TEST_F(LinkedPosixStorageTest, ClearsNothingOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const auto left = root_ + "/tmp/" + to_hex(id_of(3));
  fs::create_directories(left);
  std::ofstream(left + "/0") << "12345";
  ASSERT_EQ(::chown((left + "/0").c_str(), 65534, 65534), 0);
  const auto later = system_clock().now() + std::chrono::hours(1);
  EXPECT_EQ(storage_.remove_leftovers(later), 0u);
  EXPECT_TRUE(fs::exists(left + "/0"));
  // A member of the group that is let in leaves what is his.
  PosixStorage shared(root_, id_of(8), 0770);
  EXPECT_EQ(shared.remove_leftovers(later), 5u);
}

TEST_F(PosixStorageTest, WaitsForNobodyAtAPipe) {
  ASSERT_EQ(::mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { (void)storage_.find("pipe", whole_object); }), "corrupt");
}

TEST_F(PosixStorageTest, IsMadeBelowADirectoryThatMayOnlyBeSearched) {
  const auto above = directory_.path("searched");
  fs::create_directory(above);
  // As another user, for whom that is so; root may read everything.
  const bool is_root = ::geteuid() == 0;
  for (const auto& path : {directory_.path(), above}) {
    ASSERT_TRUE(!is_root || ::chown(path.c_str(), 65534, 65534) == 0);
  }
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int code = 1;
    if (!is_root || ::seteuid(65534) == 0) {
      ::mkdir((above + "/repo").c_str(), 0700);
      ::chmod(above.c_str(), 0311);
      const auto said = error_of([&] {
        PosixStorage storage(above + "/repo", id_of(1));
        storage.prepare();
        (void)storage.put_if_absent("a/b", as_bytes("x"));
      });
      code = said == "nothing" ? 0 : 2;
    }
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::chmod(above.c_str(), 0700);
}

TEST_F(PosixStorageTest, PassesOverWhatIsNoKeyInItsDirectories) {
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("x")));
  fs::create_directories(root_ + "/lost+found/deeper");
  fs::create_directories(root_ + "/a/.snapshot/old");
  std::ofstream(root_ + "/a/.nfs00000001") << "x";
  EXPECT_EQ(keys(), Keys{"a/b"});
  EXPECT_EQ(storage_.list_names(""), Keys{"a"});
  EXPECT_EQ(storage_.list_names("a/"), Keys{"b"});
}

TEST_F(PosixStorageTest, LeavesNothingOfWhatCannotBeWritten) {
  for (const int number : {EIO, ENOSPC, EDQUOT}) {
    // The first of the writes, and one that comes when part of it is there.
    for (const int failing : {1, 3}) {
      watch();
      calls_.write_bytes_max = 2;
      calls_.write = [&, call = 0]() mutable { return ++call == failing ? number : 0; };
      EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("a/b", as_bytes("content")); }),
                "unavailable")
          << number;
      watched = nullptr;
      EXPECT_EQ(storage_.find_size("a/b"), std::nullopt) << number;
      EXPECT_EQ(keys(), Keys{}) << number;
      EXPECT_EQ(temporaries(), Keys{}) << number;
    }
  }
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("content")));
}

TEST_F(PosixStorageTest, GoesOnWhereAWriteWasShortOrInterrupted) {
  watch();
  calls_.write_bytes_max = 2;
  calls_.write = [call = 0]() mutable { return ++call % 2 == 1 ? EINTR : 0; };
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("content")));
  watched = nullptr;
  EXPECT_EQ(storage_.find("a/b", whole_object), bytes_of("content"));
}

TEST_F(PosixStorageTest, CallsAnErrorOfTheDeviceTransientAndAFullDiskNot) {
  for (const auto& [number, transient] : {std::pair(EIO, true), std::pair(ENOSPC, false)}) {
    watch();
    calls_.link = [number = number](const std::string&, const std::string&) { return number; };
    try {
      (void)storage_.put_if_absent("a/b", as_bytes("x"));
      ADD_FAILURE() << number;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unavailable);
      EXPECT_EQ(error.is_transient(), transient) << number;
    }
  }
}

TEST_F(PosixStorageTest, TakesALinkWhoseAnswerWasLostForItsOwn) {
  // Done, but answered with EEXIST: the temporary has two names then.
  watch();
  calls_.link = [](const std::string&, const std::string&) { return -EEXIST; };
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("mine")));
  watched = nullptr;
  EXPECT_EQ(storage_.find("a/b", whole_object), bytes_of("mine"));
}

TEST_F(PosixStorageTest, DoesNotTakeAnothersObjectForItsOwn) {
  // The other's object has two names for a moment as well: its temporary is
  // not unlinked yet.
  ASSERT_TRUE(storage_.put_if_absent("a/b", as_bytes("theirs")));
  fs::create_hard_link(root_ + "/a/b", root_ + "/tmp/theirs");
  EXPECT_FALSE(storage_.put_if_absent("a/b", as_bytes("mine")));
  EXPECT_EQ(storage_.find("a/b", whole_object), bytes_of("theirs"));
}

TEST_F(PosixStorageTest, RenamesExclusivelyWhereThereAreNoLinks) {
  watch();
  calls_.link = [](const std::string&, const std::string&) { return EPERM; };
  EXPECT_TRUE(storage_.put_if_absent("a/b", as_bytes("first")));
  EXPECT_FALSE(storage_.put_if_absent("a/b", as_bytes("second")));
  storage_.prepare();
  watched = nullptr;
  EXPECT_EQ(storage_.find("a/b", whole_object), bytes_of("first"));
  EXPECT_EQ(temporaries(), Keys{});
}

TEST_F(PosixStorageTest, RefusesToPrepareAFileSystemThatCannotClaimANameExclusively) {
  // One that "links" over what is there.
  watch();
  calls_.link = [](const std::string& from, const std::string& to) {
    fs::remove(to);
    fs::create_hard_link(from, to);
    return -EEXIST;
  };
  PosixStorage bad(directory_.path("bad"), id_of(3));
  EXPECT_EQ(error_of([&] { bad.prepare(); }), "unavailable");
}

TEST_F(PosixStorageTest, SyncsTheDirectoriesOfWhatItRemoved) {
  for (const auto* const key : {"a/1", "a/2", "b/1"}) {
    ASSERT_TRUE(storage_.put_if_absent(key, as_bytes("x")));
  }
  watch();
  storage_.remove({"a/1", "a/2", "b/1", "never/there"});
  EXPECT_EQ(calls_.log, (Keys{"fsync " + root_ + "/a", "fsync " + root_ + "/b"}));
}

TEST_F(PosixStorageTest, TellsAnUnreadableObjectFromAnAbsentOne) {
  // A link that leads in a circle cannot be opened by anyone.
  fs::create_symlink(root_ + "/loop", root_ + "/loop");
  EXPECT_EQ(error_of([&] { (void)storage_.find("loop", whole_object); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)storage_.find_size("loop"); }), "unavailable");
}

TEST_F(PosixStorageTest, RemovesOldLeftoversOnly) {
  const auto now = system_clock().now();
  const auto leave = [&](const std::string& name, bool old) {
    const auto path = root_ + "/tmp/" + to_hex(id_of(7)) + "/" + name;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << "12345";
    if (old) fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(50));
  };
  EXPECT_EQ(storage_.remove_leftovers(now), 0u);
  leave("0", true);
  leave("1", false);
  // What died between link() and unlink() takes no space.
  ASSERT_TRUE(storage_.put_if_absent("a/1", as_bytes("object")));
  fs::create_hard_link(root_ + "/a/1", root_ + "/tmp/" + to_hex(id_of(7)) + "/2");
  fs::last_write_time(root_ + "/a/1", fs::file_time_type::clock::now() - std::chrono::hours(50));
  const auto limit = now - std::chrono::hours(48);
  EXPECT_EQ(storage_.remove_leftovers(limit), 5u);
  const auto directory = root_ + "/tmp/" + to_hex(id_of(7));
  EXPECT_FALSE(fs::exists(directory + "/0"));
  EXPECT_TRUE(fs::exists(directory + "/1"));
  EXPECT_FALSE(fs::exists(directory + "/2"));
  EXPECT_EQ(storage_.find("a/1", whole_object), bytes_of("object"));
  EXPECT_EQ(storage_.remove_leftovers(now + std::chrono::hours(1)), 5u);
  EXPECT_FALSE(fs::exists(directory));
  // A run whose directory went goes on all the same.
  fs::remove_all(root_ + "/tmp");
  EXPECT_TRUE(storage_.put_if_absent("a/2", as_bytes("object")));
}

}  // namespace
}  // namespace walvault
