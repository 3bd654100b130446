// Promotions, standbys, upgrades, and a server that died: which history is
// followed, and what of it is saved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "postgres/lsn.h"
#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// Waits until a query of a server gives this; false when it does not.
bool comes_to(PostgresServer& server, const std::string& query, const std::string& wanted,
              std::chrono::seconds timeout = 60s) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < deadline) {
    if (server.tool({"psql", "-XAtqc", query, "postgres"}).out == wanted + "\n") return true;
    std::this_thread::sleep_for(100ms);
  }
  return false;
}

const std::string rows = "SELECT string_agg(n::text, ',' ORDER BY n) FROM t";

class TimelineTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, TimelineTest, ::testing::Values(13, 15, 18), name_of_major);

TEST_P(TimelineTest, AStandbyFollowsIsBackedUpAndTakesOver) {
  MainJob job(GetParam());
  auto& primary = job.server();
  (void)primary.sql("CREATE TABLE t AS SELECT 1 AS n");
  const auto first = job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  (void)primary.sql("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(comes_to(*standby, rows, "1,2")) << standby->log();
  EXPECT_EQ(standby->sql("SELECT pg_is_in_recovery()"), "t");

  // A backup of it: its WAL comes by way of the primary.
  auto running = job.start_walvault({"backup", "--pg", standby->conninfo(), "--json"});
  for (int i = 0; i < 100 && running->is_running(); ++i) {
    (void)primary.sql("SELECT pg_create_restore_point('x'); SELECT pg_switch_wal()");
    std::this_thread::sleep_for(200ms);
  }
  const auto done = running->wait();
  ASSERT_EQ(done.exit_code, 0) << done.text() << standby->log();
  const auto backup = nlohmann::json::parse(done.out).at("backup");
  EXPECT_TRUE(backup.at("from_standby"));

  // The primary dies; its last WAL was streamed. The standby takes over, and
  // archives from then on.
  (void)primary.sql("INSERT INTO t VALUES (3)");
  job.archive_everything();
  ASSERT_TRUE(comes_to(*standby, rows, "1,2,3")) << standby->log();
  primary.stop("immediate");
  ASSERT_EQ(standby->tool({"psql", "-XAtqc", "SELECT pg_promote()", "postgres"}).out, "t\n");
  ASSERT_TRUE(standby->wait_until_promoted());
  (void)standby->sql("INSERT INTO t VALUES (4)");
  const auto segment = standby->sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  (void)standby->sql("SELECT pg_switch_wal()");
  ASSERT_TRUE(comes_to(
      *standby, "SELECT coalesce(last_archived_wal, '') >= '" + segment + "' FROM pg_stat_archiver",
      "t"))
      << standby->log();
  standby->stop();

  // The newest timeline is the default, from a backup of either server.
  for (const auto& id : {first.at("id"), backup.at("id")}) {
    const auto name = "from_" + id.get<std::string>();
    auto latest = job.restore(name, {"--backup", id});
    ASSERT_TRUE(latest->wait_until_promoted()) << latest->log();
    EXPECT_EQ(latest->sql(rows), "1,2,3,4");
  }
  auto old = job.restore("old", {"--timeline", "1"});
  ASSERT_TRUE(old->wait_until_promoted()) << old->log();
  EXPECT_EQ(old->sql(rows), "1,2,3");
}

// With archive_mode = on a standby never offers what it received by streaming.
TEST_P(TimelineTest, WhatNobodyArchivedBeforeAPromotionIsBroughtByTheNewPrimary) {
  MainJob job(GetParam(), "wal_keep_size = 512MB\n");
  auto& primary = job.server();
  (void)primary.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  ASSERT_TRUE(comes_to(*standby, rows, "1")) << standby->log();
  // The archiver of the primary is stuck when it dies.
  (void)primary.sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)primary.sql("SELECT pg_reload_conf()");
  const auto unarchived = primary.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  for (int n = 2; n <= 4; ++n) {
    (void)primary.sql("INSERT INTO t VALUES (" + std::to_string(n) + ")");
    (void)primary.sql("SELECT pg_switch_wal()");
  }
  ASSERT_TRUE(comes_to(*standby, rows, "1,2,3,4")) << standby->log();
  primary.stop("immediate");
  ASSERT_EQ(standby->tool({"psql", "-XAtqc", "SELECT pg_promote()", "postgres"}).out, "t\n");
  ASSERT_TRUE(standby->wait_until_promoted());
  (void)standby->sql("INSERT INTO t VALUES (5)");

  const std::vector<std::string> check{"check", "--pg", standby->conninfo()};
  EXPECT_EQ(job.walvault(check).exit_code, 0) << standby->log();
  // Where it is lost, the server that still has it is asked.
  ASSERT_TRUE(fs::remove(job.repository() + "/wal/main/1/00000001-0/00000000/" + unarchived));
  const auto found = job.walvault(check);
  EXPECT_EQ(found.exit_code, 8) << found.text();
  EXPECT_THAT(found.out, HasSubstr("of timeline 1 is not archived"));
  EXPECT_NE(job.walvault({"restore", "--dry-run", "--pgdata", "/nowhere"}).exit_code, 0);
  const auto repaired = job.walvault({"check", "--pg", standby->conninfo(), "--repair"});
  EXPECT_THAT(repaired.out, HasSubstr("was missing and is archived now"));
  EXPECT_EQ(job.walvault(check).exit_code, 0);
  standby->stop();
  auto latest = job.restore("latest", {});
  ASSERT_TRUE(latest->wait_until_promoted()) << latest->log();
  EXPECT_EQ(latest->sql(rows), "1,2,3,4,5");
}

