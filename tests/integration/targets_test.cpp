// Where a restore stops, and what it refuses before it writes anything.
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <thread>

#include "support/main_job.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const std::string rows = "SELECT string_agg(n::text, ',' ORDER BY n) FROM t";

class TargetTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, TargetTest, ::testing::Values(13, 15, 18), name_of_major);

// What ends other tools' restores with "recovery ended before configured
// recovery target was reached".
TEST_P(TargetTest, AMomentAfterTheLastCommitOfAnIdleServerIsReached) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  (void)server.sql("INSERT INTO t VALUES (2)");
  std::this_thread::sleep_for(1100ms);
  const auto moment = server.sql("SELECT clock_timestamp()");
  std::this_thread::sleep_for(1100ms);
  // It moves the archive on, and commits nothing.
  job.archive_everything();
  const std::vector<std::string> arguments = {"--to", moment};
  const auto planned = job.walvault(
      {"restore", "--dry-run", "--pgdata", job.directory().path("new"), "--to", moment, "--json"});
  ASSERT_EQ(planned.exit_code, 0) << planned.text();
  EXPECT_THAT(planned.err, HasSubstr("no transaction after"));
  EXPECT_THAT(planned.out, HasSubstr("\"time_proved\": false"));
  auto restored = job.restore("new", arguments);
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql(rows), "1,2");
}

TEST_P(TargetTest, TheRecordThatThePlanNamesIsWhereRecoveryStops) {
  MainJob job(GetParam(), "max_prepared_transactions = 5\ntrack_commit_timestamp = on\n");
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  (void)server.sql(
      "BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); COMMIT");
  const auto sub = server.sql("SELECT xmin FROM t WHERE n = 3");
  (void)server.sql("BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'x'");
  const auto prepared = server.sql("SELECT transaction FROM pg_prepared_xacts");
  (void)server.sql("INSERT INTO t VALUES (5)");
  (void)server.sql("COMMIT PREPARED 'x'");
  std::this_thread::sleep_for(5ms);
  const auto moment = server.sql("SELECT clock_timestamp()");
  (void)server.sql("BEGIN; INSERT INTO t VALUES (0); ROLLBACK");
  (void)server.sql("SELECT pg_create_restore_point('twice')");
  (void)server.sql("INSERT INTO t VALUES (6)");
  (void)server.sql("SELECT pg_create_restore_point('twice')");
  job.archive_everything();

  struct Case {
    std::vector<std::string> target;
    std::string expected;
  };
  const std::vector<Case> cases = {{{"--to-xid", sub}, "1,2,3"},
                                   {{"--to-xid", prepared}, "1,2,3,4,5"},
                                   {{"--to-xid", prepared, "--exclusive"}, "1,2,3,5"},
                                   {{"--to", moment}, "1,2,3,4,5"}};
  int number = 0;
  for (const auto& each : cases) {
    const auto name = "new" + std::to_string(++number);
    SCOPED_TRACE(each.target[0] + " " + each.target[1]);
    auto arguments = each.target;
    arguments.insert(arguments.begin(),
                     {"restore", "--dry-run", "--pgdata", job.directory().path(name)});
    const auto plan = job.walvault_json(arguments).at("plan");
    EXPECT_EQ(plan.at("target").at("time_proved"), each.target[0] == "--to");
    auto restored = job.restore(name, each.target);
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql(rows), each.expected);
    const std::string lsn = plan.at("target").at("lsn");
    EXPECT_THAT(restored->log(), HasSubstr("WAL location (LSN) \"" + lsn + "\""));
  }
  const auto twice =
      job.walvault({"restore", "--pgdata", job.directory().path("new"), "--to-name", "twice"});
  EXPECT_EQ(twice.exit_code, 2) << twice.text();
  EXPECT_THAT(twice.err, HasSubstr("--to-lsn"));
  const auto never =
      job.walvault({"restore", "--pgdata", job.directory().path("new"), "--to-name", "never"});
  EXPECT_EQ(never.exit_code, 7) << never.text();
  EXPECT_THAT(never.err, HasSubstr("\"twice\""));
  const auto unknown =
      job.walvault({"restore", "--pgdata", job.directory().path("new"), "--to-xid", "99999999"});
  EXPECT_EQ(unknown.exit_code, 7) << unknown.text();
  EXPECT_FALSE(fs::exists(job.directory().path("new")));
}

