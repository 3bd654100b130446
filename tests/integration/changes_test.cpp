// Backups for which a server of 17 or 18 sends what changed since the backup before: the
// same as when it sends everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <thread>

#include "support/directory_tree.h"
#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto settings = "summarize_wal = on\nautovacuum = off\n";
constexpr auto rows_of = "SELECT count(*), md5(string_agg(t::text, '' ORDER BY i)) FROM {} t";

class ChangesTest : public ::testing::TestWithParam<int> {
 protected:
  // One that the server sends changes for; or, with --checksum-all, everything.
  static Outcome back_up(MainJob& job, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"backup", "--pg", job.server().conninfo(), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto run = job.walvault(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.text();
    return run;
  }
  static std::string id_of(const Outcome& run) {
    return nlohmann::json::parse(run.out).at("backup").at("id").get<std::string>();
  }
  static std::string rows(PostgresServer& server, const std::string& table) {
    std::string query = rows_of;
    return server.sql(query.replace(query.find("{}"), 2, table));
  }
};
INSTANTIATE_TEST_SUITE_P(Majors, ChangesTest, ::testing::Values(17, 18), name_of_major);

// Tables that will change in every way, in a database and a tablespace of their own, too.
void make_tables_that_will_change(PostgresServer& server, const std::string& space) {
  fs::create_directory(space);
  give_to_server_user(space);
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + space + "'");
  (void)server.sql("CREATE DATABASE other TABLESPACE space");
  for (const auto* const table : {"updated", "truncated", "deleted", "dropped", "rewritten"}) {
    (void)server.sql(std::string("CREATE TABLE ") + table +
                     " AS SELECT i, md5(i::text) AS text FROM generate_series(1, 60000) i");
  }
  (void)server.sql("CREATE TABLE moved TABLESPACE space AS TABLE updated");
  (void)server.sql("CREATE UNLOGGED TABLE unlogged AS TABLE updated");
  (void)server.sql("CREATE INDEX ON updated (text)");
}

void change_them(PostgresServer& server, int round) {
  const auto n = std::to_string(round);
  (void)server.sql("UPDATE updated SET text = text || '" + n + "' WHERE i % 5000 = " + n);
  (void)server.sql("UPDATE moved SET text = text || '" + n + "' WHERE i < 20");
  (void)server.sql("INSERT INTO updated SELECT i, 'new' FROM generate_series(70000, 71000) i");
  (void)server.sql("DELETE FROM deleted WHERE i > " + std::to_string(40000 - 10000 * round));
  (void)server.sql("VACUUM (TRUNCATE) deleted");
  (void)server.sql("TRUNCATE truncated; INSERT INTO truncated SELECT i, '" + n +
                   "' FROM generate_series(1, 20000) i");
  (void)server.sql("VACUUM FULL rewritten");
  (void)server.sql("CREATE TABLE new" + n + " AS SELECT i, 'x' AS text FROM generate_series(1, " +
                   "30000) i");
  if (round == 1) {
    (void)server.sql("DROP TABLE dropped");
    (void)server.sql("CREATE DATABASE copy TEMPLATE other");
  }
  // Reading prunes pages: what the backups below read is read before.
  (void)server.sql("VACUUM");
  (void)server.sql("CHECKPOINT");
}

