// Everything that can be asked or offered wrongly, and every way in which the
// world can fail during the main job: a clear error, the right exit code,
// nothing stored that is not whole, nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <thread>

#include "support/main_job.h"
#include "support/small_file_system.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A registered server with one backup, shared by the tests that do not harm it.
class BadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    job_ = new MainJob(usual_major);
    (void)job_->server().sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    (void)job_->backup();
    job_->archive_everything();
  }
  static void TearDownTestSuite() { delete job_; }

  static MainJob& job() { return *job_; }
  static Outcome program(const std::string& name, std::vector<std::string> arguments,
                         std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), job_->binary(name));
    return run(arguments, environment, job_->directory().path());
  }
  static std::vector<std::string> here(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--repo", job_->repository(), "--cluster", "main"});
    return arguments;
  }
  static void expect_error(const Outcome& outcome, int exit_code, const std::string& words) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.text();
    EXPECT_THAT(outcome.err, HasSubstr("error: "));
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_EQ(outcome.out, "") << "stdout carries the result and nothing else";
  }

  static inline MainJob* job_ = nullptr;
};

TEST_F(BadInputTest, OptionsAndCommandsThatDoNotExistAreUsageErrorsWithTheNearestWord) {
  expect_error(program("walvault", {}), 2, "command is missing");
  expect_error(program("walvault", {"bakcup"}), 2, "Did you mean backup?");
  expect_error(program("walvault", {"info", "--jsn"}), 2, "Did you mean --json?");
  expect_error(program("walvault", {"restore", "--repo", "/x", "--cluster", "main"}), 2,
               "--pgdata");
  expect_error(program("walvault", {"info"}), 2, "no repository is named");
  expect_error(program("walvault", {"info", "--repo", "relative/path"}), 2, "absolute path");
  expect_error(program("walvault", {"info", "--repo", "s4://bucket"}), 2, "scheme");
  expect_error(program("walvault-archive", {"--repo", job().repository(), "x"}), 2,
               "no cluster is named");
  // Told before a repository is looked for that may be away.
  expect_error(program("walvault", {"restore", "--repo", "/nowhere", "--pgdata", "/elsewhere/pg"}),
               2, "no cluster is named");
}

TEST_F(BadInputTest, ErrorsAreOneJsonDocumentOnStdoutWhenAsked) {
  const auto outcome = program("walvault", {"info", "--repo", "/nowhere", "--json"});
  EXPECT_EQ(outcome.exit_code, 6);
  const auto document = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(document["error"]["kind"], "unavailable");
  EXPECT_NE(document["error"]["message"], "");
  EXPECT_NE(document["error"]["hint"], "");
}

TEST_F(BadInputTest, ConfigurationMistakesNameTheKeyAndTheNearestOne) {
  const auto config = job().directory().path("walvault.toml");
  write_text(config,
             "[repository]\nurl = '" + job().repository() + "'\n[cluster.main]\npg = 'x'\n");
  EXPECT_EQ(program("walvault", {"info", "--config", config}).exit_code, 0);
  write_text(config, "[repository]\nulr = '/x'\n");
  expect_error(program("walvault", {"info", "--config", config}), 2, "Did you mean \"url\"?");
  write_text(config, "[repository\n");
  expect_error(program("walvault", {"info", "--config", config}), 2, "Line 1");
  expect_error(program("walvault", {"info", "--config", "/nowhere.toml"}), 2, "does not exist");
  // PostgreSQL would take 2 for the end of the WAL.
  EXPECT_EQ(program("walvault-fetch", {"--config", "/nowhere.toml", "a", "b"}).exit_code, 200);
}

TEST_F(BadInputTest, RepositoriesThatAreNoneAreToldApart) {
  const auto empty = job().directory().path("empty");
  fs::create_directory(empty);
  give_to_server_user(empty);
  expect_error(program("walvault", {"info", "--repo", empty}), 3, "there is no repository");
  expect_error(program("walvault", {"info", "--repo", "/nowhere"}), 6, "does not exist");
  expect_error(program("walvault", {"init", "--repo", job().repository()}), 4, "already");

  const auto newer = job().directory().path("newer");
  EXPECT_EQ(program("walvault", {"init", "--repo", newer}).exit_code, 0);
  auto format = read_text(newer + "/format/1");
  format[9] = 2;  // the envelope's version
  write_text(newer + "/format/2", format);
  expect_error(program("walvault", {"info", "--repo", newer}), 4, "newer version");

  const auto sealed = job().directory().path("sealed");
  EXPECT_EQ(program("walvault", {"init", "--repo", sealed}).exit_code, 0);
  ::chmod(sealed.c_str(), 0500);
  expect_error(program("walvault", {"cluster", "add", "x", "--pg", job().server().conninfo(),
                                    "--repo", sealed}),
               6, "Permission denied");
}

