// What of a live data directory belongs into a backup: basebackup.c's rules, on
// directories made by hand. Against real servers: tests/integration/file_backup_test.cpp.
#include "datadir/live_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "support/temporary_directory.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class LiveDirectoryTest : public testing::Test {
 protected:
  // Ends with '/': a directory.
  void make(const std::string& path) const {
    const fs::path full = directory_.path("pg/" + path);
    if (path.ends_with('/')) {
      fs::create_directories(full);
    } else {
      fs::create_directories(full.parent_path());
      std::ofstream(full) << path;
    }
  }
  // Directories end with '/' likewise.
  [[nodiscard]] std::vector<std::string> walk(const LiveDirectory::Options& options = {
                                                  .major = 15, .catalog_version = 202209061}) {
    std::vector<std::string> paths;
    skipped_.clear();
    LiveDirectory(directory_.path("pg"), options)
        .walk(
            [&](const LiveEntry& entry) {
              paths.push_back(entry.path + (entry.is_directory ? "/" : ""));
              locations_[entry.path] = entry.location;
              EXPECT_TRUE(fs::exists(entry.location)) << entry.location;
            },
            [&](const std::string& path) { skipped_.push_back(path); });
    return paths;
  }
  using Paths = std::vector<std::string>;

  TemporaryDirectory directory_;
  std::map<std::string, std::string> locations_;
  Paths skipped_;
};

TEST_F(LiveDirectoryTest, LeavesOutWhatARestoredServerMakesAnew) {
  for (const auto* path : {"PG_VERSION",
                           "postmaster.pid",
                           "postmaster.opts",
                           "backup_label",
                           "tablespace_map",
                           "backup_manifest",
                           "postgresql.auto.conf",
                           "postgresql.auto.conf.tmp",
                           "current_logfiles.tmp",
                           "backup_label.old",
                           "global/pg_control",
                           "global/1262",
                           "global/pg_internal.init",
                           "global/pg_internal.init.4711",
                           "pg_notify/0000",
                           "pg_replslot/slot/state",
                           "pg_stat_tmp/global.stat",
                           "pg_subtrans/0000",
                           "pg_dynshmem/x",
                           "pg_serial/0000",
                           "pg_snapshots/x",
                           "pg_wal/000000010000000000000001",
                           "pg_wal/archive_status/000000010000000000000001.done",
                           "base/pgsql_tmp/pgsql_tmp1.0",
                           "pg_xact/0000",
                           "log/server.log"}) {
    make(path);
  }
  EXPECT_EQ(walk(),
            (Paths{"PG_VERSION", "backup_label.old", "base/", "global/", "global/1262", "log/",
                   "log/server.log", "pg_dynshmem/", "pg_notify/", "pg_replslot/", "pg_serial/",
                   "pg_snapshots/", "pg_stat_tmp/", "pg_subtrans/", "pg_wal/",
                   "pg_wal/archive_status/", "pg_xact/", "pg_xact/0000", "postgresql.auto.conf"}));
  EXPECT_TRUE(skipped_.empty());
}

TEST_F(LiveDirectoryTest, MakesTheDirectoryOfSummariesFrom17On) {
  make("pg_wal/summaries/x.summary");
  EXPECT_EQ(walk({.major = 16}), (Paths{"pg_wal/", "pg_wal/archive_status/"}));
  EXPECT_EQ(walk({.major = 17}), (Paths{"pg_wal/", "pg_wal/archive_status/", "pg_wal/summaries/"}));
}

TEST_F(LiveDirectoryTest, LeavesOutTheStatisticsOf13And14WhereverTheyAre) {
  make("mine/of_statistics/global.stat");
  make("mine/other");
  for (const auto& place : {std::string("mine/of_statistics"), std::string("./mine/of_statistics/"),
                            directory_.path("pg/mine/of_statistics")}) {
    EXPECT_EQ(walk({.major = 14, .statistics_directory = place}),
              (Paths{"mine/", "mine/of_statistics/", "mine/other"}))
        << place;
  }
}

TEST_F(LiveDirectoryTest, KeepsOfUnloggedTablesWhatTheyBeginWithAndNothingOfTemporaryOnes) {
  for (const auto* name :
       {"16384",          "16384.1",      "16384_fsm",       "16384_init",  "16385",
        "16385_vm",       "16385_vm.2",   "16386_init.1",    "16386",       "t3_16390",
        "t3_16390.1",     "t3_16390_fsm", "t3_16390_init.2", "t3_x",        "t_16390",
        "t3_16390_other", "16384x",       "16384.x",         "16384_other", "pg_filenode.map",
        "t3_16390x"}) {
    make(std::string("base/5/") + name);
    make(std::string("other/5/") + name);
  }
  const auto paths = walk();
  const auto under = [&](const std::string& prefix) {
    std::set<std::string> names;
    for (const auto& path : paths) {
      if (path.starts_with(prefix) && path != prefix) names.insert(path.substr(prefix.size()));
    }
    return names;
  };
  EXPECT_EQ(under("base/5/"),
            (std::set<std::string>{"16384_init", "16384x", "16384.x", "16384_other", "16385",
                                   "16385_vm", "16385_vm.2", "16386", "16386_init.1", "t3_x",
                                   "t_16390", "t3_16390_other", "pg_filenode.map", "t3_16390x"}));
  EXPECT_EQ(under("other/5/").size(), 21u) << "no place for relations";
}

