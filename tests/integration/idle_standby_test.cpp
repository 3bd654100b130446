// Backups of a standby whose primary writes nothing.
#include <gtest/gtest.h>

#include "support/main_job.h"

namespace walvault {
namespace {

class IdleStandby : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, IdleStandby, ::testing::Values(13, 18), name_of_major);

// What has come of the segment that nobody fills is part of it, here and in a copy.
TEST_P(IdleStandby, IsBackedUpAsItIs) {
  MainJob job(GetParam());
  auto& primary = job.server();
  (void)primary.sql("CREATE TABLE t AS SELECT 1 AS n");
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  (void)primary.sql("INSERT INTO t VALUES (2)");
  const auto lsn = primary.sql("SELECT pg_current_wal_lsn()");
  for (int i = 0; i < 200; ++i) {
    if (standby->sql("SELECT pg_last_wal_replay_lsn() >= '" + lsn + "'") == "t") break;
    (void)standby->sql("SELECT pg_sleep(0.05)");
  }
  const auto backup =
      job.walvault_json({"backup", "--wal", "stream", "--pg", standby->conninfo()})["backup"];
  const std::string id = backup["id"];
  EXPECT_TRUE(backup["from_standby"]);
  EXPECT_EQ(job.walvault({"verify", "--deep", "--backup", id}).exit_code, 0);
  const auto other = job.directory().path("other");
  EXPECT_EQ(job.walvault({"init", "--repo", other}).exit_code, 0);
  EXPECT_EQ(job.walvault({"copy", "--to", other}).exit_code, 0);
  give_to_server_user(other);
  for (const std::vector<std::string>& how :
       {std::vector<std::string>{"--repo", other}, {"--to-immediate"}, {}}) {
    std::vector<std::string> with{"--backup", id};
    with.insert(with.end(), how.begin(), how.end());
    auto alone = job.restore("alone" + std::to_string(how.size()), with);
    ASSERT_TRUE(alone->wait_until_promoted()) << alone->log();
    EXPECT_EQ(alone->sql("SELECT count(*) FROM t"), "2");
  }
  // The primary goes on and archives the segment whole: that counts from then on.
  (void)primary.sql("INSERT INTO t VALUES (3)");
  job.archive_everything();
  auto newest = job.restore("newest", {"--backup", id});
  ASSERT_TRUE(newest->wait_until_promoted()) << newest->log();
  EXPECT_EQ(newest->sql("SELECT count(*) FROM t"), "3");
}

}  // namespace
}  // namespace walvault
