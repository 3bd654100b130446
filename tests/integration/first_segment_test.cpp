// A server that dies before the first segment of its timeline is full: what is left of that is a
// part of the segment, or nothing but its history file.
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

class FirstSegment : public ::testing::TestWithParam<int> {
 protected:
  FirstSegment() {
    (void)server().sql("CREATE TABLE t (n int)");
    (void)job_.backup();
    insert(1);
    job_.archive_everything();
    insert(2);
  }

  [[nodiscard]] PostgresServer& server() { return job_.server(); }
  void insert(int n) { (void)server().sql("INSERT INTO t VALUES (" + std::to_string(n) + ")"); }
  [[nodiscard]] static std::string rows(PostgresServer& server) {
    return server.sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t");
  }
  [[nodiscard]] std::string now() { return server().sql("SELECT clock_timestamp()"); }

  // In place, and started.
  void restore_in_place(std::vector<std::string> target = {}) {
    server().stop("immediate");
    std::vector<std::string> arguments{"restore", "--pgdata", server().data(),
                                       "--force", "--as",     "original"};
    arguments.insert(arguments.end(), target.begin(), target.end());
    const auto done = job_.walvault(arguments);
    ASSERT_EQ(done.exit_code, 0) << done.text();
    give_to_server_user(server().data());
    ASSERT_TRUE(server().start()) << server().log();
    ASSERT_TRUE(server().wait_until_promoted()) << server().log();
  }

  // What a copy of it has.
  [[nodiscard]] std::string restored(const std::vector<std::string>& arguments) {
    const auto copy = job_.restore("copy" + std::to_string(++copies_), arguments);
    EXPECT_TRUE(copy->wait_until_promoted()) << copy->log();
    auto found = rows(*copy);
    copy->stop();
    return found;
  }

  // As a server archives it whose other WAL never arrived.
  void archive_history(const std::string& left_at) {
    const auto path = job_.directory().path("00000002.history");
    write_text(path, "1\t" + left_at + "\tno recovery target specified\n");
    const auto outcome = job_.start({"walvault-archive", "--cluster", "main", path})->wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.text();
  }

  void wait_for_history() {
    const auto history = job_.repository() + "/wal/main/1/00000002-0/00000002.history";
    for (int i = 0; i < 100 && !fs::exists(history); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(fs::exists(history));
  }

  MainJob job_{GetParam()};
  int copies_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Majors, FirstSegment, ::testing::Values(13, 18), name_of_major);

TEST_P(FirstSegment, OfWhichAPartWasSavedIsReplayed) {
  restore_in_place();
  insert(3);
  restore_in_place();
  EXPECT_EQ(rows(server()), "1 2 3");
  EXPECT_EQ(restored({"--timeline", "2"}), "1 2 3");
  EXPECT_EQ(restored({"--timeline", "1"}), "1 2");
}

TEST_P(FirstSegment, OfWhichNothingIsArchivedBeginsWhereAllThatIsEnds) {
  restore_in_place();
  wait_for_history();
  insert(3);  // is lost with its disk
  server().stop("immediate");
  const auto plan =
      job_.walvault({"restore", "--dry-run", "--pgdata", job_.directory().path("none")});
  EXPECT_THAT(plan.err, HasSubstr("of timeline 2 itself nothing is archived"));
  EXPECT_EQ(restored({}), "1 2");
}

// The segment before it was archived long ago, and is not on the server any more.
TEST_P(FirstSegment, IsTheServersOwnWhoseHistoryFileItFollows) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto early = now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const auto n : {3, 4, 5}) {
    insert(n);
    job_.archive_everything();
  }
  restore_in_place({"--to", early});
  wait_for_history();
  insert(6);
  restore_in_place();
  EXPECT_EQ(rows(server()), "1 2 6");
}

