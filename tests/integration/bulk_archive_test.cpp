// Segments that are archived before they are offered: by a server's archiver, and by one
// whose calls are killed at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// Segments of 1 MiB, so that many of them are made quickly.
constexpr int major = 15;

std::vector<std::string> waiting(PostgresServer& server) {
  std::vector<std::string> names;
  const auto status = server.data() + "/pg_wal/archive_status";
  for (const auto& entry : fs::directory_iterator(status)) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(".ready") && name.size() == 30) names.push_back(name.substr(0, 24));
  }
  std::ranges::sort(names);
  return names;
}

void pile_up(PostgresServer& server, std::size_t segments) {
  (void)server.sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)server.sql("SELECT pg_reload_conf()");
  while (waiting(server).size() < segments) {
    (void)server.sql("SELECT pg_create_restore_point('x'); SELECT pg_switch_wal()");
  }
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t times = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++times;
  return times;
}

TEST(BulkArchive, AnArchiverThatIsBehindFindsItsSegmentsDone) {
  MainJob job(major, "", {"--wal-segsize=1"});
  auto& server = job.server();
  (void)job.backup();
  pile_up(server, 40);
  const auto made = waiting(server).size();
  (void)server.sql("ALTER SYSTEM SET archive_command = '" + job.binary("walvault-archive") +
                   " --repo " + job.repository() + " --cluster main --log-level debug %p'");
  (void)server.sql("SELECT pg_reload_conf()");
  job.archive_everything();
  EXPECT_TRUE(waiting(server).empty());
  EXPECT_GT(count(server.log(), "(it was there already)"), made / 2) << server.log();
  // Of the notes those are left that every call needs: who archives, and what it did last.
  std::vector<std::string> notes;
  for (const auto& entry : fs::directory_iterator(server.data() + ".walvault-archived")) {
    notes.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(notes, ::testing::UnorderedElementsAre("archiver", "last"));
  const auto cluster = job.walvault_json({"info"})["clusters"][0];
  EXPECT_TRUE(cluster["gaps"].empty()) << cluster;
  auto restored = job.restore("new", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
}

// Exit 0 means that the segment is there, whatever became of the calls before.
TEST(BulkArchive, KilledAtAnyMomentItLosesNothingAndAcknowledgesNothingWrongly) {
  MainJob job(major, "", {"--wal-segsize=1"});
  auto& server = job.server();
  (void)job.backup();
  // So many that enough calls are killed on a fast machine, too.
  pile_up(server, 200);
  std::mt19937 random(7);
  std::uniform_int_distribution<int> microseconds(0, 25'000);
  int killed = 0;
  int tries = 0;
  for (auto names = waiting(server); !names.empty() && tries < 2000; ++tries) {
    const auto& name = names.front();
    // Where the archiver runs it.
    Child call({"/bin/sh", "-c",
                "cd " + server.data() + " && exec " + job.binary("walvault-archive") + " --repo " +
                    job.repository() + " --cluster main pg_wal/" + name},
               {}, job.directory().path());
    // Three of four, so that it gets on.
    if (tries % 4 != 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(microseconds(random)));
      call.send(SIGKILL);
    }
    const auto done = call.wait();
    if (done.signal == SIGKILL) {
      ++killed;
      continue;
    }
    ASSERT_EQ(done.exit_code, 0) << done.text();
    const auto stored = job.repository() + "/wal/main/1/00000001-0/00000000/" + name;
    EXPECT_TRUE(fs::exists(stored)) << stored;
    const auto status = server.data() + "/pg_wal/archive_status/" + name;
    fs::rename(status + ".ready", status + ".done");
    names.erase(names.begin());
  }
  EXPECT_TRUE(waiting(server).size() <= 1) << "made meanwhile";
  EXPECT_GT(killed, 10);
  const auto verified = job.walvault({"verify", "--deep"});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  const auto cluster = job.walvault_json({"info"})["clusters"][0];
  EXPECT_TRUE(cluster["gaps"].empty()) << cluster;
}

}  // namespace
}  // namespace walvault