TEST(Gap, IsShownRefusedAndCanBeAccepted) {
  MainJob job(usual_major);
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  std::string lost;
  for (int n = 2; n <= 4; ++n) {
    (void)server.sql("INSERT INTO t VALUES (" + std::to_string(n) + ")");
    if (n == 3) lost = server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    job.archive_everything();
  }
  fs::remove(job.repository() + "/wal/main/1/00000001-0/00000000/" + lost);
  const auto info = job.walvault_json({"info"}).at("clusters").at(0);
  ASSERT_EQ(info.at("gaps").size(), 1u) << info.dump(1);
  EXPECT_EQ(info.at("gaps").at(0).at("reason"), "missing");
  EXPECT_EQ(info.at("gaps").at(0).at("accepted"), false);
  EXPECT_EQ(info.at("windows").at(0).at("latest_lsn"), info.at("gaps").at(0).at("from_lsn"));

  const std::vector<std::string> check{"check", "--pg", server.conninfo()};
  EXPECT_EQ(job.walvault(check).exit_code, 8);
  EXPECT_EQ(job.walvault({"window", "accept-gap", "--reason", "tape lost"}).exit_code, 2);
  const auto accepted = job.walvault({"window", "accept-gap", "--reason", "tape lost", "--yes"});
  EXPECT_EQ(accepted.exit_code, 0) << accepted.text();
  EXPECT_THAT(accepted.out, HasSubstr("Take one now"));
  EXPECT_EQ(job.walvault({"window", "accept-gap", "--reason", "tape lost", "--yes"}).exit_code, 3);
  EXPECT_EQ(job.walvault(check).exit_code, 0);
  EXPECT_EQ(job.walvault_json({"info"}).at("clusters").at(0).at("gaps").at(0).at("accepted"), true);
  // It does not become recoverable by that.
  EXPECT_EQ(job.walvault({"restore", "--dry-run", "--pgdata", job.directory().path("x")}).exit_code,
            7);
  (void)job.backup();
  EXPECT_EQ(job.walvault({"restore", "--dry-run", "--pgdata", job.directory().path("x")}).exit_code,
            0);
}

