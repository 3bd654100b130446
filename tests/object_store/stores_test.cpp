// Other stores than the one in memory: on disk with daemons that die, and one without
// conditional writes. Only with scripts/test.sh --long.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/main_job.h"
#include "support/s3_bucket.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class StoresTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!long_tests()) GTEST_SKIP() << "only with --long";
  }
  void use(const std::string& kind) {
    store_ = std::make_unique<ObjectStore>(kind);
    job_ = std::make_unique<MainJob>(15, MainJobPlace{.bucket = new_bucket("shared", *store_)});
    (void)job_->server().sql(
        "CREATE TABLE t AS SELECT g AS n, repeat(md5(g::text), 20) AS text"
        " FROM generate_series(1, 60000) g");
  }
  void write(int round) {
    (void)job_->server().sql("UPDATE t SET text = md5(text) || text WHERE n % 10 = " +
                             std::to_string(round % 10));
  }
  void expect_done(const std::vector<std::string>& command) {
    const auto done = job_->walvault(command);
    EXPECT_EQ(done.exit_code, 0) << command[0] << ": " << done.text();
  }
  void expect_restorable() {
    const auto query = "SELECT count(*), sum(hashtext(text)) FROM t";
    const auto rows = job_->server().sql(query);
    job_->archive_everything();
    expect_done({"verify", "--deep"});
    const auto restored = job_->restore("restored", {});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql(query), rows);
  }

  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<MainJob> job_;
};

// What was acknowledged is there, whichever of them died at whatever moment.
TEST_F(StoresTest, DaemonsThatAreKilledLoseNothing) {
  use("bluestore");
  int round = 0;
  for (const std::string daemon : {"client.rgw", "osd.0", "mon.a", "osd.0", "client.rgw"}) {
    SCOPED_TRACE(daemon);
    write(round++);
    const auto backup =
        job_->start_walvault({"backup", "--pg", job_->server().conninfo(), "--json"});
    std::this_thread::sleep_for(150ms * round);
    store_->kill_daemon(daemon);
    std::this_thread::sleep_for(500ms);
    store_->restart();
    const auto done = backup->wait();
    EXPECT_EQ(done.exit_code, 0) << done.text();
    expect_done({"expire", "--keep-last", "3"});
    const auto gc = job_->start_walvault({"gc", "--grace", "1s"});
    std::this_thread::sleep_for(1100ms);
    store_->kill_daemon(daemon);
    store_->restart();
    const auto collected = gc->wait();
    EXPECT_EQ(collected.exit_code, 0) << collected.text();
    expect_done({"verify", "--deep"});
  }
  expect_restorable();
}

TEST_F(StoresTest, OneWithoutConditionalWritesDoesAllThatItCan) {
  use("swift");
  for (int round = 0; round < 3; ++round) {
    write(round);
    (void)job_->backup();
    job_->archive_everything();
  }
  EXPECT_EQ(job_->walvault_json({"info"})["clusters"][0]["backups"].size(), 3u);
  expect_done({"expire", "--keep-last", "1"});
  const auto refused = job_->walvault({"gc", "--grace", "0s"});
  EXPECT_EQ(refused.exit_code, 2) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("--exclusive"));
  expect_done({"gc", "--exclusive", "--grace", "0s"});
  expect_restorable();

  const auto copy = job_->directory().path("copy");
  expect_done({"init", "--repo", copy});
  expect_done({"copy", "--to", copy});
  expect_done({"verify", "--deep", "--repo", copy});
}

}  // namespace
}  // namespace walvault