TEST_F(BadInputTest, ClustersThatAreUnknownOrForeignAreRefused) {
  expect_error(program("walvault", {"backup", "--repo", job().repository(), "--cluster", "mian",
                                    "--pg", job().server().conninfo()}),
               4, "The repository knows: main");
  expect_error(
      program("walvault", {"cluster", "add", "No.Name", "--pg", "x", "--repo", job().repository()}),
      2, "cannot name a cluster");

  PostgresServer other(job().directory(), usual_major, "other");
  ASSERT_TRUE(other.start()) << other.log();
  expect_error(program("walvault", here({"backup", "--pg", other.conninfo()})), 4,
               "is not the cluster main");
  expect_error(program("walvault", {"cluster", "add", "main", "--pg", other.conninfo(), "--repo",
                                    job().repository()}),
               4, "belongs to another cluster");
  (void)other.sql("SELECT pg_switch_wal()");
  const auto segment = other.data() + "/pg_wal/000000010000000000000001";
  expect_error(program("walvault-archive", here({segment})), 4, "does not belong to cluster main");
  // archive_mode is off there.
  EXPECT_EQ(program("walvault", {"cluster", "add", "other", "--pg", other.conninfo(), "--repo",
                                 job().repository()})
                .exit_code,
            0);
  expect_error(program("walvault", {"backup", "--pg", other.conninfo(), "--repo",
                                    job().repository(), "--cluster", "other", "--wal", "archive"}),
               2, "archive_mode");
}

TEST_F(BadInputTest, ServersThatCannotBeReachedOrRefuseAreUnavailable) {
  const auto backup = [](const std::string& pg) {
    return program("walvault", here({"backup", "--pg", pg}));
  };
  expect_error(backup("host=/nowhere user=postgres"), 6, "cannot connect");
  expect_error(backup("host=127.0.0.1 port=1 user=postgres"), 6, "cannot connect");
  expect_error(backup(job().server().conninfo() + " nonsense"), 2, "connection string");
  expect_error(backup(job().server().conninfo() + "x"), 6, "cannot connect");

  PostgresServer strict(job().directory(), usual_major, "strict");
  strict.configure("wal_level = minimal\nmax_wal_senders = 0\n");
  ASSERT_TRUE(strict.start()) << strict.log();
  const auto minimal = backup(strict.conninfo());
  expect_error(minimal, 6, "max_wal_senders");
  EXPECT_THAT(minimal.err, HasSubstr("wal_level"));
  strict.configure(
      "wal_level = replica\nmax_wal_senders = 1\npassword_encryption = 'scram-sha-256'\n");
  strict.stop();
  ASSERT_TRUE(strict.start()) << strict.log();
  (void)strict.sql("ALTER ROLE postgres PASSWORD 'secret'; CREATE ROLE weak LOGIN");
  const auto weak = backup(strict.conninfo() + " user=weak");
  expect_error(weak, 6, "REPLICATION");
  // The one sender that there is, is taken.
  auto busy = strict.start_tool({"pg_receivewal", "-D", job().directory().path(), "--no-loop"});
  for (int i = 0; i < 100 && strict.sql("SELECT count(*) FROM pg_stat_replication") == "0"; ++i) {
    std::this_thread::sleep_for(50ms);
  }
  expect_error(backup(strict.conninfo()), 6, "max_wal_senders");
  busy->send(SIGTERM);
  (void)busy->wait();
  write_text(strict.data() + "/pg_hba.conf",
             "local all all trust\nlocal replication all scram-sha-256\n");
  strict.stop();
  ASSERT_TRUE(strict.start()) << strict.log();
  const auto asked = backup(strict.conninfo());
  expect_error(asked, 6, "password");
  EXPECT_THAT(asked.err, HasSubstr("pgpass"));
  expect_error(backup(strict.conninfo() + " password=wrong"), 6, "password authentication failed");
}