TEST(Standby, KeepsStreamingWhileItsRepositoryIsAway) {
  MainJob job(newest_major);
  auto& primary = job.server();
  (void)primary.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  ASSERT_TRUE(comes_to(*standby, rows, "1")) << standby->log();
  fs::rename(job.repository(), job.repository() + ".away");
  (void)primary.sql("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(comes_to(*standby, rows, "1,2")) << standby->log();
  // It comes up as well: an unreachable repository is no reason to shut down.
  standby->stop();
  (void)primary.sql("INSERT INTO t VALUES (3)");
  (void)standby->start();
  ASSERT_TRUE(comes_to(*standby, rows, "1,2,3", 120s)) << standby->log();
  EXPECT_THAT(standby->log(), HasSubstr("that its file system is mounted"));
}

TEST(Standby, PromotedDuringItsBackupEndsTheBackupCleanly) {
  MainJob job(usual_major);
  auto& primary = job.server();
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  ASSERT_TRUE(comes_to(*standby, "SELECT pg_is_in_recovery()", "t")) << standby->log();
  auto backup = job.start_walvault({"backup", "--pg", standby->conninfo(), "--max-rate", "8MB"});
  std::this_thread::sleep_for(1500ms);
  EXPECT_TRUE(backup->is_running()) << "the backup was too quick for this test";
  (void)standby->sql("SELECT pg_promote()");
  const auto ended = backup->wait();
  EXPECT_EQ(ended.exit_code, 6) << ended.text();
  EXPECT_THAT(ended.err, HasSubstr("promoted"));
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["backups"].size(), 1u);
}

// Restored beside the original, and archiving under its name.
std::unique_ptr<PostgresServer> promote(MainJob& job, const std::string& name,
                                        const std::string& settings) {
  EXPECT_EQ(job.walvault({"restore", "--pgdata", job.directory().path(name), "--archiving", "keep"})
                .exit_code,
            0);
  auto server = job.server_in(name);
  server->configure(settings);
  EXPECT_TRUE(server->start()) << server->log();
  EXPECT_TRUE(server->wait_until_promoted()) << server->log();
  return server;
}

// From now on it archives, where another one has taken its names.
void expect_archiving_refused(MainJob& job, PostgresServer& second) {
  const auto conf = second.data() + "/postgresql.conf";
  write_text(conf, read_text(conf) + "archive_command = '" + job.binary("walvault-archive") +
                       " --repo " + job.repository() + " --cluster main %p'\n");
  (void)second.sql("SELECT pg_reload_conf()");
  (void)second.sql("SELECT pg_switch_wal()");
  EXPECT_TRUE(comes_to(second,
                       "SELECT count(*) > 0 FROM pg_stat_archiver WHERE last_failed_time > now() "
                       "- interval '2s'",
                       "t"));
  for (int i = 0; i < 100 && second.log().find("set-aside 2") == std::string::npos; ++i) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_THAT(second.log(), HasSubstr("already archived with different content"));
  EXPECT_THAT(second.log(), HasSubstr("walvault timeline set-aside 2"));
}

