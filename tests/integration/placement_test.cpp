// Whose WAL it is: copies of a server that go on under its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class Placement : public ::testing::TestWithParam<int> {
 protected:
  Placement() { (void)server().sql("CREATE TABLE t AS SELECT 'original' AS who"); }

  // A copy of the running server, on the same timeline, that archives nothing.
  [[nodiscard]] std::unique_ptr<PostgresServer> clone(const std::string& name) {
    const auto made = server().tool({"pg_basebackup", "-d", server().conninfo(), "-D",
                                     job_.directory().path(name), "-c", "fast"});
    EXPECT_EQ(made.exit_code, 0) << made.text();
    auto copy = job_.server_in(name);
    copy->configure("archive_mode = off\n");
    EXPECT_TRUE(copy->start()) << copy->log();
    return copy;
  }
  [[nodiscard]] PostgresServer& server() { return job_.server(); }
  [[nodiscard]] std::string newest_restored(const std::string& name) {
    auto copy = job_.restore(name, {});
    EXPECT_TRUE(copy->wait_until_promoted()) << copy->log();
    return copy->sql("SELECT string_agg(DISTINCT who, ' ' ORDER BY who) FROM t");
  }

  MainJob job_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Majors, Placement, ::testing::Values(13, 18), name_of_major);

// It shares everything up to the clone with what is archived, and goes on by itself.
TEST_P(Placement, WhatACloneWroteIsNotRescuedUnasked) {
  (void)job_.backup();
  auto staging = clone("staging");
  job_.archive_everything();
  (void)staging->sql("INSERT INTO t SELECT 'staging' FROM generate_series(1, 100)");
  for (int i = 0; i < 3; ++i) {
    (void)staging->sql("SELECT pg_switch_wal()");
    (void)staging->sql("INSERT INTO t VALUES ('staging')");
  }
  staging->stop("immediate");
  for (const auto* const option : {"--force", "--delta"}) {
    const auto refused =
        job_.walvault({"restore", option, "--pgdata", job_.directory().path("staging")});
    EXPECT_EQ(refused.exit_code, 4) << refused.text();
    EXPECT_THAT(refused.err, HasSubstr("--discard-wal"));
  }
  // The original goes on archiving, and its rows alone come back.
  (void)server().sql("INSERT INTO t VALUES ('original')");
  job_.archive_everything();
  const auto restored = job_.walvault(
      {"restore", "--force", "--discard-wal", "--pgdata", job_.directory().path("staging")});
  EXPECT_EQ(restored.exit_code, 0) << restored.text();
  EXPECT_EQ(newest_restored("copy"), "original");
  EXPECT_EQ(job_.walvault({"check", "--pg", server().conninfo()}).exit_code, 0);
}

// With segments of the same names, the original's archived first.
TEST_P(Placement, NothingIsWrittenBehindAContradiction) {
  (void)job_.backup();
  auto staging = clone("staging");
  for (int i = 0; i < 3; ++i) {
    (void)staging->sql("INSERT INTO t VALUES ('staging')");
    (void)staging->sql("SELECT pg_switch_wal()");
  }
  (void)server().sql("INSERT INTO t VALUES ('original')");
  job_.archive_everything();
  staging->stop("immediate");
  const auto before = job_.walvault_json({"info"})["clusters"][0]["wal_stored_bytes"];
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--accept"}}) {
    std::vector<std::string> command = {"wal", "rescue", "--pgdata",
                                        job_.directory().path("staging")};
    command.insert(command.end(), more.begin(), more.end());
    const auto refused = job_.walvault(command);
    EXPECT_EQ(refused.exit_code, 4) << refused.text();
    EXPECT_THAT(refused.err, HasSubstr("does not go on with what is archived"));
  }
  EXPECT_EQ(job_.walvault_json({"info"})["clusters"][0]["wal_stored_bytes"], before);
  EXPECT_EQ(newest_restored("copy"), "original");
}

// A backup of a clone would bring the clone's WAL under the original's names.
TEST_P(Placement, ACloneIsNotStreamedFrom) {
  (void)job_.backup();
  auto staging = clone("staging");
  (void)staging->sql("INSERT INTO t VALUES ('staging')");
  (void)server().sql("INSERT INTO t VALUES ('original')");
  job_.archive_everything();
  const auto refused = job_.walvault({"backup", "--wal", "stream", "--pg", staging->conninfo()});
  EXPECT_EQ(refused.exit_code, 4) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("does not go on with what is archived"));
  EXPECT_EQ(job_.walvault_json({"info"})["clusters"][0]["backups"].size(), 1u);
  // The original is streamed from as before, whether it archives or not.
  EXPECT_EQ(job_.walvault({"backup", "--wal", "stream", "--pg", server().conninfo()}).exit_code, 0);
  EXPECT_EQ(newest_restored("copy"), "original");
}

