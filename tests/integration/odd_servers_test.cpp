// Servers that are set up otherwise than usual, damaged, or badly connected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "postgres/client/replication_connection.h"
#include "support/main_job.h"
#include "support/proxy.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

nlohmann::json finding(const nlohmann::json& check, const std::string& name) {
  for (const auto& each : check.at("check").at("findings")) {
    if (each.at("name") == name) return each;
  }
  return {};
}

nlohmann::json check(MainJob& job, int expected_exit_code,
                     const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"check",     "--json", "--pg", job.server().conninfo(),
                                     "--timeout", "5s"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto done = job.walvault(arguments);
  EXPECT_EQ(done.exit_code, expected_exit_code) << done.text();
  return nlohmann::json::parse(done.out);
}

class CheckTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, CheckTest, ::testing::Values(13, 15, 18), name_of_major);

TEST_P(CheckTest, ProvesARightSetUpAndNamesWhatIsWrong) {
  MainJob job(GetParam(), "archive_timeout = 60\n");
  auto right = check(job, 0);
  EXPECT_TRUE(right["check"]["ok"]);
  EXPECT_THAT(finding(right, "archiving")["text"], HasSubstr("reads back right"));
  EXPECT_EQ(finding(right, "backups")["verdict"], "warning");
  (void)job.backup();
  right = check(job, 0);
  for (const auto& each : right["check"]["findings"]) EXPECT_EQ(each["verdict"], "ok") << each;

  auto& server = job.server();
  // A role that may do what a backup needs, and no more.
  (void)server.sql("CREATE ROLE backup LOGIN REPLICATION");
  auto conninfo = server.conninfo();
  conninfo.replace(conninfo.find("user=postgres"), 13, "user=backup");
  const auto weak = job.walvault({"check", "--pg", conninfo});
  EXPECT_EQ(weak.exit_code, 8) << weak.text();
  EXPECT_THAT(weak.out, HasSubstr("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text)"));
  (void)server.sql(
      "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO backup; "
      "GRANT pg_read_all_settings TO backup");
  const auto granted = job.walvault({"check", "--pg", conninfo});
  EXPECT_EQ(granted.exit_code, 0) << granted.text();

  (void)server.sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)server.sql("SELECT pg_reload_conf()");
  const auto broken = check(job, 8);
  EXPECT_FALSE(broken["check"]["ok"]);
  EXPECT_THAT(finding(broken, "archiving")["text"], HasSubstr("did not arrive within 5.0 s"));
  EXPECT_EQ(finding(broken, "archive_command")["verdict"], "warning");
}

TEST(Check, SeesAForeignServerAndOneThatDoesNotArchive) {
  MainJob job(usual_major, "archive_mode = off\n");
  const auto off = check(job, 8);
  EXPECT_EQ(finding(off, "archive_mode")["verdict"], "failed");
  EXPECT_THAT(finding(off, "archive_mode")["advice"], HasSubstr("archive_mode = on"));

  PostgresServer other(job.directory(), usual_major, "other");
  ASSERT_TRUE(other.start()) << other.log();
  const auto position = "SELECT pg_current_wal_lsn()";
  const auto before = other.sql(position);
  const auto done = job.walvault({"check", "--pg", other.conninfo()});
  EXPECT_EQ(done.exit_code, 8) << done.text();
  EXPECT_THAT(done.out, HasSubstr("walvault cluster upgrade main"));
  EXPECT_EQ(other.sql(position), before) << "a foreign server was written to";
}

class DamagedPageTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, DamagedPageTest, ::testing::Values(13, 15, 18), name_of_major);

TEST_P(DamagedPageTest, IsShownRecordedAndToldByTheExitStatus) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 10000) AS n");
  const auto path = server.sql("SELECT pg_relation_filepath('t')");
  server.stop();
  {
    std::fstream file(server.data() + "/" + path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3 * 8192 + 5000);
    file.write("damage", 6);
  }
  ASSERT_TRUE(server.start()) << server.log();

  const auto done = job.walvault({"backup", "--pg", server.conninfo(), "--json"});
  EXPECT_EQ(done.exit_code, 5) << done.text();
  EXPECT_THAT(done.err, HasSubstr(path));
  const auto backup = nlohmann::json::parse(done.out).at("backup");
  EXPECT_THAT(backup.at("damaged_pages").dump(), HasSubstr(path));
  const auto info = job.walvault({"info"});
  EXPECT_THAT(info.out, HasSubstr("DAMAGED PAGES"));
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["backups"][0]["damaged_pages"],
            backup.at("damaged_pages"));

  // All else of it can still be had.
  job.archive_everything();
  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM pg_class WHERE relname = 't'"), "1");
}

class SkippedLinkTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, SkippedLinkTest, ::testing::Values(13, 15, 18), name_of_major);

// A database that was moved behind a link is in no backup of PostgreSQL's.
TEST_P(SkippedLinkTest, IsRecordedAndCountsForLess) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE DATABASE moved");
  fs::create_symlink(job.directory().path("elsewhere"), server.data() + "/server.crt");
  // Nothing but data makes a backup less than whole.
  EXPECT_TRUE(job.backup().at("skipped_files").empty());

  const auto oid = server.sql("SELECT oid FROM pg_database WHERE datname = 'moved'");
  server.stop();
  const auto database = server.data() + "/base/" + oid;
  fs::rename(database, job.directory().path("moved"));
  fs::create_directory_symlink(job.directory().path("moved"), database);
  ASSERT_TRUE(server.start()) << server.log();
  for (const auto* way : {"protocol", "files"}) {
    const auto done = job.walvault({"backup", "--pg", server.conninfo(), "--via", way, "--json"});
    EXPECT_EQ(done.exit_code, 5) << done.text();
    EXPECT_EQ(nlohmann::json::parse(done.out).at("backup").at("skipped_files"),
              nlohmann::json({"base/" + oid}))
        << done.text();
  }
  EXPECT_THAT(job.walvault({"info"}).out, HasSubstr("CANNOT BE RESTORED WHOLE: \"base/" + oid));
  EXPECT_THAT(job.walvault({"check", "--pg", server.conninfo()}).text(),
              HasSubstr("cannot be restored whole: \"base/" + oid));

  // The first backup has it, and what follows is in the WAL.
  job.archive_everything();
  EXPECT_EQ(job.walvault({"expire", "--keep-last", "1"}).exit_code, 0);
  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT 1", "moved"), "1");
}

class ServersErrorTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, ServersErrorTest, ::testing::Values(13, 15), name_of_major);

// Where the stream ends too early the server says why.
TEST_P(ServersErrorTest, AmidItsStreamIsTold) {
  MainJob job(GetParam(), "", {"--data-checksums"});
  auto& server = job.server();
  const auto path = server.data() + "/base/" +
                    server.sql("SELECT oid FROM pg_database WHERE datname = 'postgres'") +
                    "/99999.x";
  write_text(path, "odd");
  give_to_server_user(path);
  const auto done = job.walvault({"backup", "--pg", server.conninfo()});
  EXPECT_EQ(done.exit_code, 6) << done.text();
  EXPECT_THAT(done.err, HasSubstr("invalid segment number 0 in file \"99999.x\""));
  const auto files = job.walvault({"backup", "--pg", server.conninfo(), "--via", "files"});
  EXPECT_EQ(files.exit_code, 0) << files.text();
}

struct SegmentSize {
  int major;
  int mebibytes;
};

class SegmentSizeTest : public ::testing::TestWithParam<SegmentSize> {};
INSTANTIATE_TEST_SUITE_P(Sizes, SegmentSizeTest,
                         ::testing::Values(SegmentSize{13, 1}, SegmentSize{15, 64},
                                           SegmentSize{18, 1}),
                         [](const auto& size) {
                           return "Postgres" + std::to_string(size.param.major) + "With" +
                                  std::to_string(size.param.mebibytes) + "MiB";
                         });

