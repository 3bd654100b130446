// A repository's root that changes under a running command: moved, replaced, or hidden by a
// mount. Nothing may then be put into what is there instead, nor be answered for by it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "storage/posix_storage.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class HeldRoot : public testing::Test {
 protected:
  HeldRoot() {
    fs::create_directory(path_);
    EXPECT_TRUE(storage_.put_if_absent("clusters/main/1", as_bytes("a registration")));
  }

  void expect_nothing_is_done_there() {
    EXPECT_EQ(error_of([&] { (void)storage_.put_if_absent("wal/main/1", as_bytes("WAL")); }),
              "unavailable");
    // What was there stays readable: it is the repository that the command began with.
    EXPECT_TRUE(storage_.find("clusters/main/1", whole_object));
    // What was not cannot be said to be absent.
    EXPECT_EQ(error_of([&] { (void)storage_.find("wal/main/2", whole_object); }), "unavailable");
    EXPECT_EQ(error_of([&] { (void)storage_.find_size("wal/main/2"); }), "unavailable");
    EXPECT_EQ(error_of([&] { (void)storage_.list_names("wal/"); }), "unavailable");
    EXPECT_TRUE(!fs::exists(path_) || fs::is_empty(path_));
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/repository";
  PosixStorage storage_{path_, RandomId{1}};
};

TEST_F(HeldRoot, IsNotTheDirectoryThatTookItsPlace) {
  fs::rename(path_, path_ + ".moved");
  fs::create_directory(path_);
  expect_nothing_is_done_there();
  EXPECT_FALSE(fs::exists(path_ + ".moved/wal"));
}

TEST_F(HeldRoot, IsNothingWhenItsPathIsGone) {
  fs::rename(path_, path_ + ".moved");
  expect_nothing_is_done_there();
}

TEST_F(HeldRoot, IsGoodAgainWhenItComesBack) {
  fs::rename(path_, path_ + ".moved");
  expect_nothing_is_done_there();
  fs::rename(path_ + ".moved", path_);
  EXPECT_TRUE(storage_.put_if_absent("wal/main/1", as_bytes("WAL")));
}

// In a mount namespace of its own, which ends with the process.
int in_mount_namespace(const std::function<int()>& body) {
  constexpr int skipped = 77;
  const auto child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      ::_exit(skipped);
    }
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(HeldRoot, IsNotWhatIsMountedOverIt) {
  const auto outcome = in_mount_namespace([&] {
    if (::mount("tmpfs", path_.c_str(), "tmpfs", 0, "mode=0700") != 0) return 77;
    expect_nothing_is_done_there();
    return HasFailure() ? 1 : 0;
  });
  if (outcome == 77) GTEST_SKIP() << "only root may mount";
  EXPECT_EQ(outcome, 0);
}

// As when a network mount goes away for a moment: what lies beneath its mount point is not it.
TEST_F(HeldRoot, IsNotWhatLiesBeneathItsMount) {
  const auto outcome = in_mount_namespace([&] {
    const auto mounted = directory_.path() + "/mounted";
    fs::create_directory(mounted);
    if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "mode=0700") != 0) return 77;
    PosixStorage storage(mounted, RandomId{2});
    EXPECT_TRUE(storage.put_if_absent("clusters/main/1", as_bytes("a registration")));
    EXPECT_EQ(::umount2(mounted.c_str(), MNT_DETACH), 0);
    EXPECT_EQ(error_of([&] { (void)storage.put_if_absent("wal/main/1", as_bytes("WAL")); }),
              "unavailable");
    EXPECT_EQ(error_of([&] { (void)storage.find("wal/main/2", whole_object); }), "unavailable");
    EXPECT_TRUE(fs::is_empty(mounted));
    return HasFailure() ? 1 : 0;
  });
  if (outcome == 77) GTEST_SKIP() << "only root may mount";
  EXPECT_EQ(outcome, 0);
}

TEST_F(HeldRoot, IsNotWrittenToWhereEverybodyMay) {
  ASSERT_EQ(::chmod(path_.c_str(), 0777), 0);
  PosixStorage open_to_all(path_, RandomId{3});
  // A restore needs it all the same.
  EXPECT_TRUE(open_to_all.find("clusters/main/1", whole_object));
  EXPECT_EQ(error_of([&] { (void)open_to_all.put_if_absent("wal/main/1", as_bytes("WAL")); }),
            "unavailable");
  EXPECT_NE(find_root_doubt(path_, 0700), std::nullopt);
  ASSERT_EQ(::chmod(path_.c_str(), 0770), 0);
  EXPECT_NE(find_root_doubt(path_, 0700), std::nullopt);
  EXPECT_EQ(find_root_doubt(path_, 0770), std::nullopt);
  ASSERT_EQ(::chmod(path_.c_str(), 0755), 0);
  EXPECT_EQ(find_root_doubt(path_, 0700), std::nullopt);
}

}  // namespace
}  // namespace walvault