// What the server itself left is its own: nobody is asked.
TEST_P(Placement, TheServersOwnWalIsRescuedUnasked) {
  (void)job_.backup();
  job_.archive_everything();
  server().stop();
  server().configure("archive_command = 'false'\n");
  ASSERT_TRUE(server().start()) << server().log();
  (void)server().sql("INSERT INTO t VALUES ('late')");
  (void)server().sql("SELECT pg_switch_wal()");
  (void)server().sql("INSERT INTO t VALUES ('later')");
  server().stop("immediate");
  const auto restored =
      job_.walvault({"restore", "--force", "--archiving", "off", "--pgdata", server().data()});
  EXPECT_EQ(restored.exit_code, 0) << restored.text();
  EXPECT_EQ(newest_restored("copy"), "late later original");
}

// A container with a copy has the names of its original, but not what was noted there.
TEST_P(Placement, WhatARestoredServerIsTheNotesOfItsPlaceTell) {
  (void)job_.backup();
  job_.archive_everything();
  server().stop();
  const auto role_of = [&](std::vector<std::string> more) {
    std::vector<std::string> command = {"restore", "--force", "--pgdata", server().data()};
    command.insert(command.end(), more.begin(), more.end());
    return job_.walvault_json(command)["role"];
  };
  EXPECT_EQ(role_of({}), "original");
  EXPECT_EQ(role_of({"--as", "copy"}), "copy");
  fs::rename(server().data() + ".walvault-archived", job_.directory().path("elsewhere"));
  EXPECT_EQ(role_of({}), "copy");
  EXPECT_EQ(role_of({"--as", "original"}), "original");
  EXPECT_EQ(
      job_.walvault({"restore", "--as", "copy", "--archiving", "keep", "--pgdata", "/x"}).exit_code,
      2);
}

// A copy that was promoted beside its original, and archives: which of both is meant is not
// guessed.
TEST_P(Placement, TwoTimelinesThatGrowBesideEachOtherAreAskedFor) {
  (void)job_.backup();
  job_.archive_everything();
  auto copy = job_.restore("copy", {"--archiving", "keep"});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  (void)copy->sql("INSERT INTO t VALUES ('copy')");
  (void)copy->sql("SELECT pg_switch_wal()");
  EXPECT_EQ(copy->sql("SELECT pg_sleep(1.5)"), "");
  (void)server().sql("INSERT INTO t VALUES ('original later')");
  job_.archive_everything();
  const auto check = job_.walvault({"check", "--pg", server().conninfo()});
  EXPECT_EQ(check.exit_code, 8) << check.text();
  EXPECT_THAT(check.out, HasSubstr("timeline 2 is archived, newer than this server's own, 1"));
  EXPECT_THAT(job_.walvault({"backup", "--pg", server().conninfo()}).err,
              HasSubstr("timeline 2 is archived"));
  const auto refused =
      job_.walvault({"restore", "--dry-run", "--pgdata", job_.directory().path("no")});
  EXPECT_EQ(refused.exit_code, 7) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("--timeline 1"));
  EXPECT_THAT(refused.err, HasSubstr("walvault timeline abandon 2"));
  EXPECT_THAT(refused.err, HasSubstr("Timeline 2 has about"));
  for (const auto* const timeline : {"1", "2"}) {
    EXPECT_EQ(job_.walvault({"restore", "--dry-run", "--timeline", timeline, "--pgdata",
                             job_.directory().path("no")})
                  .exit_code,
              0);
  }
  // The copy may go on archiving: nothing follows it, and its timeline's number stays its own.
  EXPECT_EQ(job_.walvault({"timeline", "abandon", "2", "--reason", "a copy"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"timeline", "abandon", "1"}).exit_code, 4);
  EXPECT_EQ(job_.walvault({"timeline", "abandon", "2", "--undo"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"timeline", "abandon", "2", "--reason", "a copy"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"timeline", "abandon", "3"}).exit_code, 3);
  EXPECT_EQ(job_.walvault({"check", "--pg", server().conninfo()}).exit_code, 0);
  const auto timelines = job_.walvault_json({"info"})["clusters"][0]["timelines"];
  ASSERT_EQ(timelines.size(), 2u) << timelines.dump();
  EXPECT_TRUE(timelines[0]["left"].is_null());
  EXPECT_EQ(timelines[1]["left"]["reason"], "a copy");
  auto newest = job_.restore("newest", {"--as", "original"});
  EXPECT_TRUE(newest->wait_until_promoted()) << newest->log();
  EXPECT_EQ(newest->sql("SELECT timeline_id FROM pg_control_checkpoint()"), "3");
  EXPECT_EQ(newest->sql("SELECT string_agg(DISTINCT who, ' ' ORDER BY who) FROM t"),
            "original original later");
}

