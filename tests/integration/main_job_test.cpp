// The main job on real servers of every major: archive, back up, restore to a
// moment, and the data proved right by what the server itself said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <chrono>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "support/main_job.h"
#include "support/seed.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// What may differ between majors: the stream, the settings, the files.
class EveryMajorTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, EveryMajorTest, ::testing::Values(13, 14, 15, 16, 17, 18),
                         name_of_major);

class MainJobTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, MainJobTest, ::testing::Values(15, 18), name_of_major);

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

struct CommittedRow {
  std::string id;
  std::int64_t micros = 0;  // since 1970
};

std::string micros_text(std::int64_t micros) {
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, "%06ld", static_cast<long>(micros % 1'000'000));
  const std::time_t seconds = micros / 1'000'000;
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S.", &tm);
  return std::string(text) + fraction + "+00";
}

void expect_tools_agree(PostgresServer& restored) {
  if (restored.sql("SHOW server_version_num") < "140000") {
    // pg_amcheck serves majors from 14 on.
    (void)restored.sql("CREATE EXTENSION IF NOT EXISTS amcheck");
    EXPECT_NE(restored.sql("SELECT count(bt_index_parent_check(indexrelid, true)) FROM pg_index i "
                           "JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam "
                           "WHERE amname = 'btree' AND indisvalid AND relpersistence = 'p'"),
              "0");
    return;
  }
  const auto checked =
      restored.tool({"pg_amcheck", "--heapallindexed", "--install-missing", "-d", "postgres"});
  EXPECT_EQ(checked.exit_code, 0) << checked.text();
}

// What pgbench runs: transactions of several rows, with updates, and some that roll back.
void write_load(const std::string& path) {
  write_text(path,
             "\\set rows random(1, 5)\n\\set fate random(1, 10)\n"
             "BEGIN;\n"
             "INSERT INTO events (client, payload) SELECT :client_id, md5(random()::text) "
             "FROM generate_series(1, :rows);\n"
             "UPDATE counters SET n = n + 1 WHERE client = :client_id;\n"
             "\\if :fate = 1\nROLLBACK;\n\\else\nCOMMIT;\n\\endif\n\\sleep 2 ms\n");
}

// By when they were committed.
std::vector<CommittedRow> committed_rows(PostgresServer& server) {
  std::vector<CommittedRow> rows;
  for (const auto& line : lines_of(server.sql(
           "SELECT id || ' ' || (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)"
           "::bigint FROM events"))) {
    std::istringstream in(line);
    CommittedRow row;
    in >> row.id >> row.micros;
    rows.push_back(row);
  }
  std::ranges::sort(rows, {}, &CommittedRow::micros);
  return rows;
}

// Moments between commits, behind `earliest` (RFC 3339).
std::vector<std::int64_t> moments_between(const std::vector<CommittedRow>& rows,
                                          const std::string& earliest) {
  std::vector<std::int64_t> moments;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    // Not within a crowd of commits: which of two concurrent ones comes first
    // in the WAL is not told by their times.
    const auto gap = rows[i].micros - rows[i - 1].micros;
    const auto middle = rows[i - 1].micros + gap / 2;
    auto text = micros_text(middle);
    text[10] = 'T';
    if (gap > 1500 && text > earliest) moments.push_back(middle);
  }
  return moments;
}

