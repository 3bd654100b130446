// What a restored server does by itself: it recovers, in a container too, waits for nothing, and
// acts on nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class RestoredServers : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, RestoredServers, ::testing::Values(13, 15, 16, 18), name_of_major);

TEST_P(RestoredServers, WaitForNothingThatAStandbyWasTold) {
  MainJob job(GetParam());
  auto& server = job.server();
  const auto trace = job.directory().path("trace");
  server.configure("recovery_min_apply_delay = '1h'\nrecovery_end_command = 'echo end >> " + trace +
                   "'\narchive_cleanup_command = 'echo cleanup >> " + trace +
                   "'\nprimary_slot_name = 'of_another'\nsynchronous_standby_names = 'nobody'\n" +
                   (GetParam() <= 15 ? "promote_trigger_file = '/nowhere/trigger'\n" : "") +
                   (GetParam() >= 17 ? "sync_replication_slots = on\n" : ""));
  // Of the running server only what makes its commits wait counts.
  (void)server.sql("ALTER SYSTEM SET synchronous_commit = off");
  server.stop();
  ASSERT_TRUE(server.start()) << server.log();
  (void)server.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  (void)server.sql("INSERT INTO t VALUES (2)");
  job.archive_everything();
  auto copy = job.restore("copy", {});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  EXPECT_EQ(copy->sql("SELECT count(*) FROM t"), "2");
  // Nor does a commit wait for a standby that is not there.
  EXPECT_EQ(copy->sql("SET synchronous_commit = on; SET statement_timeout = '20s';"
                      "INSERT INTO t VALUES (3) RETURNING n"),
            "3");
  EXPECT_FALSE(fs::exists(trace)) << read_text(trace);
}

// The original is to have what its publisher sends, once.
TEST(RestoredServer, TakesNoChangesThatItsOriginalIsToHave) {
  MainJob job(usual_major);
  auto& subscriber = job.server();
  PostgresServer publisher(job.directory(), usual_major, "publisher");
  publisher.configure("wal_level = logical\n");
  ASSERT_TRUE(publisher.start()) << publisher.log();
  (void)publisher.sql("CREATE TABLE t (n int)");
  (void)publisher.sql("CREATE PUBLICATION p FOR TABLE t");
  (void)subscriber.sql("CREATE TABLE t (n int)");
  (void)subscriber.sql("CREATE SUBSCRIPTION s CONNECTION '" + publisher.conninfo() +
                       " dbname=postgres' PUBLICATION p");
  const auto comes_to = [](PostgresServer& server, const std::string& rows) {
    for (int i = 0; i < 200; ++i) {
      if (server.sql("SELECT count(*) FROM t") == rows) return true;
      std::this_thread::sleep_for(100ms);
    }
    return false;
  };
  (void)publisher.sql("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(comes_to(subscriber, "1"));
  (void)job.backup();
  job.archive_everything();
  subscriber.stop();

  const auto restored = job.walvault({"restore", "--pgdata", job.directory().path("copy")});
  ASSERT_EQ(restored.exit_code, 0) << restored.text();
  EXPECT_THAT(restored.out, HasSubstr("logical replication"));
  auto copy = job.server_in("copy");
  ASSERT_TRUE(copy->start()) << copy->log();
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  (void)publisher.sql("INSERT INTO t SELECT generate_series(2, 20)");
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(copy->sql("SELECT count(*) FROM t"), "1");
  ASSERT_TRUE(subscriber.start()) << subscriber.log();
  EXPECT_TRUE(comes_to(subscriber, "20")) << subscriber.sql("SELECT count(*) FROM t");
}

// Processes that fetch ahead for a server, as this machine numbers them.
std::vector<pid_t> fetching_for(const std::string& data_directory) {
  struct stat data {};
  std::vector<pid_t> found;
  if (::stat(data_directory.c_str(), &data) != 0) return found;
  for (fs::directory_iterator it("/proc"); it != fs::directory_iterator(); ++it) {
    const auto process = it->path().string();
    struct stat status {};
    if (::stat((process + "/cwd").c_str(), &status) != 0 || status.st_ino != data.st_ino ||
        read_text(process + "/comm") != "walvault-fetch\n") {
      continue;
    }
    found.push_back(std::stoi(it->path().filename().string()));
  }
  return found;
}

bool fetches_ahead(pid_t pid) {
  return read_text("/proc/" + std::to_string(::getsid(pid)) + "/comm") == "walvault-fetch\n";
}

// It reaps whatever loses its parent, and takes a death by a signal for a crash of its own.
TEST(RestoredServer, RecoversAsProcess1OfAContainer) {
  MainJob job(usual_major, "", {"--wal-segsize=1"});
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (n int)");
  (void)job.backup();
  for (int n = 1; n <= 40; ++n) {
    (void)server.sql("INSERT INTO t VALUES (" + std::to_string(n) + "); SELECT pg_switch_wal()");
  }
  job.archive_everything();
  server.stop();
  const auto data = job.directory().path("contained");
  ASSERT_EQ(job.walvault({"restore", "--pgdata", data}).exit_code, 0);
  const auto log = job.directory().path("contained.log");
  // Every segment takes its time, so that recovery outlives what fetches for it.
  const auto conf = data + "/postgresql.auto.conf";
  auto settings = read_text(conf);
  const std::string before = "restore_command = '";
  const auto at = settings.find(before) + before.size();
  settings.insert(at, "sleep 0.05; ");
  write_text(conf, settings);
  struct stat owner {};
  ASSERT_EQ(::stat(data.c_str(), &owner), 0);
  Child container({"/usr/bin/unshare", "-U", "--map-user=" + std::to_string(owner.st_uid),
                   "--map-group=" + std::to_string(owner.st_gid), "-pf", "--mount-proc",
                   "--kill-child=SIGQUIT", "/bin/sh", "-c",
                   "exec " + job.server().programs() + "/postgres -D " + data + " -c port=6999 >" +
                       log + " 2>&1"},
                  {}, job.directory().path());
  int signalled = 0;
  bool is_ready = false;
  for (int i = 0; i < 3000 && !is_ready && container.is_running(); ++i) {
    for (const auto pid : fetching_for(data)) {
      // What PostgreSQL waits for is in a session of one of its own processes.
      if (!fetches_ahead(pid)) continue;
      signalled += ::kill(pid, SIGALRM) == 0 ? 1 : 0;
    }
    is_ready =
        read_text(log).find("database system is ready to accept connections") != std::string::npos;
    std::this_thread::sleep_for(10ms);
  }
  if (!is_ready && !fs::exists(log)) GTEST_SKIP() << "no namespaces can be made here";
  EXPECT_TRUE(is_ready) << read_text(log);
  EXPECT_GT(signalled, 0);
  EXPECT_THAT(read_text(log), Not(HasSubstr("was terminated by signal")));
  EXPECT_THAT(read_text(log), Not(HasSubstr("reinitializing")));
  container.send(SIGKILL);
  (void)container.wait();
}

}  // namespace
}  // namespace walvault