TEST_P(SegmentSizeTest, IsArchivedAndRestored) {
  const auto size = std::to_string(GetParam().mebibytes);
  MainJob job(GetParam().major, "max_wal_size = 1GB\n", {"--wal-segsize", size});
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (n int, text text)");
  (void)job.backup();
  (void)server.sql("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 10000) n");
  const auto lsn = server.sql("SELECT pg_current_wal_lsn()");
  (void)server.sql("TRUNCATE t");
  job.archive_everything();
  const auto plan = job.walvault_json(
      {"restore", "--pgdata", job.directory().path("none"), "--to-lsn", lsn, "--dry-run"});
  EXPECT_EQ(plan["plan"]["wal_bytes"].get<std::uint64_t>(),
            plan["plan"]["segments"].get<std::uint64_t>() << 20u << (size == "64" ? 6u : 0u));
  auto restored = job.restore("new", {"--to-lsn", lsn});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*), sum(length(text)) FROM t"), "10000|5000000");
}

TEST(OddCluster, HasItsWalElsewhereAndTablesThatAreNotLogged) {
  std::string elsewhere;
  {
    const TestDirectory name_only;
    elsewhere = name_only.path();
  }
  MainJob job(usual_major, "", {"--waldir", elsewhere});
  auto& server = job.server();
  ASSERT_TRUE(fs::is_symlink(server.data() + "/pg_wal"));
  (void)server.sql("CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 1000) AS n");
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  write_text(job.directory().path("temporary.sql"),
             "CREATE TEMP TABLE temporary AS SELECT generate_series(1, 100000); "
             "SELECT pg_relation_filepath('temporary') \\g " +
                 job.directory().path("temporary.path") + "\nSELECT pg_sleep(60);\n");
  auto session =
      server.start_tool({"psql", "-XAtq", "-f", job.directory().path("temporary.sql"), "postgres"});
  for (int i = 0; i < 100 && !fs::exists(job.directory().path("temporary.path")); ++i) {
    std::this_thread::sleep_for(100ms);
  }
  auto temporary = read_text(job.directory().path("temporary.path"));
  temporary.resize(temporary.find('\n'));
  ASSERT_TRUE(fs::exists(server.data() + "/" + temporary)) << temporary;
  (void)job.backup();
  job.archive_everything();

  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"), "1000|0");
  EXPECT_FALSE(fs::exists(restored->data() + "/" + temporary));
  EXPECT_FALSE(fs::is_symlink(restored->data() + "/pg_wal"));
  session->send(SIGKILL);

  // In place, the WAL stays on the disk that it was given.
  server.stop();
  const auto replaced = job.walvault({"restore", "--pgdata", server.data(), "--force"});
  ASSERT_EQ(replaced.exit_code, 0) << replaced.text();
  EXPECT_TRUE(fs::is_symlink(server.data() + "/pg_wal"));
  ASSERT_TRUE(server.start()) << server.log();
  EXPECT_TRUE(server.wait_until_promoted()) << server.log();
  server.stop();
  fs::remove_all(elsewhere);
}

TEST(OddCluster, HasARelationOfMoreThanOneGigabyte) {
  if (!long_tests()) GTEST_SKIP() << "scripts/test.sh --long runs it";
  MainJob job(usual_major, "max_wal_size = 4GB\nwal_compression = on\n");
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (n int, text text); ALTER TABLE t ALTER text SET STORAGE PLAIN");
  (void)server.sql(
      "INSERT INTO t SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 180000) n");
  const auto path = server.sql("SELECT pg_relation_filepath('t')");
  (void)server.sql("CHECKPOINT");
  ASSERT_TRUE(fs::exists(server.data() + "/" + path + ".1"));
  const std::string sum = "SELECT count(*), sum(hashtext(text)) FROM t";
  const auto before = server.sql(sum);
  (void)job.backup();
  job.archive_everything();
  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql(sum), before);
}

// The names of relations are read, and backups expire, while it still holds.
TEST(TwoBackupsAtOnce, TheClaimLastsUntilTheCommandIsDone) {
  MainJob job(usual_major, "log_connections = on\nlog_disconnections = on\n");
  (void)job.backup();
  job.server().stop();
  // Who disconnects at the same time may be logged in either order.
  const auto log = job.server().log();
  const auto names = log.rfind("LOG:  connection authorized:");
  const auto claim = log.rfind("database= ");
  ASSERT_NE(names, std::string::npos);
  ASSERT_NE(claim, std::string::npos);
  EXPECT_GT(claim, names) << "the claim was given up before the names were read";
}

