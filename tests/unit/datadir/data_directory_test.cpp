#include "datadir/data_directory.h"
#include "datadir/data_directory_writer.h"
#include "datadir/file_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/process_in.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class DataDirectoryTest : public testing::Test {
 protected:
  [[nodiscard]] static mode_t mode_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777u;
  }
  [[nodiscard]] std::string vacancy(const std::string& path) const {
    return error_of([&] { DataDirectory(path).expect_vacant("the destination"); });
  }

  TemporaryDirectory directory_;
};

TEST_F(DataDirectoryTest, IsVacantWhenMissingOrEmpty) {
  EXPECT_EQ(vacancy(directory_.path("missing")), "nothing");
  EXPECT_EQ(vacancy(directory_.path("missing/deeper")), "nothing");
  EXPECT_EQ(vacancy(directory_.path()), "nothing");
  EXPECT_FALSE(fs::exists(directory_.path("missing")));
}

TEST_F(DataDirectoryTest, IsVacantOnAFileSystemOfItsOwn) {
  fs::create_directory(directory_.path("lost+found"));
  EXPECT_EQ(vacancy(directory_.path()), "nothing");
  std::ofstream(directory_.path("a"));
  EXPECT_EQ(vacancy(directory_.path()), "conflict");
}

TEST_F(DataDirectoryTest, IsNotVacantWhenItHoldsAnything) {
  for (const auto* const name : {"PG_VERSION", ".hidden", "zz"}) {
    std::ofstream(directory_.path(name));
    const auto words =
        words_of_error([&] { DataDirectory(directory_.path()).expect_vacant("the destination"); });
    EXPECT_EQ(vacancy(directory_.path()), "conflict");
    EXPECT_NE(words.find(name), std::string::npos) << words;
    fs::remove(directory_.path(name));
  }
  fs::create_directory(directory_.path("sub"));
  EXPECT_EQ(vacancy(directory_.path()), "conflict");
}

TEST_F(DataDirectoryTest, IsNotVacantWhenItIsAFile) {
  std::ofstream(directory_.path("file"));
  EXPECT_EQ(vacancy(directory_.path("file")), "conflict");
}

TEST_F(DataDirectoryTest, FollowsALinkToADirectory) {
  fs::create_directory(directory_.path("real"));
  fs::create_directory_symlink(directory_.path("real"), directory_.path("link"));
  EXPECT_EQ(vacancy(directory_.path("link")), "nothing");
  std::ofstream(directory_.path("real/x"));
  EXPECT_EQ(vacancy(directory_.path("link")), "conflict");
}

TEST_F(DataDirectoryTest, HasToBeNamedFromTheRootOn) {
  for (const auto* const path : {"", "data", "./data", "../data"}) {
    EXPECT_EQ(vacancy(path), "usage") << path;
  }
}

TEST_F(DataDirectoryTest, SaysThatAServerIsRunningThere) {
  const ProcessIn server(directory_.path());
  std::ofstream(directory_.path("postmaster.pid")) << server.pid() << "\n/srv/pg\n";
  const auto words =
      words_of_error([&] { DataDirectory(directory_.path()).expect_vacant("the destination"); });
  EXPECT_EQ(vacancy(directory_.path()), "conflict");
  EXPECT_NE(words.find("running"), std::string::npos) << words;
}

TEST_F(DataDirectoryTest, KnowsTheNamesOfATablespace) {
  EXPECT_TRUE(is_tablespace_version("PG_15_202209061"));
  for (const auto* const name :
       {"PG_15", "PG_15_", "PG__1", "PG_15_2022b", "pg_15_202209061", ""}) {
    EXPECT_FALSE(is_tablespace_version(name)) << name;
  }
}

TEST_F(DataDirectoryTest, DoesNotTakeADeadServersFileForARunningServer) {
  for (const auto* const pid : {"2147483000", "-2147483000", "garbage", "", "0"}) {
    std::ofstream(directory_.path("postmaster.pid")) << pid << "\n";
    const auto words =
        words_of_error([&] { DataDirectory(directory_.path()).expect_vacant("the destination"); });
    EXPECT_EQ(words.find("running"), std::string::npos) << words;
    EXPECT_EQ(vacancy(directory_.path()), "conflict");
  }
}