TEST_P(EveryMajorTest, RestoresExactlyTheRowsThatWereCommittedByARandomMoment) {
  MainJob job(GetParam(), "track_commit_timestamp = on\ncheckpoint_timeout = 30s\n");
  auto& server = job.server();
  (void)server.sql(
      "CREATE TABLE events (id bigserial PRIMARY KEY, client int, payload text);"
      "CREATE TABLE counters (client int PRIMARY KEY, n bigint); "
      "INSERT INTO counters SELECT g, 0 FROM generate_series(0, 9) g");
  write_load(job.directory().path("load.sql"));
  const auto seconds = long_tests() ? "20" : "6";
  auto load = server.start_tool({"pgbench", "-n", "-f", job.directory().path("load.sql"), "-c", "4",
                                 "-T", seconds, "postgres"});
  std::this_thread::sleep_for(1s);
  const auto first = job.backup();
  const auto second = job.backup({"--label", "under load"});
  EXPECT_EQ(second.at("label"), "under load");
  const auto loaded = load->wait();
  ASSERT_EQ(loaded.exit_code, 0) << loaded.text();
  // What comes after the last moment of interest, so that there is a commit to
  // stop at.
  (void)server.sql("CREATE TABLE afterwards ()");
  job.archive_everything();

  const auto rows = committed_rows(server);
  ASSERT_GT(rows.size(), 200u);

  // Backups take no longer than their own record says: moments after the
  // first's end.
  const auto info = job.walvault_json({"info"});
  const std::string earliest = info["clusters"][0]["windows"][0]["earliest_time"];
  const auto moments = moments_between(rows, earliest);
  ASSERT_GT(moments.size(), 5u);
  std::mt19937 random(test_seed());
  for (int round = 0; round < (long_tests() ? 12 : 3); ++round) {
    const auto moment = moments[random() % moments.size()];
    SCOPED_TRACE(micros_text(moment));
    const auto name = "restored" + std::to_string(round);
    const auto plan = job.walvault_json({"restore", "--dry-run", "--pgdata",
                                         job.directory().path(name), "--to", micros_text(moment)});
    const auto& target = plan.at("plan").at("target");
    EXPECT_TRUE(target.at("time_proved"));
    auto restored = job.restore(name, {"--to", micros_text(moment)});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    // The very record that the plan named.
    EXPECT_THAT(restored->log(), HasSubstr("recovery stopping before WAL location (LSN) \"" +
                                           target.at("lsn").get<std::string>() + "\""));
    std::set<std::string> expected;
    for (const auto& row : rows) {
      if (row.micros <= moment) expected.insert(row.id);
    }
    const auto ids = lines_of(restored->sql("SELECT id FROM events"));
    EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()), expected);
    if (round == 0) expect_tools_agree(*restored);
  }
}

TEST_P(EveryMajorTest, BringsADroppedTableBackAndPassesTheServersOwnChecks) {
  MainJob job(GetParam());
  auto& server = job.server();
  ASSERT_EQ(server.tool({"pgbench", "-i", "-q", "-s", "2", "postgres"}).exit_code, 0);
  const auto backup = job.backup();
  EXPECT_EQ(backup.at("kind"), "full");
  EXPECT_GT(backup.at("size_bytes"), 30'000'000);
  const std::string checksum = "SELECT count(*), sum(hashtext(a::text)) FROM pgbench_accounts a";
  (void)server.sql("UPDATE pgbench_accounts SET abalance = aid % 1000");
  std::this_thread::sleep_for(1100ms);
  const auto before = server.sql(checksum);
  const auto moment = server.sql("SELECT clock_timestamp()");
  (void)server.sql("DROP TABLE pgbench_accounts");
  job.archive_everything();

  const auto plan = job.walvault_json(
      {"restore", "--pgdata", job.directory().path("new"), "--to", moment, "--dry-run"});
  EXPECT_FALSE(plan.at("restored"));
  EXPECT_EQ(plan.at("plan").at("backup"), backup.at("id"));
  EXPECT_FALSE(fs::exists(job.directory().path("new")));

  const auto done =
      job.walvault({"restore", "--pgdata", job.directory().path("new"), "--to", moment});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  const auto verified = server.tool({"pg_verifybackup", "-n", job.directory().path("new")});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();

  PostgresServer restored(job.directory(), GetParam(), "new", job.directory().path("new"));
  ASSERT_TRUE(restored.start()) << restored.log();
  ASSERT_TRUE(restored.wait_until_promoted()) << restored.log();
  EXPECT_EQ(restored.sql(checksum), before);
  expect_tools_agree(restored);
  EXPECT_EQ(restored.sql("SHOW archive_mode"), "off")
      << "it would write into the original's history";
  // The user's own settings survive, ours do not pile up.
  (void)restored.sql("ALTER SYSTEM SET work_mem = '5MB'");
  restored.stop();
}