TEST(TwoBackupsAtOnce, TheSecondIsRefusedAndNamesTheFirst) {
  MainJob job(usual_major);
  for (const auto* way : {"archive", "stream"}) {
    auto first = job.start_walvault(
        {"backup", "--pg", job.server().conninfo(), "--max-rate", "2MB", "--json", "--wal", way});
    std::this_thread::sleep_for(1500ms);
    std::vector<std::unique_ptr<Child>> others;
    for (const auto* other : {"archive", "stream"}) {
      others.push_back(
          job.start_walvault({"backup", "--pg", job.server().conninfo(), "--wal", other}));
    }
    for (const auto& other : others) {
      const auto second = other->wait();
      EXPECT_TRUE(first->is_running()) << "the backup was too quick for this test";
      EXPECT_EQ(second.exit_code, 6) << second.text();
      EXPECT_THAT(second.err, HasSubstr("another backup of cluster main is running"));
      EXPECT_THAT(second.err, ::testing::ContainsRegex("It is [0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}"));
    }
    const auto done = first->wait();
    EXPECT_EQ(done.exit_code, 0) << done.text();
  }
  (void)job.backup();  // nothing is left of them that would be in the way
}

TEST(OddCluster, HasNoSlotToSpare) {
  MainJob job(usual_major, "max_replication_slots = 0\n");
  const auto done = job.walvault({"backup", "--pg", job.server().conninfo()});
  EXPECT_EQ(done.exit_code, 0) << done.text();
  EXPECT_THAT(done.err, HasSubstr("another backup of this cluster would not be noticed"));
}

// Bytes that the server sends before the connection breaks. A backup of an empty
// cluster comes to some 24 MB.
const auto ten_points = ::testing::Values(0, 300, 700, 2'000, 20'000, 300'000, 3'000'000,
                                          10'000'000, 20'000'000, 23'500'000);
class CutConnection : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Bytes, CutConnection, ten_points);

TEST_P(CutConnection, EndsTheBackupCleanlyAndTheNextOneSucceeds) {
  MainJob job(usual_major);
  {
    const Proxy proxy(job.server().socket(), job.directory().path(), GetParam(), Proxy::Then::cut);
    const auto cut = job.walvault({"backup", "--pg", proxy.conninfo(), "--wal", "stream"});
    EXPECT_EQ(cut.exit_code, 6) << cut.text();
    EXPECT_THAT(cut.err, HasSubstr("hint:"));
  }
  EXPECT_TRUE(job.walvault_json({"info"})["clusters"][0]["backups"].empty());
  (void)job.backup();
}

// The connection alone, with less patience than a backup has.
class StalledConnection : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  static void SetUpTestSuite() { job_ = std::make_unique<MainJob>(usual_major); }
  static void TearDownTestSuite() { job_.reset(); }
  static std::unique_ptr<MainJob> job_;
};
std::unique_ptr<MainJob> StalledConnection::job_;
INSTANTIATE_TEST_SUITE_P(Bytes, StalledConnection, ten_points);

TEST_P(StalledConnection, IsGivenUp) {
  const Proxy proxy(job_->server().socket(), job_->directory().path(), GetParam(),
                    Proxy::Then::stall);
  std::uint64_t received = 0;
  const auto back_up = [&] {
    const auto server = connect_replication({.conninfo = proxy.conninfo(),
                                             .connect_timeout = 1s,
                                             .stall_timeout = 1s,
                                             .check_cancelled = [] {}});
    (void)server->identify_system();
    const auto count = [&](ByteView bytes) { received += bytes.size(); };
    (void)server->base_backup({.label = "stalled", .max_rate_kilobytes = {}},
                              {.start = [](WalPosition, std::uint64_t) {},
                               .archive = [](const std::optional<Tablespace>&) {},
                               .archive_data = count,
                               .archive_end = [] {},
                               .manifest_data = count,
                               .warning = [](const std::string&) {},
                               .skipped = [](const std::string&) {}});
  };
  try {
    back_up();
    FAIL() << "it was not stalled";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable) << error.what();
    EXPECT_THAT(error.message(), HasSubstr("does not answer"));
  }
  EXPECT_LE(received, GetParam());
}

}  // namespace
}  // namespace walvault