// Two servers are promoted onto timeline 2 without knowing of each other.
TEST_P(TimelineTest, ATimelineIdUsedTwiceIsAConflictUntilTheFirstIsSetAside) {
  MainJob job(GetParam());
  (void)job.server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  job.archive_everything();
  job.server().stop();
  // The second one's archiving is broken at first, so that the first takes the
  // same id.
  auto second = promote(job, "second", "archive_command = 'false'\n");
  auto first = promote(job, "first", "");
  (void)first->sql("INSERT INTO t VALUES (2)");
  ASSERT_EQ(job.walvault({"backup", "--pg", first->conninfo()}).exit_code, 0);
  (void)first->sql("INSERT INTO t VALUES (3)");
  (void)first->sql("SELECT pg_switch_wal()");
  ASSERT_TRUE(
      comes_to(*first, "SELECT last_archived_wal LIKE '00000002%0_' FROM pg_stat_archiver", "t"))
      << first->log();
  first->stop();

  (void)second->sql("INSERT INTO t VALUES (20)");
  expect_archiving_refused(job, *second);
  // Checkpoints of one position are told apart by their second.
  std::this_thread::sleep_for(1100ms);
  const auto refused = job.walvault({"backup", "--pg", second->conninfo()});
  EXPECT_EQ(refused.exit_code, 4) << refused.text();

  const auto unconfirmed = job.walvault({"timeline", "set-aside", "2"});
  EXPECT_EQ(unconfirmed.exit_code, 2) << unconfirmed.text();
  const auto done = job.walvault_json({"timeline", "set-aside", "2", "--yes"});
  EXPECT_EQ(done["opened"]["branch"], 1);
  // Its archiver tries again when there is something new.
  auto backup = job.start_walvault({"backup", "--pg", second->conninfo()});
  for (int i = 0; i < 100 && backup->is_running(); ++i) {
    (void)second->sql("SELECT pg_create_restore_point('x'); SELECT pg_switch_wal()");
    std::this_thread::sleep_for(200ms);
  }
  const auto backed_up = backup->wait();
  ASSERT_EQ(backed_up.exit_code, 0) << backed_up.text() << second->log();
  (void)second->sql("INSERT INTO t VALUES (30)");
  const auto segment = second->sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  (void)second->sql("SELECT pg_switch_wal()");
  ASSERT_TRUE(comes_to(*second,
                       "SELECT last_archived_wal >= '" + segment + "' FROM pg_stat_archiver", "t"));
  second->stop();

  auto newest = job.restore("newest", {});
  ASSERT_TRUE(newest->wait_until_promoted()) << newest->log();
  EXPECT_EQ(newest->sql(rows), "1,20,30");
  newest->stop();
  auto aside = job.restore("aside", {"--timeline", "2-0"});
  ASSERT_TRUE(aside->wait_until_promoted()) << aside->log();
  EXPECT_EQ(aside->sql(rows), "1,2,3");
}

TEST_P(TimelineTest, ADeadServersLastWalIsRescued) {
  // Nothing of its WAL was archived by itself.
  MainJob job(GetParam(), "archive_command = 'false'\n");
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  ASSERT_EQ(job.walvault({"backup", "--pg", server.conninfo(), "--wal", "stream"}).exit_code, 0);
  (void)server.sql("INSERT INTO t VALUES (2)");
  (void)server.sql("SELECT pg_switch_wal()");
  (void)server.sql("INSERT INTO t VALUES (3)");
  const auto running = job.walvault({"wal", "rescue", "--pgdata", server.data()});
  EXPECT_EQ(running.exit_code, 4) << running.text();
  server.stop("immediate");
  const auto last = job.directory().path("pg");

  // Of this server walvault has never archived anything: somebody has to say whose WAL it is.
  const auto refused = job.walvault({"restore", "--pgdata", last, "--force"});
  ASSERT_EQ(refused.exit_code, 4) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("walvault wal rescue --accept"));
  const auto accepted = job.walvault({"wal", "rescue", "--accept", "--pgdata", last});
  EXPECT_THAT(accepted.out, HasSubstr(".partial"));
  const auto restored = job.walvault({"restore", "--pgdata", last, "--force"});
  ASSERT_EQ(restored.exit_code, 0) << restored.text();
  ASSERT_TRUE(server.start()) << server.log();
  ASSERT_TRUE(server.wait_until_promoted()) << server.log();
  EXPECT_EQ(server.sql(rows), "1,2,3");
  server.stop();

  // By hand, and elsewhere.
  EXPECT_EQ(job.walvault({"wal", "rescue", "--accept", "--pgdata", last}).exit_code, 0);
  auto elsewhere = job.restore("elsewhere", {"--timeline", "1"});
  ASSERT_TRUE(elsewhere->wait_until_promoted()) << elsewhere->log();
  EXPECT_EQ(elsewhere->sql(rows), "1,2,3");
}