TEST_F(LiveDirectoryTest, FollowsTablespacesToTheirOwnVersionOnly) {
  fs::create_directories(directory_.path("space/PG_15_202209061/5"));
  fs::create_directories(directory_.path("space/PG_16_202307071/5"));
  std::ofstream(directory_.path("space/PG_15_202209061/5/16400")) << "x";
  std::ofstream(directory_.path("space/PG_15_202209061/5/16401")) << "x";
  std::ofstream(directory_.path("space/PG_15_202209061/5/16401_init")) << "x";
  std::ofstream(directory_.path("space/PG_16_202307071/5/16400")) << "x";
  make("pg_tblspc/");
  fs::create_directory_symlink(directory_.path("space"), directory_.path("pg/pg_tblspc/16399"));
  // One that lies in the data directory, one whose directory is gone.
  make("inner/PG_15_202209061/5/16402");
  fs::create_directory_symlink(directory_.path("pg/inner"), directory_.path("pg/pg_tblspc/16398"));
  fs::create_directory_symlink(directory_.path("none"), directory_.path("pg/pg_tblspc/16397"));
  // One that an administrator has moved, and one that is no server's.
  fs::create_directories(directory_.path("moved/5"));
  fs::create_directories(directory_.path("left"));
  std::ofstream(directory_.path("moved/5/16403")) << "x";
  fs::create_directory_symlink(directory_.path("moved"), directory_.path("left/PG_15_202209061"));
  fs::create_directory_symlink(directory_.path("left"), directory_.path("pg/pg_tblspc/16396"));
  fs::create_directory_symlink(directory_.path("left"), directory_.path("pg/pg_tblspc/odd"));
  EXPECT_EQ(walk(),
            (Paths{"inner/", "pg_tblspc/", "pg_tblspc/16396/PG_15_202209061/",
                   "pg_tblspc/16396/PG_15_202209061/5/", "pg_tblspc/16396/PG_15_202209061/5/16403",
                   "pg_tblspc/16398/PG_15_202209061/", "pg_tblspc/16398/PG_15_202209061/5/",
                   "pg_tblspc/16398/PG_15_202209061/5/16402", "pg_tblspc/16399/PG_15_202209061/",
                   "pg_tblspc/16399/PG_15_202209061/5/", "pg_tblspc/16399/PG_15_202209061/5/16400",
                   "pg_tblspc/16399/PG_15_202209061/5/16401_init"}));
  EXPECT_EQ(skipped_, Paths{"pg_tblspc/odd"});
}

// The server has not told of it: replay makes it.
TEST_F(LiveDirectoryTest, KnowsTheTablespacesOfItsBeginning) {
  make("pg_tblspc/");
  fs::create_directories(directory_.path("space/PG_15_202209061/5"));
  fs::create_directory_symlink(directory_.path("space"), directory_.path("pg/pg_tblspc/16399"));
  const LiveDirectory live(directory_.path("pg"), {.major = 15, .catalog_version = 202209061});
  fs::create_directory_symlink(directory_.path("space"), directory_.path("pg/pg_tblspc/16400"));
  EXPECT_EQ(live.tablespaces(), Paths{"16399"});
  Paths paths;
  live.walk([&](const LiveEntry& entry) { paths.push_back(entry.path); },
            [](const std::string&) { ADD_FAILURE(); });
  EXPECT_EQ(paths, (Paths{"pg_tblspc", "pg_tblspc/16399/PG_15_202209061",
                          "pg_tblspc/16399/PG_15_202209061/5"}));
}

TEST_F(LiveDirectoryTest, TakesLinkedDirectoriesOfTheServerForDirectoriesAndTellsOfOtherLinks) {
  fs::create_directory(directory_.path("wal"));
  make("PG_VERSION");
  fs::create_directory_symlink(directory_.path("wal"), directory_.path("pg/pg_wal"));
  fs::create_directory_symlink(directory_.path("wal"), directory_.path("pg/pg_stat_tmp"));
  fs::create_symlink("/etc/hostname", directory_.path("pg/pg_hba.conf"));
  ASSERT_EQ(::mkfifo(directory_.path("pg/pipe").c_str(), 0600), 0);
  EXPECT_EQ(walk(), (Paths{"PG_VERSION", "pg_stat_tmp/", "pg_wal/", "pg_wal/archive_status/"}));
  EXPECT_EQ(skipped_, (Paths{"pg_hba.conf", "pipe"}));
}

}  // namespace
}  // namespace walvault