// All that it archived before it died.
TEST_P(FirstSegment, IsTheNewPrimarysOwnThatArchivedItsHistoryFile) {
  const auto place = job_.directory().path("standby");
  const auto made =
      job_.walvault({"restore", "--standby", "--pg", server().conninfo(), "--pgdata", place});
  ASSERT_EQ(made.exit_code, 0) << made.text();
  auto standby = job_.server_in("standby");
  ASSERT_TRUE(standby->start()) << standby->log();
  job_.archive_everything();
  insert(3);
  for (int i = 0; i < 100 && rows(*standby) != "1 2 3"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  server().stop("immediate");
  (void)standby->sql("SELECT pg_promote()");
  ASSERT_TRUE(standby->wait_until_promoted()) << standby->log();
  (void)standby->sql("INSERT INTO t VALUES (4)");
  wait_for_history();
  standby->stop("immediate");
  const auto done = job_.walvault({"restore", "--delta", "--as", "original", "--pgdata", place});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  ASSERT_TRUE(standby->start()) << standby->log();
  ASSERT_TRUE(standby->wait_until_promoted()) << standby->log();
  EXPECT_EQ(rows(*standby), "1 2 3 4");
}

// Of a copy that was promoted while it did not archive.
TEST_P(FirstSegment, BringsTheHistoryFileThatWasNeverOffered) {
  job_.archive_everything();
  const auto copy = job_.restore("copy", {});
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  server().stop("immediate");
  ASSERT_EQ(job_.walvault({"archiving", "keep", "--pgdata", copy->data()}).exit_code, 0);
  copy->stop();
  ASSERT_TRUE(copy->start()) << copy->log();
  (void)copy->sql("INSERT INTO t VALUES (3)");
  (void)copy->sql("SELECT pg_switch_wal()");
  wait_for_history();
}

TEST_P(FirstSegment, OfWhichEvenThatBeforeItIsMissingHidesNothing) {
  job_.archive_everything();
  archive_history("0/7000000");
  const auto plan =
      job_.walvault({"restore", "--dry-run", "--pgdata", job_.directory().path("none")});
  EXPECT_THAT(plan.err, HasSubstr("timeline 1 went on to 0/7000000"));
  server().stop();
  EXPECT_EQ(restored({}), "1 2");
  EXPECT_EQ(restored({"--timeline", "1"}), "1 2");
  EXPECT_EQ(restored({"--to-immediate"}), "");
}

// What the old primary wrote alone is not its standby's.
TEST_P(FirstSegment, OfTheNewPrimaryMayBeMissingForItsStandby) {
  const auto at = server().sql("SELECT pg_current_wal_lsn()");
  const auto segment = server().sql("SELECT pg_walfile_name('" + at + "')");
  insert(3);
  job_.archive_everything();
  archive_history(at);
  const auto fetched = [&](const std::vector<std::string>& options) {
    const auto path = job_.directory().path("fetched");
    std::vector<std::string> command{"walvault-fetch", "--cluster", "main", segment, path};
    command.insert(command.end(), options.begin(), options.end());
    EXPECT_EQ(job_.start(command)->wait().exit_code, 0);
    return read_text(path);
  };
  const auto whole = fetched({});
  const auto before = fetched({"--standby"});
  EXPECT_EQ(before.size(), whole.size());
  EXPECT_LT(before.find_last_not_of('\0'), whole.find_last_not_of('\0'));
  // Where both go on, nobody knows whose standby it is.
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  insert(4);
  job_.archive_everything();
  EXPECT_TRUE(fetched({"--standby"}) == whole);
}

// A server of another cluster leaves nothing when its segment is refused.
TEST_P(FirstSegment, OfAnotherClusterBringsNoHistoryFile) {
  const auto segment = server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  auto content = read_text(server().data() + "/pg_wal/" + segment);
  content[24] = static_cast<char>(content[24] ^ 1);  // of its system identifier
  const auto name = "00000002" + segment.substr(8);
  write_text(job_.directory().path(name), content);
  write_text(job_.directory().path("00000002.history"), "1\t0/2000000\tno recovery target\n");
  const auto refused =
      job_.start({"walvault-archive", "--cluster", "main", job_.directory().path(name)})->wait();
  EXPECT_EQ(refused.exit_code, 4) << refused.text();
  EXPECT_FALSE(fs::exists(job_.repository() + "/wal/main/1/00000002-0"));
}

// A copy's history file arrived, and production goes on.
TEST_P(FirstSegment, OfACopyDoesNotEndTheOriginalsHistory) {
  const auto at = server().sql("SELECT pg_current_wal_lsn()");
  archive_history(at);
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  insert(3);
  job_.archive_everything();
  const auto into = job_.directory().path("none");
  const auto refused = job_.walvault({"restore", "--dry-run", "--pgdata", into});
  EXPECT_EQ(refused.exit_code, 7) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("--timeline 1"));
  const auto standby =
      job_.walvault({"restore", "--standby", "--pg", server().conninfo(), "--pgdata", into});
  EXPECT_EQ(standby.exit_code, 7) << standby.text();
  EXPECT_THAT(standby.err, HasSubstr("A standby follows the newest"));
  EXPECT_THAT(job_.walvault({"info"}).out, HasSubstr("A RESTORE WITHOUT A TARGET IS REFUSED"));
  EXPECT_EQ(job_.walvault({"check", "--pg", server().conninfo()}).exit_code, 8);
  ASSERT_EQ(job_.walvault({"timeline", "abandon", "2"}).exit_code, 0);
  EXPECT_EQ(restored({}), "1 2 3");
}

// A first restore went back too far.
TEST_P(FirstSegment, DoesNotHideWhatWasThereBeforeItBegan) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto too_early = now();
  insert(3);
  const auto wanted = now();
  insert(4);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  restore_in_place({"--to", too_early});
  EXPECT_EQ(rows(server()), "1 2");
  insert(5);
  job_.archive_everything();
  const auto plan = job_.walvault(
      {"restore", "--dry-run", "--to", wanted, "--pgdata", job_.directory().path("none")});
  EXPECT_THAT(plan.err, HasSubstr("To get that moment as it was: --timeline 1"));
  restore_in_place({"--to", wanted, "--timeline", "1"});
  EXPECT_EQ(rows(server()), "1 2 3");
}

}  // namespace
}  // namespace walvault
