// What happens to the repository between a restore and its recovery.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class PinnedPlan : public ::testing::TestWithParam<int> {
 protected:
  PinnedPlan() {
    (void)job_.server().sql("CREATE TABLE t AS SELECT 1 AS n");
    (void)job_.backup();
    for (int i = 0; i < 3; ++i) {
      needed_ = job_.server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
      (void)job_.server().sql("INSERT INTO t VALUES (2)");
      job_.archive_everything();
    }
  }

  // Restored, not started.
  [[nodiscard]] std::unique_ptr<PostgresServer> restored() {
    const auto data = job_.directory().path("restored");
    const auto outcome = job_.walvault({"restore", "--pgdata", data});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.text();
    give_to_server_user(data);
    auto server = job_.server_in("restored");
    // What has to fail is not to be tried for minutes.
    server->configure("archive_mode = off\n");
    return server;
  }

  MainJob job_{GetParam()};
  std::string needed_;  // the last segment of which something is needed
};
INSTANTIATE_TEST_SUITE_P(Majors, PinnedPlan, ::testing::Values(13, 18), name_of_major);

TEST_P(PinnedPlan, IsFollowedThoughItsTimelineIsSetAside) {
  auto server = restored();
  ASSERT_EQ(job_.walvault({"timeline", "set-aside", "1", "--yes"}).exit_code, 0);
  // The number goes on, with WAL of another course.
  job_.archive_everything();
  ASSERT_TRUE(server->start()) << server->log();
  ASSERT_TRUE(server->wait_until_promoted()) << server->log();
  EXPECT_EQ(server->sql("SELECT count(*) FROM t"), "4");
  EXPECT_EQ(server->sql("SELECT timeline_id FROM pg_control_checkpoint()"), "2");
  // Nothing of its recovery is left for who copies it.
  const auto conf = server->data() + "/postgresql.auto.conf";
  EXPECT_THAT(read_text(conf), Not(HasSubstr("recovery_target")));
  const auto copy = server->tool({"pg_basebackup", "-d", server->conninfo(), "-D",
                                  job_.directory().path("copy"), "-c", "fast", "-R"});
  ASSERT_EQ(copy.exit_code, 0) << copy.text();
  auto standby = job_.server_in("copy");
  ASSERT_TRUE(standby->start()) << standby->log();
  EXPECT_EQ(standby->sql("SELECT pg_is_in_recovery()"), "t");
  standby->stop();
  // Its role can be changed later; while a recovery goes on, that is not ended by hand.
  const auto keep = job_.walvault({"archiving", "keep", "--pgdata", server->data()});
  EXPECT_EQ(keep.exit_code, 0) << keep.text();
  EXPECT_EQ(job_.walvault({"recovery-ended", "--pgdata", standby->data()}).exit_code, 4);
  EXPECT_EQ(job_.walvault({"archiving", "off", "--pgdata", job_.directory().path("no")}).exit_code,
            3);
  EXPECT_EQ(job_.walvault({"archiving", "on", "--pgdata", server->data()}).exit_code, 2);
}

TEST_P(PinnedPlan, WhatItNeedsIsNotTakenForTheEnd) {
  auto server = restored();
  // All that could show that something is missing, too.
  job_.remove_object("wal/main/1/00000001-0/00000000/" + needed_);
  // It may be open for reading before it comes to that segment.
  (void)server->start();
  const std::string words = "but recovery needs it";
  for (int i = 0; i < 100 && server->log().find(words) == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(server->log(), HasSubstr(words));
  EXPECT_THAT(server->log(), Not(HasSubstr("archive recovery complete")));
}

TEST_P(PinnedPlan, AnotherRepositoryAtThePlaceIsRefused) {
  auto server = restored();
  fs::rename(job_.repository(), job_.repository() + ".away");
  ASSERT_EQ(job_.walvault({"init"}).exit_code, 0);
  // The machine is told that it is the right one; the recovery knows better.
  ASSERT_EQ(job_.walvault({"check", "--accept-repository"}).exit_code, 0);
  ASSERT_EQ(job_.walvault({"cluster", "add", "main", "--pg", job_.server().conninfo()}).exit_code,
            0);
  give_to_server_user(job_.repository());
  EXPECT_FALSE(server->start());
  EXPECT_THAT(server->log(), HasSubstr("planned from another repository"));
  fs::remove_all(job_.repository());
  fs::rename(job_.repository() + ".away", job_.repository());
  ASSERT_EQ(job_.walvault({"check", "--accept-repository"}).exit_code, 0);
  ASSERT_TRUE(server->start()) << server->log();
  ASSERT_TRUE(server->wait_until_promoted()) << server->log();
  EXPECT_EQ(server->sql("SELECT count(*) FROM t"), "4");
}

}  // namespace
}  // namespace walvault
