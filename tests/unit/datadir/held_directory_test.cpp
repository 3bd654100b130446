#include "datadir/held_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "datadir/data_directory_writer.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class HeldDirectoryTest : public testing::Test {
 protected:
  HeldDirectoryTest() { fs::create_directory(path_); }

  // What path_ led to lies elsewhere, and another directory has its name.
  void exchange() {
    fs::rename(path_, moved_);
    fs::create_directory(path_);
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path("data");
  std::string moved_ = directory_.path("moved");
};

TEST_F(HeldDirectoryTest, IsHeldByOneAtATime) {
  {
    const HeldDirectory held(path_);
    EXPECT_TRUE(held);
    EXPECT_EQ(error_of([&] { const HeldDirectory other(path_); }), "conflict");
    const TemporaryDirectory another;
    EXPECT_TRUE(HeldDirectory(another.path()));
  }
  EXPECT_TRUE(HeldDirectory(path_));
}

TEST_F(HeldDirectoryTest, IsWrittenToWhereverItLies) {
  const HeldDirectory held(path_);
  DataDirectoryWriter writer(held.below());
  exchange();
  writer.make_directory("base", 0700);
  writer.write_file("base/1", as_bytes("content"), 0600);
  writer.make_symlink("link", "/elsewhere");
  EXPECT_TRUE(fs::exists(moved_ + "/base/1"));
  EXPECT_TRUE(fs::is_symlink(moved_ + "/link"));
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(HeldDirectoryTest, NoticesThatItsPathLeadsElsewhere) {
  const HeldDirectory held(path_);
  held.expect_in_place();
  EXPECT_EQ(error_of([&] { sync_all({&held, &held}); }), "nothing");
  exchange();
  EXPECT_EQ(error_of([&] { held.expect_in_place(); }), "unavailable");
  EXPECT_EQ(error_of([&] { sync_all({&held}); }), "unavailable");
  fs::remove(path_);
  EXPECT_EQ(error_of([&] { held.expect_in_place(); }), "unavailable");
  fs::rename(moved_, path_);
  held.expect_in_place();
}

TEST_F(HeldDirectoryTest, NoticesASecondOneThatIsNotInPlace) {
  fs::create_directory(directory_.path("tablespace"));
  const HeldDirectory data(path_);
  const HeldDirectory tablespace(directory_.path("tablespace"));
  sync_all({&data, &tablespace});
  fs::rename(directory_.path("tablespace"), moved_);
  EXPECT_EQ(error_of([&] { sync_all({&data, &tablespace}); }), "unavailable");
}

TEST_F(HeldDirectoryTest, IsNamedByItsPathInErrors) {
  const HeldDirectory held(path_);
  const auto error =
      held.in_words({ErrorKind::unavailable, "cannot open \"" + held.below() + "/base/1\"",
                     "In " + held.below() + ".", held.below() + "7 is another descriptor's"});
  EXPECT_EQ(error.message(), "cannot open \"" + path_ + "/base/1\"");
  EXPECT_EQ(error.detail(), "In " + path_ + ".");
  EXPECT_EQ(error.hint(), held.below() + "7 is another descriptor's");
}

TEST_F(HeldDirectoryTest, IsWhereATablespacesFilesGoWhateverItsLinkLeadsTo) {
  fs::create_directory(directory_.path("tablespace"));
  const HeldDirectory tablespace(directory_.path("tablespace"));
  DataDirectoryWriter writer(path_);
  writer.make_directory("pg_tblspc", 0700);
  writer.make_symlink("pg_tblspc/1", directory_.path("tablespace"));
  writer.redirect("pg_tblspc/1", tablespace.below());
  fs::rename(directory_.path("tablespace"), moved_);
  fs::create_directory(directory_.path("tablespace"));
  writer.write_file("pg_tblspc/1/PG_VERSION", as_bytes("15"), 0600);
  EXPECT_TRUE(fs::exists(moved_ + "/PG_VERSION"));
  EXPECT_TRUE(fs::is_empty(directory_.path("tablespace")));
  // Another's, whose number begins alike.
  writer.make_directory("pg_tblspc/12", 0700);
  EXPECT_TRUE(fs::is_directory(path_ + "/pg_tblspc/12"));
}

class FileOwnerTest : public HeldDirectoryTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root may act as others";
    // The directories above are mkdtemp's: 0700, of root.
    ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  }
  static FileOwner owner_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return {status.st_uid, status.st_gid};
  }
  static void give(const std::string& path, FileOwner owner) {
    ASSERT_EQ(::lchown(path.c_str(), owner.user, owner.group), 0) << path;
  }

  const FileOwner somebody_{12345, 23456};
};

TEST_F(FileOwnerTest, IsTheDirectorysOrThatOfTheOneAbove) {
  EXPECT_EQ(error_of([&] { (void)owner_for(path_); }), "conflict");
  EXPECT_EQ(error_of([&] { (void)owner_for(directory_.path("none/data")); }), "conflict");
  give(directory_.path(), somebody_);
  EXPECT_EQ(owner_for(directory_.path("none/data")), somebody_);
  EXPECT_EQ(error_of([&] { (void)owner_for(path_); }), "conflict") << "it is root's itself";
  const FileOwner own{3, 4};
  give(path_, own);
  EXPECT_EQ(owner_for(path_), own);
}

TEST_F(FileOwnerTest, GetsEverythingThatIsMade) {
  give(path_, somebody_);
  const auto data = path_ + "/above/data";
  DataDirectoryWriter writer(data, Existing::none, somebody_);
  writer.make_directory("base", 0700);
  writer.make_parents("base/5/1");
  writer.write_file("base/5/1", as_bytes("content"), 0600);
  writer.make_symlink("link", "/elsewhere");
  writer.replace_file("postgresql.auto.conf", as_bytes("x = 1"), 0600);
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path_)) {
    ++files;
    EXPECT_EQ(owner_of(entry.path()), somebody_) << entry.path();
  }
  EXPECT_EQ(files, 7u);
  EXPECT_EQ(::geteuid(), 0u);
  std::ofstream(directory_.path("roots"));
  EXPECT_EQ(owner_of(directory_.path("roots")), (FileOwner{0, 0})) << "it acts as root again";
}

// Who owns the directory puts links where root is about to write.
TEST_F(FileOwnerTest, CannotLeadRootElsewhere) {
  const auto secret = directory_.path("secret");
  std::ofstream(secret) << "root's";
  ASSERT_EQ(::chmod(secret.c_str(), 0644), 0);
  give(path_, somebody_);
  const HeldDirectory held(path_);
  DataDirectoryWriter writer(held.below(), Existing::reuse, somebody_);
  writer.make_directory("base", 0700);
  (void)writer.make_file("base/1", 10, 0600);
  fs::remove(path_ + "/base/1");
  fs::create_symlink(secret, path_ + "/base/1");
  EXPECT_EQ(error_of([&] { (void)writer.open_for_writing("base/1"); }), "unavailable");
  fs::rename(path_ + "/base", path_ + "/was");
  fs::create_directory_symlink(directory_.path(), path_ + "/base");
  EXPECT_EQ(error_of([&] { writer.write_file("base/secret", as_bytes("theirs"), 0666); }),
            "unavailable");
  EXPECT_EQ(error_of([&] { writer.make_directory("base/new", 0777); }), "unavailable");
  EXPECT_EQ(read_file(secret, 100), bytes_of("root's"));
  EXPECT_EQ(owner_of(secret), (FileOwner{0, 0}));
}

}  // namespace
}  // namespace walvault