TEST_F(BadInputTest, TargetsThatCannotBeHadAreRefusedBeforeAByteIsWritten) {
  const auto restore = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"restore", "--pgdata", job().directory().path("never")});
    return program("walvault", here(std::move(arguments)));
  };
  expect_error(restore({"--to", "2026-11-21 10:00:00"}), 2, "has no zone");
  expect_error(restore({"--to", "yesterday"}), 2, "is not a time");
  expect_error(restore({"--to", "2001-01-01 00:00:00+00"}), 7, "before the end of the backup");
  expect_error(restore({"--to", "2091-01-01 00:00:00+00"}), 7, "after the archived WAL");
  expect_error(restore({"--to-lsn", "0/1"}), 7, "before the end of the backup");
  expect_error(restore({"--to-lsn", "FF/0"}), 7, "after the archived WAL");
  expect_error(restore({"--to-lsn", "FF-0"}), 2, "not a WAL position");
  expect_error(restore({"--to-xid", "-5"}), 2, "not a transaction id");
  expect_error(restore({"--to-xid", "nan"}), 2, "not a transaction id");
  expect_error(restore({"--to-xid", "5", "--to-immediate"}), 2, "only one target");
  expect_error(restore({"--to-name", std::string(64, 'x')}), 2, "restore point");
  expect_error(restore({"--action", "pause"}), 2, "needs a target");
  expect_error(restore({"--backup", "20010101T000000Z-0000"}), 3, "there is no backup");
  expect_error(restore({"--timeline", "7"}), 3, "timeline 7");
  expect_error(restore({"--tablespace", "/a"}), 2, "tablespace mapping");
  expect_error(restore({"--tablespace", "/a=/b"}), 2, "no tablespace");
  expect_error(restore({"--jobs", "0"}), 2, "--jobs");
  EXPECT_FALSE(fs::exists(job().directory().path("never")));
}

TEST_F(BadInputTest, DestinationsThatHoldSomethingStayUntouched) {
  const auto full = job().directory().path("full");
  fs::create_directory(full);
  write_text(full + "/precious", "mine");
  give_to_server_user(full);
  expect_error(program("walvault", here({"restore", "--pgdata", full})), 4, "not empty");
  EXPECT_EQ(read_text(full + "/precious"), "mine");
  expect_error(program("walvault", here({"restore", "--pgdata", job().server().data()})), 4,
               "a server is running");
  expect_error(program("walvault", here({"restore", "--pgdata", full + "/precious"})), 4,
               "not a directory");
}

TEST_F(BadInputTest, SmallFileSystemsFillUpLoudlyAndHarmlessly) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting a small file system needs root";
  const SmallFileSystem file_system(job().directory().path("small"), "size=8m,mode=0777");
  const auto& small = file_system.path();
  expect_error(program("walvault", here({"restore", "--pgdata", small + "/pg"})), 6,
               "too little room");

  const auto repository = small + "/repo";
  EXPECT_EQ(program("walvault", {"init", "--repo", repository}).exit_code, 0);
  EXPECT_EQ(program("walvault", {"cluster", "add", "main", "--pg", job().server().conninfo(),
                                 "--repo", repository})
                .exit_code,
            0);
  // Incompressible, so that it does not fit.
  write_text(small + "/filler", std::string(7'800'000, 'x'));
  const auto segment = job().server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  const auto pushed = program("walvault-archive", {"--repo", repository, "--cluster", "main",
                                                   job().server().data() + "/pg_wal/" + segment});
  EXPECT_TRUE(pushed.exit_code == 6 || pushed.exit_code == 0) << pushed.text();
  const auto backup = program("walvault", {"backup", "--pg", job().server().conninfo(), "--repo",
                                           repository, "--cluster", "main"});
  expect_error(backup, 6, "No space left");
  const auto info = program("walvault", {"info", "--repo", repository, "--json"});
  EXPECT_EQ(nlohmann::json::parse(info.out)["clusters"][0]["backups"].size(), 0u);
}