// Three segments behind the backup, each with a row.
class DamagedArchive : public ::testing::Test {
 protected:
  DamagedArchive() {
    (void)job_.server().sql("CREATE TABLE t AS SELECT 0 AS n");
    (void)job_.backup();
    for (int i = 1; i <= 4; ++i) {
      (void)job_.server().sql("INSERT INTO t VALUES (" + std::to_string(i) + ")");
      lsns_.push_back(job_.server().sql("SELECT pg_current_wal_insert_lsn()"));
      job_.archive_everything();
    }
    const auto directory = job_.repository() + "/wal/main/1/00000001-0/00000000";
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.path().filename().string().size() == 24) paths_.push_back(entry.path().string());
    }
    std::ranges::sort(paths_);
  }

  void expect_refused_from(std::size_t index, bool info_tells = true) {
    const auto info = job_.walvault_json({"info"}).at("clusters").at(0);
    EXPECT_EQ(info.at("gaps").empty(), !info_tells) << info.dump(1);
    const auto refused = job_.walvault({"restore", "--pgdata", job_.directory().path("new")});
    EXPECT_EQ(refused.exit_code, 7) << refused.text();
    EXPECT_THAT(refused.err, HasSubstr(fs::path(paths_[index]).filename().string()));
    EXPECT_FALSE(fs::exists(job_.directory().path("new")));
    auto restored = job_.restore("new", {"--to-lsn", lsns_[0]});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql(rows), "0,1");
  }

  MainJob job_{usual_major};
  std::vector<std::string> lsns_;   // behind each row
  std::vector<std::string> paths_;  // of the archived segments
};

TEST_F(DamagedArchive, ASegmentThatWasDamagedBeforeItWasArchived) {
  // Its page in pg_wal was wrong already: archived, with a warning, and proved
  // no further than there.
  const auto path = paths_[paths_.size() - 2];
  const auto name = fs::path(path).filename().string();
  auto segment = job_.directory().path(name);
  const auto fetched = run({job_.binary("walvault-fetch"), "--repo", job_.repository(), "--cluster",
                            "main", name, segment},
                           {}, job_.directory().path());
  ASSERT_EQ(fetched.exit_code, 0) << fetched.text();
  auto content = read_text(segment);
  content[200] = static_cast<char>(content[200] ^ 1);
  write_text(segment, content);
  fs::remove(path);
  const auto archived = run(
      {job_.binary("walvault-archive"), "--repo", job_.repository(), "--cluster", "main", segment},
      {}, job_.directory().path());
  EXPECT_EQ(archived.exit_code, 0) << archived.text();
  EXPECT_THAT(archived.err, HasSubstr("is archived, but damaged"));
  expect_refused_from(paths_.size() - 2);
}

TEST_F(DamagedArchive, ASegmentThatWasDamagedInTheRepository) {
  const auto path = paths_[paths_.size() - 2];
  auto content = read_text(path);
  content[40] = static_cast<char>(content[40] ^ 1);
  fs::permissions(path, fs::owner_read | fs::owner_write);
  write_text(path, content);
  expect_refused_from(paths_.size() - 2);
}

// What only the content tells is found before a byte is written as well.
TEST_F(DamagedArchive, ASegmentWhoseContentWasDamagedInTheRepository) {
  const auto path = paths_[paths_.size() - 2];
  auto content = read_text(path);
  // Envelope, the length of the header, the header, its digest; then the content.
  const auto header_bytes =
      static_cast<unsigned char>(content[32]) + 256u * static_cast<unsigned char>(content[33]);
  auto& byte = content.at(32 + 4 + header_bytes + 32 + 10);
  byte = static_cast<char>(byte ^ 1);
  fs::permissions(path, fs::owner_read | fs::owner_write);
  write_text(path, content);
  expect_refused_from(paths_.size() - 2, false);
}

TEST_F(DamagedArchive, TwoSegmentsThatChangedPlaces) {
  const auto one = paths_[paths_.size() - 2];
  const auto other = paths_[paths_.size() - 3];
  fs::rename(one, one + ".x");
  fs::rename(other, one);
  fs::rename(one + ".x", other);
  expect_refused_from(paths_.size() - 3);
}

class PrefetchTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, PrefetchTest, ::testing::Values(13, 18), name_of_major);

TEST_P(PrefetchTest, FetchesAheadBoundedlyAndLeavesNothingBehind) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (n int)");
  (void)job.backup();
  for (int i = 0; i < 20; ++i) {
    // More than a server decodes ahead of what it replays.
    (void)server.sql("INSERT INTO t SELECT generate_series(1, 20000)");
    if (i == 5) (void)server.sql("SELECT pg_create_restore_point('middle')");
    (void)server.sql("SELECT pg_switch_wal()");
  }
  job.archive_everything();
  auto restored = job.restore("new", {"--to-name", "middle", "--action", "pause"});
  for (int i = 0; i < 100; ++i) {
    if (restored->sql("SELECT pg_is_wal_replay_paused()") == "t") break;
    std::this_thread::sleep_for(100ms);
  }
  // Ahead of the stop, and no further than it may be.
  const auto spool = job.directory().path("new.walvault-spool");
  const auto segments = [&] {
    std::size_t count = 0;
    if (!fs::exists(spool)) return count;
    for (const auto& entry : fs::directory_iterator(spool)) {
      count += entry.path().filename().string().find('-') == 32 ? 1 : 0;
    }
    return count;
  };
  for (int i = 0; i < 100 && segments() < 8; ++i) std::this_thread::sleep_for(50ms);
  EXPECT_EQ(segments(), 8u) << restored->log();
  (void)restored->sql("SELECT pg_wal_replay_resume()");
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "120000");
  EXPECT_FALSE(fs::exists(spool));
}

}  // namespace
}  // namespace walvault