TEST_P(EveryMajorTest, StopsAtEveryKindOfTarget) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (n int)");
  (void)job.backup();
  (void)server.sql("INSERT INTO t VALUES (1)");
  const auto lsn_after_one = server.sql("SELECT pg_current_wal_lsn()");
  const auto xid_of_two = server.sql(
      "WITH two AS (INSERT INTO t VALUES (2) RETURNING n) "
      "SELECT pg_current_xact_id() FROM two");
  (void)server.sql("SELECT pg_create_restore_point('after two')");
  (void)server.sql("INSERT INTO t VALUES (3)");
  job.archive_everything();
  const std::string count = "SELECT count(*) FROM t";

  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--to-lsn", lsn_after_one}, "1"},
      {{"--to-xid", xid_of_two}, "2"},
      {{"--to-xid", xid_of_two, "--exclusive"}, "1"},
      {{"--to-name", "after two"}, "2"},
      {{"--to-immediate"}, "0"},
      {{}, "3"},
  };
  int number = 0;
  for (const auto& [arguments, expected] : cases) {
    const auto what = arguments.empty() ? "latest" : arguments[0];
    SCOPED_TRACE(what);
    auto restored = job.restore("new" + std::to_string(++number), arguments);
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql(count), expected) << restored->log();
  }
  auto paused = job.restore("paused", {"--to-lsn", lsn_after_one, "--action", "pause"});
  for (int i = 0; i < 100 && paused->sql("SELECT pg_is_wal_replay_paused()") != "t"; ++i) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_EQ(paused->sql("SELECT pg_is_in_recovery()"), "t");
  EXPECT_EQ(paused->sql(count), "1");

  // With shutdown the server ends by itself, before it ever accepts a write.
  const auto done = job.walvault({"restore", "--pgdata", job.directory().path("down"), "--to-lsn",
                                  lsn_after_one, "--action", "shutdown"});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  PostgresServer down(job.directory(), GetParam(), "down", job.directory().path("down"));
  (void)down.start();
  for (int i = 0; i < 100 && down.log().find("database system is shut down") == std::string::npos;
       ++i) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_THAT(down.log(), HasSubstr("shutdown at recovery target"));
}

TEST_P(EveryMajorTest, StreamsTheWalOfAServerThatDoesNotArchive) {
  MainJob job(GetParam(), "archive_mode = off\nmax_wal_size = 64MB\n");
  auto& server = job.server();
  ASSERT_EQ(server.tool({"pgbench", "-i", "-q", "-s", "3", "postgres"}).exit_code, 0);
  const auto refused = job.walvault({"backup", "--pg", server.conninfo(), "--wal", "archive"});
  EXPECT_EQ(refused.exit_code, 2) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("--wal stream"));

  const auto quiet = job.backup();

  // Under load and slowly, so that it spans segments and checkpoints that
  // would recycle them.
  auto load = server.start_tool({"pgbench", "-n", "-c", "2", "-T", "30", "postgres"});
  auto backup = job.start_walvault({"backup", "--pg", server.conninfo(), "--max-rate", "10MB"});
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(500ms);
    (void)server.sql("SELECT pg_switch_wal()");
    (void)server.sql("CHECKPOINT");
  }
  EXPECT_TRUE(backup->is_running()) << "the backup was too quick for this test";
  const auto done = backup->wait();
  ASSERT_EQ(done.exit_code, 0) << done.text();
  EXPECT_THAT(done.err, HasSubstr("its WAL is streamed"));
  load->send(SIGINT);
  (void)load->wait();
  EXPECT_EQ(server.sql("SELECT count(*) FROM pg_replication_slots"), "0");

  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT sum(abalance) - (SELECT sum(tbalance) FROM pgbench_tellers) "
                          "FROM pgbench_accounts"),
            "0");
  expect_tools_agree(*restored);
  restored->stop();

  // Behind the first backup's WAL there is a gap, and PostgreSQL must not
  // stumble over it.
  auto early = job.restore("early", {"--backup", quiet.at("id"), "--to-immediate"});
  ASSERT_TRUE(early->wait_until_promoted()) << early->log();
  EXPECT_EQ(early->sql("SELECT sum(abalance) FROM pgbench_accounts"), "0");
}

TEST_P(MainJobTest, TakesItsOwnSettingsAwayWhenARestoredServerIsRestoredAgain) {
  MainJob job(GetParam());
  (void)job.server().sql("ALTER SYSTEM SET work_mem = '7MB'");
  (void)job.server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  const auto lsn = job.server().sql("SELECT pg_current_wal_lsn()");
  (void)job.server().sql("INSERT INTO t VALUES (2)");
  job.archive_everything();

  auto first = job.restore("first", {"--to-lsn", lsn, "--archiving", "keep"});
  ASSERT_TRUE(first->wait_until_promoted()) << first->log();
  // ALTER SYSTEM rewrites the file and drops our marks: the leftovers then look
  // like the user's, and must still not get in the way.
  (void)first->sql("ALTER SYSTEM SET maintenance_work_mem = '70MB'");
  (void)first->sql("INSERT INTO t VALUES (3)");
  ASSERT_EQ(job.walvault({"backup", "--pg", first->conninfo()}).exit_code, 0);
  (void)first->sql("SELECT pg_switch_wal()");
  first->stop();

  auto second = job.restore("second", {});
  ASSERT_TRUE(second->wait_until_promoted()) << second->log();
  EXPECT_EQ(second->sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "1,3");
  EXPECT_EQ(second->sql("SHOW work_mem"), "7MB");
  EXPECT_EQ(second->sql("SHOW maintenance_work_mem"), "70MB");
}