// A disk with errors is remounted read-only; a copy may lie on a medium that is.
TEST_F(BadInputTest, AReadOnlyRepositoryCanBeLookedAtAndRestoredFrom) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting a file system needs root";
  const SmallFileSystem file_system(job().directory().path("read-only"), "size=256m,mode=0777");
  const auto& place = file_system.path();
  const auto repository = place + "/repo";
  ASSERT_EQ(std::system(("cp -a " + job().repository() + " " + repository).c_str()), 0);
  file_system.make_read_only();
  const auto there = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--repo", repository, "--cluster", "main"});
    return arguments;
  };
  EXPECT_EQ(program("walvault", there({"info"})).exit_code, 0);
  const auto verified = program("walvault", there({"verify", "--deep"}));
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  EXPECT_THAT(verified.err, HasSubstr("Read-only file system"));
  const auto restored =
      program("walvault", there({"restore", "--pgdata", job().directory().path("from-read-only")}));
  EXPECT_EQ(restored.exit_code, 0) << restored.text();
  EXPECT_THAT(restored.err, HasSubstr("Read-only file system"));
  const auto segment = job()
                           .walvault_json({"info"})["clusters"][0]["timelines"][0]["last_segment"]
                           .get<std::string>();
  EXPECT_EQ(program("walvault-fetch", there({segment, job().directory().path("fetched-read-only")}))
                .exit_code,
            0);

  const auto current = job().server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  const auto words = "Read-only file system";
  expect_error(program("walvault-archive", there({job().server().data() + "/pg_wal/" + current})),
               6, words);
  expect_error(program("walvault", there({"backup", "--pg", job().server().conninfo()})), 6, words);
  expect_error(program("walvault", there({"backups", "keep", "x", "--for", "1d"})), 3, "no backup");
}

TEST_F(BadInputTest, FetchSaysNotThereOnlyWhenThatIsProved) {
  const auto target = job().directory().path("fetched");
  const auto fetch = [&](const std::string& name, std::vector<std::string> options) {
    options.insert(options.begin(), {name, target});
    return program("walvault-fetch", std::move(options));
  };
  EXPECT_EQ(fetch("0000000100000000000000FE", here({})).exit_code, 1);
  EXPECT_EQ(fetch("00000002.history", here({})).exit_code, 1);
  EXPECT_EQ(fetch("nonsense", here({})).exit_code, 200);
  EXPECT_EQ(
      fetch("000000010000000000000001", {"--repo", job().repository(), "--cluster", "other-one"})
          .exit_code,
      200);
  EXPECT_EQ(fetch("000000010000000000000001", {"--cluster", "main"}).exit_code, 200);
  EXPECT_EQ(program("walvault-fetch", here({"only-one-argument"})).exit_code, 200);
  const auto config = job().directory().path("impatient.toml");
  write_text(config, "[fetch]\nretry_for = '1s'\n");
  EXPECT_EQ(fetch("000000010000000000000001",
                  {"--repo", "/nowhere", "--cluster", "main", "--config", config})
                .exit_code,
            200);
  EXPECT_FALSE(fs::exists(target));
  EXPECT_EQ(fetch("000000010000000000000001", here({})).exit_code, 0);
  EXPECT_EQ(fs::file_size(target), 16u << 20);
}

// ---- with a server and a repository of their own, because they are harmed

TEST(BrokenMainJob, AMissingSegmentIsFoundBeforeAnythingIsWrittenAndByFetch) {
  MainJob job(usual_major);
  (void)job.server().sql("CREATE TABLE t (n int)");
  const auto backup = job.backup();
  for (int i = 0; i < 3; ++i) {
    (void)job.server().sql("INSERT INTO t VALUES (1)");
    job.archive_everything();
  }
  const auto info = job.walvault_json({"info"});
  EXPECT_EQ(info["clusters"][0]["gaps"].size(), 0u);
  std::vector<std::string> segments;
  for (const auto& entry :
       fs::recursive_directory_iterator(job.repository() + "/wal/main/1/00000001-0/00000000")) {
    if (entry.path().filename().string().size() == 24) segments.push_back(entry.path().string());
  }
  std::sort(segments.begin(), segments.end());
  const auto lost = segments[segments.size() - 2];
  fs::remove(lost);
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["gaps"].size(), 1u);
  const auto refused = job.walvault({"restore", "--pgdata", job.directory().path("new")});
  EXPECT_EQ(refused.exit_code, 7) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr(fs::path(lost).filename().string()));
  EXPECT_FALSE(fs::exists(job.directory().path("new")));
  const auto fetched = run({job.binary("walvault-fetch"), "--repo", job.repository(), "--cluster",
                            "main", fs::path(lost).filename().string(), job.directory().path("f")},
                           {}, job.directory().path());
  EXPECT_EQ(fetched.exit_code, 200) << "recovery must not end in a gap";
  // The moment the backup became consistent can still be had.
  EXPECT_EQ(job.walvault({"restore", "--pgdata", job.directory().path("new"), "--to-immediate"})
                .exit_code,
            0);
}