TEST_F(DataDirectoryTest, TellsTheFreeBytesOfAPlaceThatIsNotThereYet) {
  const auto here = free_bytes_at(directory_.path());
  EXPECT_GT(here, 0u);
  EXPECT_GT(free_bytes_at(directory_.path("a/b/c")), 0u);
}

TEST_F(DataDirectoryTest, IsMadeWithThoseAboveAndKeptToItsOwner) {
  const auto before = ::umask(0);
  const DataDirectoryWriter writer(directory_.path("a/b/data"));
  ::umask(before);
  EXPECT_EQ(mode_of(directory_.path("a/b/data")), 0700u);
  EXPECT_EQ(writer.path_of("base/1"), directory_.path("a/b/data/base/1"));
}

TEST_F(DataDirectoryTest, TakesAnExistingDirectoryAsItsOwn) {
  fs::create_directory(directory_.path("data"));
  fs::permissions(directory_.path("data"), fs::perms::all);
  DataDirectoryWriter writer(directory_.path("data"));
  EXPECT_EQ(mode_of(writer.root()), 0700u);
  writer.set_root_mode(0750);
  EXPECT_EQ(mode_of(writer.root()), 0750u);
}

TEST_F(DataDirectoryTest, GivesFilesAndDirectoriesTheirModesWhateverTheUmask) {
  const auto before = ::umask(0077);
  DataDirectoryWriter writer(directory_.path("data"));
  writer.make_directory("base/5", 0750);
  writer.make_file("base/5/1", 10, 0640);
  writer.write_file("base/5/2", as_bytes("x"), 0604);
  writer.apply_modes();
  ::umask(before);
  EXPECT_EQ(mode_of(writer.path_of("base/5")), 0750u);
  EXPECT_EQ(mode_of(writer.path_of("base/5/1")), 0640u);
  EXPECT_EQ(mode_of(writer.path_of("base/5/2")), 0604u);
}

TEST_F(DataDirectoryTest, HoldsBackAModeThatWouldKeepItsOwnerOut) {
  DataDirectoryWriter writer(directory_.path("data"));
  writer.make_directory("locked", 0500);
  writer.make_file("locked/key", 4, 0400);
  EXPECT_EQ(mode_of(writer.path_of("locked")) & 0700u, 0700u);
  EXPECT_EQ(mode_of(writer.path_of("locked/key")) & 0600u, 0600u);
  write_all_at(writer.open_for_writing("locked/key"), as_bytes("data"), 0, "key");
  writer.apply_modes();
  EXPECT_EQ(mode_of(writer.path_of("locked")), 0500u);
  EXPECT_EQ(mode_of(writer.path_of("locked/key")), 0400u);
  EXPECT_EQ(read_file(writer.path_of("locked/key"), 100), bytes_of("data"));
  fs::permissions(writer.path_of("locked"), fs::perms::owner_all);
}

