#include "base/place.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "support/temporary_directory.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class PlaceTest : public testing::Test {
 protected:
  PlaceTest() {
    fs::create_directories(path("data/inner"));
    fs::create_directories(path("database"));
  }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_.path(name); }
  [[nodiscard]] Overlap relation(const std::string& first, const std::string& second) const {
    const auto there = overlap(Place(path(first)), Place(path(second)));
    const auto back = overlap(Place(path(second)), Place(path(first)));
    const auto turned = there == Overlap::inside
                            ? Overlap::around
                            : (there == Overlap::around ? Overlap::inside : there);
    EXPECT_EQ(back, turned) << first << " and " << second;
    return there;
  }

  TemporaryDirectory directory_;
};

TEST_F(PlaceTest, IsComparedPartByPart) {
  EXPECT_EQ(relation("data", "data"), Overlap::same);
  EXPECT_EQ(relation("data/inner", "data"), Overlap::inside);
  EXPECT_EQ(relation("database", "data"), Overlap::none);
  EXPECT_EQ(relation("data", "data/"), Overlap::same);
  EXPECT_EQ(relation("data/./inner/../inner//", "data/inner"), Overlap::same);
  EXPECT_EQ(overlap(Place(path("data")), Place("/")), Overlap::inside);
}

TEST_F(PlaceTest, NeedNotExist) {
  EXPECT_EQ(relation("data/new/repo", "data"), Overlap::inside);
  EXPECT_EQ(relation("data/new/repo", "data/new"), Overlap::inside);
  EXPECT_EQ(relation("data/new", "data/new"), Overlap::same);
  EXPECT_EQ(relation("data/new", "data/newer"), Overlap::none);
  EXPECT_EQ(relation("new", "data"), Overlap::none);
}

TEST_F(PlaceTest, IsWhereLinksLead) {
  fs::create_directory_symlink(path("data"), path("link"));
  fs::create_directory_symlink("link/inner", path("to_inner"));
  EXPECT_EQ(relation("link", "data"), Overlap::same);
  EXPECT_EQ(relation("link/new", "data"), Overlap::inside);
  EXPECT_EQ(relation("to_inner", "data"), Overlap::inside);
  EXPECT_EQ(relation("to_inner", "link/inner"), Overlap::same);
  EXPECT_EQ(relation("to_inner/new", "database"), Overlap::none);
}

// One volume in a container, mounted as a whole for backups and in part for the data.
TEST_F(PlaceTest, IsTheSameHoweverItIsMounted) {
  fs::create_directories(path("whole"));
  fs::create_directories(path("part"));
  const auto bind = [&](const std::string& from, const std::string& to) {
    return ::mount(path(from).c_str(), path(to).c_str(), nullptr, MS_BIND, nullptr) == 0;
  };
  if (!bind("data", "whole")) GTEST_SKIP() << "this user or machine cannot mount";
  const bool both = bind("data/inner", "part");
  EXPECT_TRUE(both);
  EXPECT_EQ(relation("whole", "data"), Overlap::same);
  EXPECT_EQ(relation("part", "data"), Overlap::inside);
  EXPECT_EQ(relation("part", "whole"), Overlap::inside);
  EXPECT_EQ(relation("part/new", "whole"), Overlap::inside);
  EXPECT_EQ(relation("part/new", "data/inner/new"), Overlap::same);
  EXPECT_EQ(relation("part", "database"), Overlap::none);
  ::umount(path("part").c_str());
  ::umount(path("whole").c_str());
}

}  // namespace
}  // namespace walvault