// A second restore over a first: the copy's own history must not get into the
// cluster's.
TEST(ForcedRestore, ArchivesNothingOfACopyThatWasNotToArchive) {
  MainJob job(usual_major);
  (void)job.server().sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  job.archive_everything();
  auto copy = job.restore("copy", {});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  (void)copy->sql("INSERT INTO t VALUES (99)");
  (void)copy->sql("SELECT pg_switch_wal()");
  copy->stop();
  const auto again = job.walvault({"restore", "--pgdata", copy->data(), "--force"});
  EXPECT_EQ(again.exit_code, 4) << again.text();
  EXPECT_THAT(again.err, HasSubstr("--discard-wal"));
  (void)job.server().sql("INSERT INTO t VALUES (2)");
  job.archive_everything();
  auto second = job.restore("copy", {"--force", "--discard-wal"});
  ASSERT_TRUE(second->wait_until_promoted()) << second->log();
  EXPECT_EQ(second->sql(rows), "1,2");
}

TEST(ForcedRestore, ReplacesOnlyThisClustersDirectory) {
  MainJob job(usual_major);
  (void)job.backup();
  job.archive_everything();
  const auto running = job.walvault({"restore", "--pgdata", job.server().data(), "--force"});
  EXPECT_EQ(running.exit_code, 4) << running.text();
  EXPECT_THAT(running.err, HasSubstr("a server is running"));

  job.expect_others_untouched({"--force"}, {"--force"});
  const auto photos = job.directory().path("photos");
  const auto dry = job.walvault({"restore", "--pgdata", photos, "--force", "--yes", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.text();
  EXPECT_TRUE(fs::exists(photos + "/holiday.jpg"));
  auto replaced = job.restore("photos", {"--force", "--yes"});
  EXPECT_TRUE(replaced->wait_until_promoted()) << replaced->log();
  EXPECT_FALSE(fs::exists(photos + "/holiday.jpg"));
}

// Restored where it was to a moment, then to one before it: as walvault did before (told to follow
// the newest timeline, without a plan: switch points do not ascend then), and as it does now.
class SecondTry : public ::testing::TestWithParam<std::tuple<int, bool>> {};
INSTANTIATE_TEST_SUITE_P(Majors, SecondTry,
                         ::testing::Combine(::testing::Values(13, 15, 18), ::testing::Bool()),
                         [](const auto& param) {
                           return "Postgres" + std::to_string(std::get<0>(param.param)) +
                                  (std::get<1>(param.param) ? "FollowingTheNewest" : "");
                         });

nlohmann::json planned(MainJob& job, const std::string& how, const std::string& target) {
  return job.walvault_json(
      {"restore", "--dry-run", "--pgdata", job.directory().path("none"), how, target})["plan"];
}

// A position too, in the middle of a record or not, is planned where it lies.
void expect_planned_on_one(MainJob& job, const std::string& start) {
  const auto by_time = planned(job, "--to", start);
  EXPECT_EQ(by_time["timeline"], 1);
  const auto stop = Lsn::parse(by_time["target"]["lsn"].get<std::string>()).value();
  for (const std::uint64_t before : {0, 8}) {
    const auto by_position = planned(job, "--to-lsn", Lsn{stop.value - before}.text());
    EXPECT_EQ(by_position["timeline"], 1) << before;
    EXPECT_EQ(by_position["target"]["lsn"], stop.text()) << before;
  }
}

TEST_P(SecondTry, FurtherBackIsRestorableLikeAnyOther) {
  const auto [major, follows_newest] = GetParam();
  MainJob job(major);
  auto& server = job.server();
  const auto insert = [&](int n) {
    (void)server.sql("INSERT INTO t VALUES (" + std::to_string(n) + ")");
    // To both sides of a moment there are transactions of other times.
    std::this_thread::sleep_for(50ms);
    auto moment = server.sql("SELECT clock_timestamp()");
    std::this_thread::sleep_for(50ms);
    return moment;
  };
  const auto restore_in_place = [&](const std::string& moment, int timeline) {
    job.archive_everything();
    server.stop();
    const auto plan = job.walvault_json(
        {"restore", "--pgdata", server.data(), "--force", "--to", moment})["plan"];
    // The one on which the moment lies.
    EXPECT_EQ(plan["timeline"], timeline);
  };
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  const auto start = server.sql("SELECT clock_timestamp()");
  std::this_thread::sleep_for(50ms);
  const auto early = insert(2);
  job.archive_everything();
  const auto late = insert(3);
  (void)insert(4);

  restore_in_place(late, 1);
  ASSERT_TRUE(server.start()) << server.log();
  ASSERT_TRUE(server.wait_until_promoted()) << server.log();
  EXPECT_EQ(server.sql(rows), "1,2,3");
  const auto on_two = insert(5);

  restore_in_place(early, 1);
  if (follows_newest) {
    const auto path = server.data() + "/postgresql.auto.conf";
    write_text(path, read_text(path) + "recovery_target_timeline = '2'\n");
    write_text(server.data() + "/recovery.signal", "");
  }
  ASSERT_TRUE(server.start()) << server.log();
  ASSERT_TRUE(server.wait_until_promoted()) << server.log();
  EXPECT_EQ(server.sql(rows), "1,2");
  const auto on_three = insert(6);
  (void)job.backup();
  (void)insert(7);
  job.archive_everything();
  server.stop();

  const auto restored = [&](const std::string& name, const std::vector<std::string>& how) {
    auto copy = job.restore(name, how);
    EXPECT_TRUE(copy->wait_until_promoted()) << copy->log();
    auto found = copy->sql(rows);
    copy->stop();
    return found;
  };
  expect_planned_on_one(job, start);
  // The id of a timeline that was set aside must not be used again below the newest.
  EXPECT_EQ(job.walvault({"timeline", "set-aside", "2", "--yes"}).exit_code, 0);
  EXPECT_EQ(planned(job, "--to", start)["timeline"], 3);
  EXPECT_EQ(restored("newest", {}), "1,2,6,7");
  EXPECT_EQ(restored("on_three", {"--to", on_three}), "1,2,6");
  EXPECT_EQ(restored("early", {"--to", early}), "1,2");
  EXPECT_EQ(restored("late", {"--to", late, "--timeline", "2-0"}), "1,2,3");
  EXPECT_EQ(restored("on_two", {"--to", on_two, "--timeline", "2-0"}), "1,2,3,5");
  EXPECT_EQ(restored("on_one", {"--timeline", "1"}), "1,2,3,4");
}

Outcome upgrade(const PostgresServer& from, PostgresServer& to, const std::string& sockets) {
  return to.tool({"pg_upgrade", "-b", from.programs(), "-B", to.programs(), "-d", from.data(), "-D",
                  to.data(), "-U", "postgres", "-s", sockets});
}

struct UpgradePair {
  int from = 0;
  int to = 0;
  std::string met;  // which releases there are, and what pg_upgrade makes of them
};

// The packages of two majors come from two places and need not be of one day: a server may
// dump what a newer major of an older day does not know (a column's pg_attver). Whether two
// fit, pg_upgrade is asked with a table in a cluster that has nothing to do with walvault.
UpgradePair pair_that_fits() {
  UpgradePair found;
  for (const auto& [from, to] : {std::pair(usual_major, newest_major), std::pair(17, newest_major),
                                 std::pair(usual_major, 17)}) {
    TestDirectory directory;
    PostgresServer old_server(directory, from, "old");
    PostgresServer new_server(directory, to, "new");
    if (!old_server.start()) throw std::runtime_error(old_server.log());
    (void)old_server.sql("CREATE TABLE t AS SELECT 1 AS n");
    const auto release = old_server.sql("SHOW server_version");
    old_server.stop();
    const bool fits = upgrade(old_server, new_server, directory.path()).exit_code == 0;
    const auto newer = new_server.tool({"postgres", "--version"}).out;
    found.met += release + (fits ? " fits " : " does not fit ") + newer;
    if (!fits) continue;
    found.from = from;
    found.to = to;
    break;
  }
  return found;
}

TEST(Upgrade, KeepsTheNameAndTheOldHistory) {
  const auto pair = pair_that_fits();
  std::printf("%s", pair.met.c_str());
  if (pair.from == 0) GTEST_SKIP() << "no two servers here are of one age: " << pair.met;
  MainJob job(pair.from);
  auto& old_server = job.server();
  (void)old_server.sql("CREATE TABLE t AS SELECT 1 AS n");
  const auto before = job.backup();
  (void)old_server.sql("INSERT INTO t VALUES (2)");
  job.archive_everything();
  const auto moment = old_server.sql("SELECT now()");
  (void)old_server.sql("INSERT INTO t VALUES (3)");
  job.archive_everything();
  old_server.stop();

  PostgresServer upgraded(job.directory(), pair.to, "upgraded");
  const auto did = upgrade(old_server, upgraded, job.directory().path());
  ASSERT_EQ(did.exit_code, 0) << did.text();
  upgraded.configure("archive_mode = on\narchive_command = '" + job.binary("walvault-archive") +
                     " --repo " + job.repository() + " --cluster main %p'\n");
  ASSERT_TRUE(upgraded.start()) << upgraded.log();
  const auto foreign = job.walvault({"backup", "--pg", upgraded.conninfo()});
  EXPECT_EQ(foreign.exit_code, 4) << foreign.text();
  EXPECT_THAT(foreign.err, HasSubstr("walvault cluster upgrade main"));
  const auto accepted = job.walvault({"cluster", "upgrade", "main", "--pg", upgraded.conninfo()});
  ASSERT_EQ(accepted.exit_code, 0) << accepted.text();
  EXPECT_THAT(accepted.out, HasSubstr("PostgreSQL " + std::to_string(pair.to)));

  const auto none = job.walvault({"restore", "--pgdata", job.directory().path("none")});
  EXPECT_EQ(none.exit_code, 3) << none.text();
  EXPECT_THAT(none.err, HasSubstr(before.at("id").get<std::string>()));

  (void)upgraded.sql("INSERT INTO t VALUES (4)");
  auto running = job.start_walvault({"backup", "--pg", upgraded.conninfo(), "--json"});
  const auto done = running->wait();
  ASSERT_EQ(done.exit_code, 0) << done.text() << upgraded.log();
  const auto after = nlohmann::json::parse(done.out).at("backup");
  // Most relations' files are what they were.
  EXPECT_LT(after.at("new_bytes").get<double>(), after.at("size_bytes").get<double>());
  upgraded.stop();

  EXPECT_EQ(job.walvault({"restore", "--pgdata", job.directory().path("new")}).exit_code, 0);
  PostgresServer new_one(job.directory(), pair.to, "new", job.directory().path("new"));
  ASSERT_TRUE(new_one.start()) << new_one.log();
  ASSERT_TRUE(new_one.wait_until_promoted()) << new_one.log();
  EXPECT_EQ(new_one.sql(rows), "1,2,3,4");
  new_one.stop();

  // Before the upgrade, by time and by backup.
  auto by_time = job.restore("by_time", {"--to", moment});
  ASSERT_TRUE(by_time->wait_until_promoted()) << by_time->log();
  EXPECT_EQ(by_time->sql(rows), "1,2");
  by_time->stop();
  auto by_backup = job.restore("by_backup", {"--backup", before.at("id")});
  ASSERT_TRUE(by_backup->wait_until_promoted()) << by_backup->log();
  EXPECT_EQ(by_backup->sql(rows), "1,2,3");

  const auto info = job.walvault_json({"info"})["clusters"][0];
  EXPECT_EQ(info["backups"].size(), 2u);
  EXPECT_EQ(info["windows"].size(), 2u);
  EXPECT_NE(info["windows"][0]["system_identifier"], info["windows"][1]["system_identifier"]);
}

}  // namespace
}  // namespace walvault