TEST_F(DataDirectoryTest, MakesSparseFilesOfZeros) {
  DataDirectoryWriter writer(directory_.path("data"));
  writer.make_file("zeros", 64u << 20, 0600);
  struct stat status {};
  ASSERT_EQ(::stat(writer.path_of("zeros").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 64 << 20);
  EXPECT_EQ(status.st_blocks, 0);
}

TEST_F(DataDirectoryTest, NeverWritesOverAFileOrLink) {
  DataDirectoryWriter writer(directory_.path("data"));
  writer.write_file("f", as_bytes("first"), 0600);
  EXPECT_EQ(error_of([&] { writer.make_file("f", 1, 0600); }), "unavailable");
  EXPECT_EQ(error_of([&] { writer.write_file("f", as_bytes("x"), 0600); }), "unavailable");
  EXPECT_EQ(error_of([&] { writer.make_symlink("f", "/elsewhere"); }), "unavailable");
  EXPECT_EQ(read_file(writer.path_of("f"), 100), bytes_of("first"));
  writer.make_symlink("link", directory_.path("outside"));
  EXPECT_EQ(error_of([&] { writer.make_file("link", 1, 0600); }), "unavailable");
  EXPECT_FALSE(fs::exists(directory_.path("outside")));
}

TEST_F(DataDirectoryTest, WritesPartsOfAFileInAnyOrder) {
  DataDirectoryWriter writer(directory_.path("data"));
  const auto content = random_bytes(100'000, 1);
  writer.make_file("f", content.size(), 0600);
  write_all_at(writer.open_for_writing("f"), ByteView(content).subspan(60'000), 60'000, "f");
  write_all_at(writer.open_for_writing("f"), ByteView(content).first(60'000), 0, "f");
  EXPECT_TRUE(read_file(writer.path_of("f"), 200'000) == content);
}

class ClearTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text = "x") {
    fs::create_directories(fs::path(directory_.path(name)).parent_path());
    std::ofstream(directory_.path(name)) << text;
  }
  void link_tablespace(const std::string& space) {
    fs::create_directories(directory_.path("pg/pg_tblspc"));
    fs::create_symlink(directory_.path(space), directory_.path("pg/pg_tblspc/16400"));
  }
  [[nodiscard]] std::vector<std::string> left_in(const std::string& name) const {
    return names_in(directory_.path(name));
  }

  TemporaryDirectory directory_;
};

TEST_F(ClearTest, LeavesAnEmptyDirectoryAndWhatOthersHaveInItsTablespaces) {
  write("pg/PG_VERSION", "15\n");
  write("pg/global/pg_control");
  write("pg/base/5/1259");
  write("pg/lost+found/x");
  write("space/PG_15_202209061/5/16384");
  write("space/PG_18_202506291/5/16384");
  write("space/notes.txt");
  link_tablespace("space");
  EXPECT_EQ(DataDirectory(directory_.path("pg")).tablespaces(),
            std::vector<std::string>{directory_.path("space")});
  EXPECT_GT(bytes_below(directory_.path("pg")), 0u);
  DataDirectory(directory_.path("pg")).clear(15);
  EXPECT_EQ(left_in("pg"), std::vector<std::string>{"lost+found"});
  EXPECT_EQ(left_in("space"), (std::vector<std::string>{"PG_18_202506291", "notes.txt"}));
}

TEST_F(ClearTest, LeavesTablespacesAloneUnlessToldTo) {
  write("pg/PG_VERSION", "15\n");
  write("space/PG_15_202209061/5/16384");
  link_tablespace("space");
  DataDirectory(directory_.path("pg")).clear(std::nullopt);
  EXPECT_TRUE(left_in("pg").empty());
  EXPECT_EQ(left_in("space"), std::vector<std::string>{"PG_15_202209061"});
}

TEST_F(ClearTest, ClearsWhatAnInterruptedRestoreLeft) {
  write("pg/base/5/1259");
  write("space/PG_15_202209061/5/16384");
  write("space/PG_18_202506291/5/16384");
  link_tablespace("space");
  DataDirectory(directory_.path("pg")).clear(15);
  EXPECT_TRUE(left_in("pg").empty());
  EXPECT_EQ(left_in("space"), std::vector<std::string>{"PG_18_202506291"});
}

TEST_F(ClearTest, KeepsAWalDirectoryThatLiesElsewhere) {
  write("pg/global/pg_control");
  write("wal/000000010000000000000001");
  write("wal/archive_status/000000010000000000000001.ready");
  fs::create_symlink(directory_.path("wal"), directory_.path("pg/pg_wal"));
  DataDirectory(directory_.path("pg")).clear(15);
  EXPECT_EQ(left_in("pg"), std::vector<std::string>{"pg_wal"});
  EXPECT_TRUE(fs::is_symlink(directory_.path("pg/pg_wal")));
  EXPECT_TRUE(left_in("wal").empty());
}

TEST_F(ClearTest, FollowsNoLinkOutOfTheDirectory) {
  write("pg/PG_VERSION", "15\n");
  write("outside/precious");
  fs::create_directory_symlink(directory_.path("outside"), directory_.path("pg/link"));
  DataDirectory(directory_.path("pg")).clear(15);
  EXPECT_TRUE(left_in("pg").empty());
  EXPECT_EQ(left_in("outside"), std::vector<std::string>{"precious"});
}

}  // namespace
}  // namespace walvault