TEST_P(ChangesTest, HoldWhatTheServerWouldSendInFull) {
  MainJob job(GetParam(), settings, {"--data-checksums"});
  auto& server = job.server();
  const auto space = job.directory().path("space");
  make_tables_that_will_change(server, space);
  const auto first = back_up(job);
  EXPECT_THAT(first.err, Not(HasSubstr("sends everything"))) << "there is no backup before";

  for (int round = 0; round < 2; ++round) {
    change_them(server, round);
    const auto changes = back_up(job);
    EXPECT_THAT(changes.err, HasSubstr("sends what changed since the backup")) << changes.text();
    const auto everything = back_up(job, {"--checksum-all"});
    EXPECT_THAT(everything.err, Not(HasSubstr("sends what changed")));
    // Every other one goes on from a backup that was made of changes.
    if (round == 0) (void)back_up(job, {"--via", "files"});
    job.archive_everything();

    std::vector<std::map<std::string, std::string>> trees;
    for (const auto& id : {id_of(changes), id_of(everything)}) {
      const auto name = "restored" + std::to_string(trees.size());
      const auto target = job.directory().path(name);
      const auto moved = job.directory().path(name + "-space");
      const auto restored = job.walvault({"restore", "--pgdata", target, "--backup", id,
                                          "--to-immediate", "--tablespace", space + "=" + moved});
      ASSERT_EQ(restored.exit_code, 0) << restored.text();
      const auto verified = server.tool({"pg_verifybackup", "-n", target});
      EXPECT_EQ(verified.exit_code, 0) << verified.text();
      auto& tree = trees.emplace_back(tree_below(target));
      for (const auto& [path, text] : tree_below(moved)) tree["space/" + path] = text;
      tree.erase("tablespace_map");
      tree.erase("postgresql.auto.conf");
      fs::remove_all(target);
      fs::remove_all(moved);
    }
    expect_same_trees(trees[1], trees[0]);
  }

  const auto restored =
      job.restore("new", {"--tablespace", space + "=" + job.directory().path("new-space")});
  for (const auto* const table :
       {"updated", "truncated", "deleted", "rewritten", "moved", "new0", "new1"}) {
    EXPECT_EQ(rows(*restored, table), rows(server, table)) << table;
  }
  EXPECT_EQ(restored->sql("SELECT count(*) FROM unlogged"), "0");
}

TEST_P(ChangesTest, StandUnderALoad) {
  MainJob job(GetParam(), settings, {"--data-checksums"});
  auto& server = job.server();
  ASSERT_EQ(server.tool({"pgbench", "-i", "-q", "-s", "5", "postgres"}).exit_code, 0);
  (void)back_up(job);
  for (int round = 0; round < 2; ++round) {
    const auto load = server.start_tool({"pgbench", "-n", "-c", "2", "-T", "4", "-N", "postgres"});
    std::this_thread::sleep_for(1s);
    EXPECT_THAT(back_up(job).err, HasSubstr("sends what changed since the backup"));
    EXPECT_EQ(load->wait().exit_code, 0);
  }
  job.archive_everything();
  const auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  const auto sums =
      "SELECT (SELECT sum(abalance) FROM pgbench_accounts), "
      "(SELECT count(*) FROM pgbench_history)";
  EXPECT_EQ(restored->sql(sums), server.sql(sums));
  const auto checked =
      restored->tool({"pg_amcheck", "--heapallindexed", "--install-missing", "-d", "postgres"});
  EXPECT_EQ(checked.exit_code, 0) << checked.text();
}

// What no WAL of a release, or none without page checksums, tells of: visibility maps, and
// the zeros in a relation that was cut short and grew again.
TEST_P(ChangesTest, HoldWhatNoWalTellsOf) {
  MainJob job(GetParam(), std::string(settings) + "wal_log_hints = off\n",
              GetParam() >= 18 ? std::vector<std::string>{"--no-data-checksums"}
                               : std::vector<std::string>{});
  auto& server = job.server();
  const auto rows = [](int from, int to) {
    return "SELECT i, repeat('x', 500) AS text FROM generate_series(" + std::to_string(from) +
           ", " + std::to_string(to) + ") i";
  };
  (void)server.sql("CREATE TABLE seen AS " + rows(1, 20000));
  (void)server.sql("CREATE TABLE cut AS " + rows(1, 4000));
  (void)server.sql("CREATE INDEX ON cut (i)");
  (void)server.sql("CREATE INDEX ON seen (i)");
  (void)server.sql("VACUUM (FREEZE) seen");
  (void)server.sql("VACUUM (FREEZE) cut");
  (void)server.sql("CHECKPOINT");
  (void)back_up(job);
  (void)server.sql("DELETE FROM seen WHERE i % 1000 = 0");
  (void)server.sql("DELETE FROM cut WHERE i > 150");
  (void)server.sql("VACUUM (TRUNCATE) cut");
  (void)server.sql("CHECKPOINT");
  (void)server.sql("COPY cut FROM PROGRAM 'seq -f \"%.0f\tnew\" 10001 90000'");
  (void)server.sql("CHECKPOINT");
  const auto changes = back_up(job);
  EXPECT_THAT(changes.err, HasSubstr("sends what changed since the backup"));
  const auto everything = back_up(job, {"--checksum-all"});
  job.archive_everything();
  std::vector<std::map<std::string, std::string>> trees;
  for (const auto& id : {id_of(changes), id_of(everything)}) {
    const auto target = job.directory().path("restored" + std::to_string(trees.size()));
    ASSERT_EQ(
        job.walvault({"restore", "--pgdata", target, "--backup", id, "--to-immediate"}).exit_code,
        0);
    auto& tree = trees.emplace_back(tree_below(target));
    tree.erase("postgresql.auto.conf");
  }
  expect_same_trees(trees[1], trees[0]);
}

