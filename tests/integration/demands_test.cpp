// What WAL demands of the server and the machine that replay it, on real servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class Demands : public ::testing::TestWithParam<int> {
 protected:
  void restart_with(const std::string& settings) {
    server().stop();
    server().configure(settings);
    ASSERT_TRUE(server().start()) << server().log();
  }
  [[nodiscard]] std::string now() {
    return server().sql(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD HH24:MI:SS.US') || '+00'");
  }
  [[nodiscard]] PostgresServer& server() { return job_.server(); }

  MainJob job_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Majors, Demands, ::testing::Values(13, 15, 18), name_of_major);

TEST_P(Demands, MinimalWalEndsAWindow) {
  (void)server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job_.backup();
  (void)server().sql("INSERT INTO t VALUES (2)");
  const auto before = now();
  (void)server().sql("INSERT INTO t VALUES (3)");
  restart_with("wal_level = minimal\narchive_mode = off\nmax_wal_senders = 0\n");
  (void)server().sql("CREATE TABLE loaded AS SELECT g FROM generate_series(1, 100) g");
  restart_with("wal_level = replica\narchive_mode = on\nmax_wal_senders = 10\n");
  (void)server().sql("INSERT INTO t VALUES (4)");
  job_.archive_everything();

  const auto check = job_.walvault({"check", "--pg", server().conninfo()});
  EXPECT_EQ(check.exit_code, 8) << check.text();
  EXPECT_THAT(check.text(), HasSubstr("wal_level = minimal"));
  // Nothing of it is damaged.
  EXPECT_EQ(job_.walvault({"verify"}).exit_code, 0);
  const auto refused =
      job_.walvault({"restore", "--pgdata", job_.directory().path("no"), "--to", now()});
  EXPECT_EQ(refused.exit_code, 7) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("wal_level = minimal"));
  EXPECT_FALSE(fs::exists(job_.directory().path("no")));
  auto copy = job_.restore("copy", {"--to", before});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  EXPECT_EQ(copy->sql("SELECT count(*) FROM t"), "2");

  // The last position that is offered is right, too.
  const auto begin = refused.err.find("--to-lsn ") + 9;
  auto last = job_.restore(
      "last", {"--to-lsn", refused.err.substr(begin, refused.err.find('.', begin) - begin)});
  ASSERT_TRUE(last->wait_until_promoted()) << last->log();
  EXPECT_EQ(last->sql("SELECT count(*) FROM t"), "3");

  // Behind it another window begins with the next backup, and only that reaches the present: it
  // is none that may go.
  (void)job_.backup();
  EXPECT_EQ(job_.walvault_json({"info"})["clusters"][0]["windows"].size(), 2u);
  EXPECT_EQ(job_.walvault({"check", "--pg", server().conninfo()}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"expire", "--window", "1h", "--keep-last", "1"}).exit_code, 0);
  auto newest = job_.restore("newest", {});
  ASSERT_TRUE(newest->wait_until_promoted()) << newest->log();
  EXPECT_EQ(newest->sql("SELECT count(*) FROM t"), "4");
}

TEST_P(Demands, SettingsAreRaisedToWhatTheWalNeeds) {
  restart_with("max_connections = 20\n");
  (void)server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job_.backup();
  restart_with("max_connections = 60\nmax_locks_per_transaction = 128\n");
  (void)server().sql("INSERT INTO t VALUES (2)");
  job_.archive_everything();
  const auto restored = job_.walvault({"restore", "--pgdata", job_.directory().path("copy")});
  ASSERT_EQ(restored.exit_code, 0) << restored.text();
  EXPECT_THAT(restored.out, HasSubstr("max_connections = 60"));
  EXPECT_THAT(restored.out, HasSubstr("ALTER SYSTEM RESET max_locks_per_transaction;"));
  EXPECT_THAT(restored.out, Not(HasSubstr("max_worker_processes")));
  auto copy = job_.server_in("copy");
  ASSERT_TRUE(copy->start()) << copy->log();
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  EXPECT_EQ(copy->sql("SELECT count(*) FROM t"), "2");
  EXPECT_EQ(copy->sql("SHOW max_connections"), "60");
}

TEST_P(Demands, ATablespaceMadeOnTheWayIsNotWrittenToBesideItsOriginal) {
  const auto place = job_.directory().path("fast");
  (void)server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job_.backup();
  const auto before = now();
  (void)server().sql("INSERT INTO t VALUES (2)");
  fs::create_directory(place);
  give_to_server_user(place);
  (void)server().sql("CREATE TABLESPACE fast LOCATION '" + place + "'");
  (void)server().sql("CREATE TABLE far TABLESPACE fast AS SELECT generate_series(1, 1000) AS n");
  job_.archive_everything();
  const std::vector<std::vector<std::string>> ways = {{}, {"--tablespace", place + "=/tmp/other"}};
  for (const auto& more : ways) {
    std::vector<std::string> command = {"restore", "--pgdata", job_.directory().path("no")};
    command.insert(command.end(), more.begin(), more.end());
    const auto refused = job_.walvault(command);
    EXPECT_EQ(refused.exit_code, 4) << refused.text();
    EXPECT_THAT(refused.err, HasSubstr(place));
    EXPECT_FALSE(fs::exists(job_.directory().path("no")));
  }
  // Before it was made there is nothing to be in the way.
  auto early = job_.restore("early", {"--to", before});
  ASSERT_TRUE(early->wait_until_promoted()) << early->log();
  EXPECT_EQ(server().sql("SELECT count(*) FROM far"), "1000");

  // On a machine without the original its place is free, and made.
  server().stop();
  fs::remove_all(place);
  EXPECT_EQ(job_.walvault({"restore", "--pgdata", job_.directory().path("copy")}).exit_code, 0);
  ASSERT_TRUE(fs::is_directory(place));
  give_to_server_user(place);
  auto copy = job_.server_in("copy");
  ASSERT_TRUE(copy->start()) << copy->log();
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  EXPECT_EQ(copy->sql("SELECT count(*) FROM far"), "1000");
}

}  // namespace
}  // namespace walvault