// In place and further back the second time, as the original: what was left is on record, and
// nobody is asked.
TEST_P(Placement, WhatARestoreLeavesIsOnRecord) {
  (void)job_.backup();
  const auto time = [&] { return server().sql("SELECT clock_timestamp() FROM pg_sleep(0.1)"); };
  (void)server().sql("INSERT INTO t VALUES ('first')");
  const auto first = time();
  (void)server().sql("INSERT INTO t VALUES ('second')");
  const auto second = time();
  (void)server().sql("INSERT INTO t VALUES ('third')");
  job_.archive_everything();
  for (const auto& moment : {second, first}) {
    server().stop();
    const auto restored =
        job_.walvault({"restore", "--force", "--to", moment, "--pgdata", server().data()});
    ASSERT_EQ(restored.exit_code, 0) << restored.text();
    ASSERT_TRUE(server().start()) << server().log();
    ASSERT_TRUE(server().wait_until_promoted()) << server().log();
    (void)server().sql("INSERT INTO t VALUES ('again')");
    job_.archive_everything();
  }
  const auto timelines = job_.walvault_json({"info"})["clusters"][0]["timelines"];
  ASSERT_EQ(timelines.size(), 3u) << timelines.dump();
  EXPECT_FALSE(timelines[0]["left"].is_null());
  EXPECT_FALSE(timelines[1]["left"].is_null());
  EXPECT_TRUE(timelines[2]["left"].is_null());
  EXPECT_EQ(newest_restored("newest"), "again first original");
  EXPECT_EQ(job_.walvault({"check", "--pg", server().conninfo()}).exit_code, 0);
}

// A copy that takes over what it was copied of: what it commits is at risk until it archives.
TEST_P(Placement, WhoGoesOnWithTheHistoryIsToArchive) {
  (void)job_.backup();
  job_.archive_everything();
  server().stop();
  auto copy = job_.restore("copy", {});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  for (int i = 0; i < 2; ++i) {
    const auto backup = job_.walvault({"backup", "--pg", copy->conninfo()});
    EXPECT_EQ(backup.exit_code, 0) << backup.text();
    EXPECT_THAT(backup.err, HasSubstr("archives nothing"));
  }
  const auto check = job_.walvault({"check", "--pg", copy->conninfo()});
  EXPECT_EQ(check.exit_code, 8) << check.text();
  EXPECT_THAT(check.out, HasSubstr("walvault archiving keep"));
  copy->stop();
  ASSERT_EQ(job_.walvault({"archiving", "keep", "--pgdata", copy->data()}).exit_code, 0);
  ASSERT_TRUE(copy->start()) << copy->log();
  EXPECT_EQ(job_.walvault({"check", "--pg", copy->conninfo()}).exit_code, 0);
  EXPECT_THAT(job_.walvault({"backup", "--pg", copy->conninfo()}).err,
              Not(HasSubstr("archives nothing")));
}

// The same server in another place, or another one: that is said, and nothing is refused.
TEST_P(Placement, AnotherArchiverOnATimelineIsSaid) {
  (void)job_.backup();
  job_.archive_everything();
  server().stop();
  const auto elsewhere = job_.directory().path("elsewhere");
  ASSERT_EQ(run({"cp", "-a", server().data(), elsewhere}, {}, job_.directory().path()).exit_code,
            0);
  auto moved = job_.server_in("elsewhere");
  ASSERT_TRUE(moved->start()) << moved->log();
  (void)moved->sql("INSERT INTO t VALUES ('moved')");
  const auto check = job_.walvault({"check", "--pg", moved->conninfo()});
  EXPECT_EQ(check.exit_code, 0) << check.text();
  EXPECT_THAT(check.out, HasSubstr("on another data directory archived"));
  const auto info = job_.walvault_json({"info"})["clusters"][0];
  EXPECT_EQ(info["archiver_changes"].size(), 1u) << info.dump();
  EXPECT_THAT(job_.walvault({"restore", "--dry-run", "--pgdata", "/x"}).err,
              HasSubstr("on another data directory archived"));
  EXPECT_THAT(job_.walvault({"backup", "--pg", moved->conninfo()}).err,
              Not(HasSubstr("another data directory")));
  EXPECT_THAT(job_.walvault({"check", "--pg", moved->conninfo()}).out,
              Not(HasSubstr("another data directory")));
}

}  // namespace
}  // namespace walvault