TEST_P(EveryMajorTest, MapsTablespacesToNewPlaces) {
  MainJob job(GetParam());
  auto& server = job.server();
  const auto old_place = job.directory().path("space");
  fs::create_directory(old_place);
  give_to_server_user(old_place);
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + old_place + "'");
  (void)server.sql("CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 100000) AS n");
  (void)job.backup();
  (void)server.sql("DELETE FROM t WHERE n > 90000");
  job.archive_everything();

  const auto occupied = job.walvault({"restore", "--pgdata", job.directory().path("new")});
  EXPECT_EQ(occupied.exit_code, 4) << occupied.text();
  EXPECT_THAT(occupied.err, HasSubstr(old_place));

  const auto new_place = job.directory().path("moved space");
  const auto done = job.walvault({"restore", "--pgdata", job.directory().path("new"),
                                  "--tablespace", old_place + "=" + new_place});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  const auto verified = server.tool({"pg_verifybackup", "-n", job.directory().path("new")});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  PostgresServer restored(job.directory(), GetParam(), "new", job.directory().path("new"));
  ASSERT_TRUE(restored.start()) << restored.log();
  ASSERT_TRUE(restored.wait_until_promoted()) << restored.log();
  EXPECT_EQ(restored.sql("SELECT count(*) FROM t"), "90000");
  EXPECT_EQ(restored.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace "
                         "WHERE spcname = 'space'"),
            new_place);
}

TEST_P(MainJobTest, KeepsTwentyThousandFilesWithOddNamesApart) {
  MainJob job(GetParam(), "autovacuum = off\n");
  const auto extra = job.server().data() + "/extra files";
  fs::create_directory(extra);
  give_to_server_user(extra);
  std::map<std::string, std::string> contents;
  for (int i = 0; i < 20'000; ++i) {
    const auto name = extra + "/" + (i % 7 == 0 ? "größe " : "f") + std::to_string(i);
    const auto content =
        i % 5 == 0 ? ""
                   : std::string(static_cast<std::size_t>(i % 97), 'x') + std::to_string(i % 1000);
    contents[name.substr(job.server().data().size())] = content;
    std::ofstream(name) << content;
    give_to_server_user(name);
  }
  const auto backup = job.backup();
  EXPECT_GE(backup.at("files"), 20'000);
  const auto again = job.backup();
  EXPECT_LT(again.at("new_bytes"), 200'000) << "only what the server changed by itself; first "
                                            << backup.dump() << " again " << again.dump();
  job.archive_everything();

  const auto done = job.walvault({"restore", "--pgdata", job.directory().path("new")});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  std::size_t wrong = 0;
  for (const auto& [name, content] : contents) {
    if (read_text(job.directory().path("new") + name) != content) ++wrong;
  }
  EXPECT_EQ(wrong, 0u);
  const auto verified = job.server().tool({"pg_verifybackup", "-n", job.directory().path("new")});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
}

TEST_P(MainJobTest, RestoresFilesThatTheirOwnerMayNotWriteAndIgnoresAStandbysSignal) {
  MainJob job(GetParam());
  const auto key = job.server().data() + "/server.key";
  write_text(key, "secret");
  fs::permissions(key, fs::perms::owner_read);
  // As a backup that was taken from a standby brings it.
  write_text(job.server().data() + "/standby.signal", "");
  (void)job.backup();
  fs::remove(job.server().data() + "/standby.signal");
  (void)job.server().sql("CREATE TABLE t AS SELECT 1 AS n");
  job.archive_everything();

  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT n FROM t"), "1");
  const auto restored_key = job.directory().path("new/server.key");
  EXPECT_EQ(read_text(restored_key), "secret");
  EXPECT_EQ(fs::status(restored_key).permissions(), fs::perms::owner_read);
  EXPECT_FALSE(fs::exists(job.directory().path("new/standby.signal")));
}

TEST_P(MainJobTest, FetchesTheHistoryOfATimelineThatBeganBeforeArchivingDid) {
  MainJob job(GetParam());
  (void)job.server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  job.archive_everything();
  auto promoted = job.restore("promoted", {"--archiving", "keep"});
  ASSERT_TRUE(promoted->wait_until_promoted()) << promoted->log();
  job.server().stop();
  // A server that was promoted before it archived here: its history file is
  // not in the repository, and PostgreSQL will never offer it again.
  (void)promoted->sql("SELECT pg_create_restore_point('x')");
  (void)promoted->sql("SELECT pg_switch_wal()");
  for (int i = 0; i < 100 && promoted->sql("SELECT last_archived_wal ~ '^00000002[0-9A-F]{16}$' "
                                           "FROM pg_stat_archiver") != "t";
       ++i) {
    std::this_thread::sleep_for(100ms);
  }
  job.remove_object("wal/main/1/00000002-0/00000002.history");
  const auto refused =
      job.walvault({"restore", "--pgdata", job.directory().path("x"), "--timeline", "2"});
  EXPECT_EQ(refused.exit_code, 7) << refused.text();

  ASSERT_EQ(job.walvault({"backup", "--pg", promoted->conninfo()}).exit_code, 0);
  (void)promoted->sql("INSERT INTO t VALUES (2)");
  const auto segment = promoted->sql("SELECT pg_walfile_name(pg_create_restore_point('end'))");
  (void)promoted->sql("SELECT pg_switch_wal()");
  for (int i = 0; i < 100 && promoted->sql("SELECT last_archived_wal >= '" + segment +
                                           "' FROM pg_stat_archiver") != "t";
       ++i) {
    std::this_thread::sleep_for(100ms);
  }
  promoted->stop();
  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "2");
}

TEST_P(MainJobTest, SurvivesADatabaseCreatedAndOneDroppedDuringTheBackup) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE DATABASE doomed");
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 50000) AS n", "doomed");
  auto backup = job.start_walvault({"backup", "--pg", server.conninfo(), "--max-rate", "8MB"});
  std::this_thread::sleep_for(1s);
  ASSERT_TRUE(backup->is_running());
  (void)server.sql("DROP DATABASE doomed");
  (void)server.sql("CREATE DATABASE born");
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "born");
  ASSERT_TRUE(backup->is_running()) << "the backup was too quick for this test";
  const auto done = backup->wait();
  ASSERT_EQ(done.exit_code, 0) << done.text();
  job.archive_everything();

  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t", "born"), "1000");
  EXPECT_EQ(restored->sql("SELECT count(*) FROM pg_database WHERE datname = 'doomed'"), "0");
}

