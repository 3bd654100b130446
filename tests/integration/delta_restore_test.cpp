// Restores onto what is left of a data directory: only what differs is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// As a restore leaves it that is killed while it writes its last file. Returns how long that is.
std::size_t cut_off_control_file(PostgresServer& server) {
  const auto control = server.data() + "/global/pg_control";
  const auto system = server.tool({"pg_controldata", server.data()}).text();
  const std::string words = "Database system identifier:";
  const auto number = system.find_first_of("0123456789", system.find(words) + words.size());
  write_text(server.data() + "/walvault.restoring",
             system.substr(number, system.find('\n', number) - number) + "\n");
  const auto whole = read_text(control);
  write_text(control, whole.substr(0, 100));
  // It makes pg_wal anew.
  for (const auto& file : fs::directory_iterator(server.data() + "/pg_wal")) {
    if (fs::is_regular_file(file.path())) fs::remove(file.path());
  }
  return whole.size();
}

TEST(DeltaRestore, TurnsTheOriginalBackInPlace) {
  MainJob job(usual_major);
  auto& server = job.server();
  const auto space = job.directory().path("space");
  fs::create_directory(space);
  give_to_server_user(space);
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + space + "'");
  (void)server.sql(
      "CREATE TABLE t AS SELECT generate_series(1, 500000) AS n;"
      "CREATE TABLE s TABLESPACE space AS SELECT generate_series(1, 100000) AS n");
  (void)job.backup();
  (void)server.sql("DELETE FROM t WHERE n % 100000 = 0");
  (void)server.sql("SELECT pg_create_restore_point('before')");
  (void)server.sql("DROP TABLE t; CREATE TABLE later AS SELECT 1 AS n");
  (void)server.sql("CHECKPOINT");
  job.archive_everything();

  const std::vector<std::string> arguments{"--delta", "--to-name", "before"};
  std::vector<std::string> command{"restore", "--pgdata", server.data()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto running = job.walvault(command);
  EXPECT_EQ(running.exit_code, 4) << running.text();
  EXPECT_THAT(running.err, HasSubstr("a server is running"));
  server.stop();
  const auto restored = job.walvault_json(command);
  EXPECT_GT(restored.at("kept_bytes"), 15'000'000);
  ASSERT_TRUE(server.start()) << server.log();
  ASSERT_TRUE(server.wait_until_promoted()) << server.log();
  EXPECT_EQ(server.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM s),"
                       " (SELECT count(*) FROM pg_class WHERE relname = 'later')"),
            "499995|100000|0");
  server.stop();

  // Killed at any moment, it leaves what cannot be started, and can be begun again.
  command = {"restore",   "--pgdata", server.data(), "--delta", "--discard-wal",
             "--to-name", "before",   "--timeline",  "1"};
  bool is_done = false;
  for (int i = 0; i < 40 && !is_done; ++i) {
    auto attempt = job.start_walvault(command);
    std::this_thread::sleep_for(20ms * (i + 1));
    attempt->send(SIGKILL);
    const auto outcome = attempt->wait();
    is_done = outcome.exit_code == 0;
    ASSERT_TRUE(is_done || outcome.signal == SIGKILL) << outcome.text();
  }
  if (!is_done) {
    const auto last = job.walvault(command);
    ASSERT_EQ(last.exit_code, 0) << last.text();
  }
  ASSERT_TRUE(server.start()) << server.log();
  ASSERT_TRUE(server.wait_until_promoted()) << server.log();
  EXPECT_EQ(server.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM s)"),
            "499995|100000");
  server.stop();
  // Killed while it wrote the last file.
  const auto control_bytes = cut_off_control_file(server);
  const auto again = job.walvault(command);
  ASSERT_EQ(again.exit_code, 0) << again.text();
  EXPECT_EQ(read_text(server.data() + "/global/pg_control").size(), control_bytes);
  const auto checked = server.tool({"pg_checksums", "--check", "-D", server.data()});
  EXPECT_THAT(checked.text(), HasSubstr("checksums"));
}

TEST(DeltaRestore, RefusesWhatIsNoCopyOfTheCluster) {
  MainJob job(usual_major);
  (void)job.backup();
  job.archive_everything();
  job.expect_others_untouched({"--delta"}, {"--delta", "--yes"});
  const auto photos = job.directory().path("photos");
  const auto both = job.walvault({"restore", "--pgdata", photos, "--delta", "--force"});
  EXPECT_EQ(both.exit_code, 2) << both.text();
}

}  // namespace
}  // namespace walvault