// A role that may do no more than a backup takes.
TEST_P(ChangesTest, WithoutTheRightToAskEverythingIsSent) {
  MainJob job(GetParam(), settings);
  (void)back_up(job);
  (void)job.server().sql("CREATE ROLE backup LOGIN REPLICATION");
  (void)job.server().sql("REVOKE EXECUTE ON FUNCTION pg_available_wal_summaries() FROM PUBLIC");
  auto conninfo = job.server().conninfo();
  conninfo.replace(conninfo.find("user=postgres"), 13, "user=backup");
  const auto run = job.walvault({"backup", "--pg", conninfo});
  EXPECT_EQ(run.exit_code, 0) << run.text();
  EXPECT_THAT(run.err, HasSubstr("which relations were cut short since then cannot be asked"));
  (void)job.server().sql("GRANT EXECUTE ON FUNCTION pg_available_wal_summaries() TO backup");
  const auto next = job.walvault({"backup", "--pg", conninfo});
  EXPECT_THAT(next.err, HasSubstr("sends what changed since the backup")) << next.text();
}

TEST_P(ChangesTest, WithoutSummariesEverythingIsSentAndItIsSaid) {
  MainJob job(GetParam(), settings, {"--data-checksums"});
  auto& server = job.server();
  (void)server.sql(
      "CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 60000) i");
  (void)back_up(job);
  // Off for a while, and what was written meanwhile is in no summary.
  (void)server.sql("ALTER SYSTEM SET summarize_wal = off");
  (void)server.sql("SELECT pg_reload_conf()");
  EXPECT_THAT(back_up(job).err, HasSubstr("summarize_wal is off"));
  (void)server.sql("UPDATE t SET text = 'unseen' WHERE i % 100 = 0");
  for (int i = 0; i < 3; ++i) job.archive_everything();
  (void)server.sql("CHECKPOINT");
  for (int i = 0; i < 3; ++i) job.archive_everything();
  (void)server.sql("CHECKPOINT");
  server.stop();
  fs::remove_all(server.data() + "/pg_wal/summaries");
  fs::create_directory(server.data() + "/pg_wal/summaries");
  give_to_server_user(server.data() + "/pg_wal/summaries");
  ASSERT_TRUE(server.start());
  (void)server.sql("ALTER SYSTEM SET summarize_wal = on");
  (void)server.sql("SELECT pg_reload_conf()");
  const auto run = back_up(job);
  EXPECT_THAT(run.err, HasSubstr("the server sends everything"));
  EXPECT_THAT(run.err, HasSubstr("summar"));
  const auto next = back_up(job);
  EXPECT_THAT(next.err, HasSubstr("sends what changed since the backup")) << next.text();
  job.archive_everything();
  const auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(rows(*restored, "t"), rows(server, "t"));
}

// What the backup before holds is found damaged while it is put together with changes.
TEST_P(ChangesTest, OverADamagedParentEverythingIsSent) {
  MainJob job(GetParam(), settings);
  auto& server = job.server();
  (void)server.sql(
      "CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 60000) i");
  (void)back_up(job);
  (void)server.sql("UPDATE t SET text = 'x' WHERE i % 1000 = 0");
  for (fs::recursive_directory_iterator it(job.repository() + "/packs"), end; it != end; ++it) {
    if (!fs::is_regular_file(it->path()) || fs::file_size(it->path()) < 1'000'000) continue;
    auto content = read_text(it->path().string());
    for (std::size_t at = 5000; at + 5000 < content.size(); at += 20'000) content[at] ^= 1;
    write_text(it->path().string(), content);
  }
  const auto run = back_up(job);
  EXPECT_THAT(run.err, HasSubstr("what the backup before has of a file cannot be read"));
  EXPECT_THAT(run.err, HasSubstr("The server sends everything"));
  job.archive_everything();
  EXPECT_EQ(job.walvault({"verify", "--deep", "--backup", id_of(run)}).exit_code, 0);
  const auto restored = job.restore("new", {"--backup", id_of(run)});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(rows(*restored, "t"), rows(server, "t"));
}

}  // namespace
}  // namespace walvault