TEST_P(MainJobTest, GivesOneFileOfABackup) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 200000) AS n");
  (void)server.sql("CHECKPOINT");
  const auto path = server.sql("SELECT pg_relation_filepath('t')");
  const std::string id = job.backup().at("id");

  const auto version = job.walvault({"extract", id, "PG_VERSION"});
  EXPECT_EQ(version.exit_code, 0) << version.text();
  EXPECT_EQ(version.out, std::to_string(GetParam()) + "\n");

  const auto output = job.directory().path("table");
  const auto told = job.walvault_json({"extract", id, path, "--output", output});
  EXPECT_EQ(told.at("extracted").at("size_bytes"), fs::file_size(output));
  EXPECT_EQ(read_text(output), read_text(server.data() + "/" + path));

  EXPECT_EQ(job.walvault({"extract", id, path, "--output", output}).exit_code, 4);
  const auto alike = job.walvault({"extract", id, "pg_control"});
  EXPECT_EQ(alike.exit_code, 3);
  EXPECT_THAT(alike.err, HasSubstr("Did you mean \"global/pg_control\"?"));
  EXPECT_EQ(job.walvault({"extract", id, "base"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"extract", "nix", "PG_VERSION"}).exit_code, 3);
  EXPECT_EQ(job.walvault({"extract", id, "PG_VERSION", "--json"}).exit_code, 2);
}

TEST_P(MainJobTest, StoresNearlyNothingWhenNothingChanged) {
  MainJob job(GetParam());
  ASSERT_EQ(job.server().tool({"pgbench", "-i", "-q", "-s", "10", "postgres"}).exit_code, 0);
  (void)job.server().sql("CHECKPOINT");
  const auto first = job.backup();
  const auto second = job.backup();
  EXPECT_LT(second.at("stored_bytes").get<double>(),
            0.005 * first.at("stored_bytes").get<double>());
  EXPECT_EQ(first.at("size_bytes"), second.at("size_bytes"));
}

}  // namespace
}  // namespace walvault