TEST(BrokenMainJob, ADamagedChunkIsNamedWithItsFileAndTheHalfRestoredDirectoryCannotStart) {
  MainJob job(usual_major);
  ASSERT_EQ(job.server().tool({"pgbench", "-i", "-q", "-s", "2", "postgres"}).exit_code, 0);
  (void)job.backup();
  job.archive_everything();
  std::string largest;
  for (const auto& entry : fs::recursive_directory_iterator(job.repository() + "/packs")) {
    if (!fs::is_regular_file(entry.path())) continue;
    if (largest.empty() || fs::file_size(entry.path()) > fs::file_size(largest)) {
      largest = entry.path().string();
    }
  }
  auto pack = read_text(largest);
  pack[pack.size() / 2] = static_cast<char>(pack[pack.size() / 2] ^ 1);
  write_text(largest, pack);
  const auto refused = job.walvault({"restore", "--pgdata", job.directory().path("new")});
  EXPECT_EQ(refused.exit_code, 5) << refused.text();
  EXPECT_THAT(refused.err, ::testing::ContainsRegex("content of \"[^\"]+\" at byte [0-9]+"));
  EXPECT_FALSE(fs::exists(job.directory().path("new/global/pg_control")));
  PostgresServer half(job.directory(), usual_major, "new", job.directory().path("new"));
  EXPECT_FALSE(half.start());
}

TEST(BrokenMainJob, AServerThatCannotStreamWalIsRefusedBeforeAnythingIsCopied) {
  MainJob job(usual_major, "archive_mode = off\nmax_replication_slots = 0\n");
  auto& server = job.server();
  const auto no_slot = job.walvault({"backup", "--pg", server.conninfo()});
  EXPECT_EQ(no_slot.exit_code, 6) << no_slot.text();
  EXPECT_THAT(no_slot.err, HasSubstr("Raise max_replication_slots"));
  server.stop();
  server.configure("max_replication_slots = 1\nmax_wal_senders = 1\n");
  ASSERT_TRUE(server.start()) << server.log();
  const auto no_sender = job.walvault({"backup", "--pg", server.conninfo()});
  EXPECT_EQ(no_sender.exit_code, 6) << no_sender.text();
  EXPECT_THAT(no_sender.err, HasSubstr("Raise max_wal_senders"));
  EXPECT_TRUE(job.walvault_json({"info"})["clusters"][0]["backups"].empty());
}

TEST(BrokenMainJob, WalThatNeverArrivesLeavesNoBackup) {
  MainJob job(usual_major);
  (void)job.server().sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)job.server().sql("SELECT pg_reload_conf()");
  const auto failed =
      job.walvault({"backup", "--pg", job.server().conninfo(), "--wal-timeout", "2s"});
  EXPECT_EQ(failed.exit_code, 6) << failed.text();
  EXPECT_THAT(failed.err, HasSubstr("did not arrive"));
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["backups"].size(), 0u);
}

class InterruptedBackup : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Signals, InterruptedBackup, ::testing::Values(SIGINT, SIGTERM, SIGKILL),
                         [](const auto& sent) { return "Signal" + std::to_string(sent.param); });

TEST_P(InterruptedBackup, LeavesNothingThatIsShownAndTheNextOneSucceeds) {
  MainJob job(usual_major);
  auto interrupted =
      job.start_walvault({"backup", "--pg", job.server().conninfo(), "--max-rate", "8MB"});
  std::this_thread::sleep_for(1500ms);
  interrupted->send(GetParam());
  const auto ended = interrupted->wait();
  EXPECT_EQ(ended.signal, GetParam()) << ended.text();
  if (GetParam() != SIGKILL) {
    EXPECT_THAT(ended.err, HasSubstr("interrupted by SIG"));
  }
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["backups"].size(), 0u);
  (void)job.backup();
  job.archive_everything();
  auto restored = job.restore("new", {});
  EXPECT_TRUE(restored->wait_until_promoted()) << restored->log();
}

