// Backups and WAL in another repository, where the first one is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "repository/object_table.h"
#include "storage/posix_storage.h"
#include "support/main_job.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

class CopyOfAServer : public ::testing::TestWithParam<int> {
 protected:
  CopyOfAServer() { other_ = job_.directory().path("other"); }
  void make_table() {
    (void)server_.sql(
        "CREATE TABLE t AS SELECT g AS id, repeat(md5(g::text), 10) AS filler"
        " FROM generate_series(1, 30000) g");
  }
  [[nodiscard]] std::string sum() {
    return server_.sql("SELECT count(*), sum(hashtext(filler)) FROM t");
  }
  [[nodiscard]] nlohmann::json copy(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {"copy", "--to", other_});
    return job_.walvault_json(std::move(arguments))["copies"][0];
  }
  // Everything that the table of objects calls copied is in the other one, and nothing else.
  void expect_what_the_table_says() {
    PosixStorage here(job_.repository(), RandomId{});
    PosixStorage there(other_, RandomId{});
    std::size_t copied = 0;
    for (const auto& info : object_table()) {
      if (info.place == ObjectPlace::format) continue;  // each repository has its own
      there.list(info.prefix, [&](const ObjectInfo& object) {
        EXPECT_NE(info.copied, Copied::no) << object.key;
        if (info.copied != Copied::as_it_is) return;
        EXPECT_EQ(there.find(object.key, whole_object), here.find(object.key, whole_object))
            << object.key;
      });
      const bool is_here = !here.list_names(info.prefix).empty();
      const bool is_there = !there.list_names(info.prefix).empty();
      if (info.copied != Copied::no) {
        EXPECT_EQ(is_there, is_here) << info.prefix;
      }
      copied += is_there ? 1 : 0;
    }
    EXPECT_GE(copied, 6u) << "this test should see more";
  }
  // Its own repository is gone from here on.
  void lose_the_first() {
    std::filesystem::rename(job_.repository(), job_.repository() + ".lost");
    std::filesystem::rename(other_, job_.repository());
    EXPECT_EQ(job_.walvault({"check", "--accept-repository"}).exit_code, 0);
  }

  MainJob job_{GetParam()};
  PostgresServer& server_ = job_.server();
  std::string other_;
};
INSTANTIATE_TEST_SUITE_P(Majors, CopyOfAServer, ::testing::Values(13, 18), name_of_major);

TEST_P(CopyOfAServer, IsAWholeRepository) {
  make_table();
  ASSERT_EQ(job_.walvault({"init", "--repo", other_}).exit_code, 0);
  (void)job_.backup();
  job_.archive_everything();
  const auto first = copy();
  EXPECT_EQ(first["clusters"][0]["backups"][0]["state"], "copied");

  (void)server_.sql("UPDATE t SET filler = filler || 'x' WHERE id % 1000 = 0");
  const auto id = job_.backup()["id"].get<std::string>();
  EXPECT_EQ(job_.walvault({"backups", "keep", id, "--for", "30d"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"verify"}).exit_code, 0);
  (void)server_.sql("INSERT INTO t VALUES (0, 'the last one')");
  const auto rows = sum();
  job_.archive_everything();
  const auto second = copy();
  const auto& backups = second["clusters"][0]["backups"];
  EXPECT_EQ(backups[0]["state"], "there");
  EXPECT_EQ(backups[1]["state"], "copied");
  EXPECT_GT(backups[1]["packs_there"], 0);
  EXPECT_LT(backups[1]["pack_bytes"], first["clusters"][0]["backups"][0]["pack_bytes"]);
  const auto third = copy();
  EXPECT_EQ(third["clusters"][0]["wal_files"], 0);
  expect_what_the_table_says();

  const auto info = job_.walvault_json({"info"});
  lose_the_first();
  const auto there = job_.walvault_json({"info"});
  EXPECT_EQ(there["clusters"][0]["backups"], info["clusters"][0]["backups"]);
  EXPECT_EQ(there["clusters"][0]["windows"], info["clusters"][0]["windows"]);
  const auto verified = job_.walvault({"verify", "--deep"});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  const auto restored = job_.restore("restored", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*), sum(hashtext(filler)) FROM t"), rows);
  // And the server goes on with it.
  (void)server_.sql("INSERT INTO t VALUES (-1, 'and on')");
  job_.archive_everything();
  (void)job_.backup();
  EXPECT_EQ(job_.walvault({"gc", "--grace", "0s"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"verify"}).exit_code, 0);
}

TEST_P(CopyOfAServer, GoesOnAfterAKill) {
  make_table();
  ASSERT_EQ(job_.walvault({"init", "--repo", other_}).exit_code, 0);
  (void)job_.backup();
  job_.archive_everything();
  const auto killed = job_.start_walvault({"copy", "--to", other_, "--max-rate", "2MB"});
  const auto packs = other_ + "/packs";
  while (killed->is_running() && !std::filesystem::exists(packs)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(killed->is_running()) << "it was too fast for this test";
  killed->send(SIGKILL);
  (void)killed->wait();
  EXPECT_TRUE(job_.walvault_json({"info", "--repo", other_})["clusters"][0]["backups"].empty());
  EXPECT_EQ(
      job_.walvault({"gc", "--repo", other_, "--grace", "0s", "--give-up-after", "0s"}).exit_code,
      0);
  const auto done = copy();
  EXPECT_EQ(done["clusters"][0]["backups"][0]["state"], "copied");
  EXPECT_EQ(job_.walvault({"verify", "--deep", "--repo", other_}).exit_code, 0);
}

TEST_P(CopyOfAServer, SaysWhatItWantsAndWhatIsWrong) {
  (void)job_.backup();
  const auto refused = [&](const std::vector<std::string>& arguments, int code,
                           const std::string& says) {
    const auto shown = job_.walvault(arguments);
    EXPECT_EQ(shown.exit_code, code) << shown.text();
    EXPECT_THAT(shown.err, HasSubstr(says));
  };
  refused({"copy"}, 2, "--to");
  refused({"copy", "--to", job_.repository() + "/"}, 2, "itself");
  refused({"copy", "--to", other_}, 6, "walvault init");
  refused({"copy", "--to", "2"}, 2, "[repository.2]");
  ASSERT_EQ(job_.walvault({"init", "--repo", other_}).exit_code, 0);
  refused({"copy", "--to", other_, "--backup", "x"}, 3, "there is no backup x");
  refused({"copy", "--to", other_, "--backup", "x", "--from", "y"}, 2, "exclude");
  const auto dry = copy({"--dry-run"});
  EXPECT_EQ(dry["clusters"][0]["backups"][0]["state"], "copied");
  EXPECT_FALSE(std::filesystem::exists(other_ + "/packs"));
}

}  // namespace
}  // namespace walvault