TEST(BrokenMainJob, AServerThatGoesAwayInTheMiddleEndsTheBackupCleanly) {
  MainJob job(usual_major);
  auto backup =
      job.start_walvault({"backup", "--pg", job.server().conninfo(), "--max-rate", "8MB"});
  std::this_thread::sleep_for(1500ms);
  job.server().stop("immediate");
  const auto ended = backup->wait();
  EXPECT_EQ(ended.exit_code, 6) << ended.text();
  ASSERT_TRUE(job.server().start()) << job.server().log();
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["backups"].size(), 0u);
  (void)job.backup();
}

TEST(BrokenMainJob, AnErrorInTheMiddleOfTheStreamIsToldInTheServersOwnWords) {
  MainJob job(usual_major);
  auto backup =
      job.start_walvault({"backup", "--pg", job.server().conninfo(), "--max-rate", "8MB"});
  std::this_thread::sleep_for(1500ms);
  // Not pg_terminate_backend: a server that is just then blocked in sending
  // goes without a word.
  (void)job.server().sql(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'");
  const auto ended = backup->wait();
  EXPECT_EQ(ended.exit_code, 6) << ended.text();
  EXPECT_THAT(ended.err, HasSubstr("canceling statement due to user request"));
}

TEST(BrokenMainJob, ADamagedBackupDoesNotStopTheNextOne) {
  MainJob job(usual_major);
  const auto first = job.backup();
  const auto root = job.repository() + "/backups/main/" + first.at("id").get<std::string>() + "/1";
  auto bytes = read_text(root);
  bytes[bytes.size() - 40] = static_cast<char>(bytes[bytes.size() - 40] ^ 1);
  write_text(root, bytes);
  (void)job.backup();
  job.archive_everything();
  auto restored = job.restore("new", {});
  EXPECT_TRUE(restored->wait_until_promoted()) << restored->log();
}

TEST(BrokenMainJob, AnArchiverThatIsKilledAtAnyMomentLosesNoSegment) {
  MainJob job(usual_major);
  (void)job.server().sql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS n");
  // Keep PostgreSQL's own archiver away: these calls are ours.
  (void)job.server().sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)job.server().sql("SELECT pg_reload_conf()");
  const auto segment = job.server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  (void)job.server().sql("SELECT pg_switch_wal()");
  const auto path = job.server().data() + "/pg_wal/" + segment;
  const std::vector<std::string> push = {
      job.binary("walvault-archive"), "--repo", job.repository(), "--cluster", "main", path};
  for (int delay_ms = 0; delay_ms < (long_tests() ? 60 : 30); delay_ms += long_tests() ? 1 : 3) {
    Child child(push, {}, job.directory().path());
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    child.send(SIGKILL);
    (void)child.wait();
    // Whatever is under the name is whole.
    const auto fetched = run({job.binary("walvault-fetch"), "--repo", job.repository(), "--cluster",
                              "main", segment, job.directory().path("fetched")},
                             {}, job.directory().path());
    ASSERT_TRUE(fetched.exit_code == 0 || fetched.exit_code == 1) << fetched.text();
    if (fetched.exit_code == 0) {
      ASSERT_EQ(read_text(job.directory().path("fetched")), read_text(path));
      fs::remove_all(job.repository() + "/wal");
    }
  }
  const auto pushed = run(push, {}, job.directory().path());
  EXPECT_EQ(pushed.exit_code, 0) << pushed.text();
  const auto again = run(push, {}, job.directory().path());
  EXPECT_EQ(again.exit_code, 0) << again.text();
}

TEST(Programs, TheSmallOnesNeedNeitherLibpqNorLibcurl) {
  for (const auto* name : {"walvault-archive", "walvault-fetch"}) {
    const auto needed = run({"ldd", std::string(WALVAULT_BIN_DIR) + "/" + name}, {}, "/tmp");
    ASSERT_EQ(needed.exit_code, 0) << needed.text();
    EXPECT_THAT(needed.out, ::testing::Not(HasSubstr("libpq"))) << name;
    EXPECT_THAT(needed.out, ::testing::Not(HasSubstr("libcurl"))) << name;
  }
}

}  // namespace
}  // namespace walvault
