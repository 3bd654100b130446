// Archiving to two repositories at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class TwoRepositories : public ::testing::Test {
 protected:
  void set_up(bool required) {
    write_text(config_, "[repository]\nurl = \"" + job_.repository() +
                            "\"\n[repository.2]\nurl = \"" + other_ +
                            "\"\nrequired = " + (required ? "true" : "false") +
                            "\n[cache]\npath = \"" + job_.directory().path("cache") + "\"\n");
    give_to_server_user(config_);
    run({"init", "--repo", "2"});
    run({"cluster", "add", "main", "--pg", server_.conninfo()});
    (void)server_.sql("ALTER SYSTEM SET archive_command = '" + job_.binary("walvault-archive") +
                      " --config " + config_ + " --cluster main %p'");
    (void)server_.sql("SELECT pg_reload_conf()");
    // What the old command archived before is not there.
    (void)server_.sql("SELECT pg_switch_wal()");
    std::this_thread::sleep_for(500ms);
    run({"copy"});
  }
  [[nodiscard]] Outcome attempt(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--config", config_});
    return job_.walvault(arguments);
  }
  void run(std::vector<std::string> arguments) {
    const auto done = attempt(std::move(arguments));
    ASSERT_EQ(done.exit_code, 0) << done.text();
  }
  [[nodiscard]] Outcome run_archive(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), job_.binary("walvault-archive"));
    return walvault::run(arguments, {}, job_.directory().path());
  }
  // Of WAL, relative.
  [[nodiscard]] static std::set<std::string> wal_in(const std::string& repository) {
    std::set<std::string> files;
    if (!std::filesystem::exists(repository + "/wal")) return files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(repository + "/wal")) {
      if (entry.is_regular_file()) {
        files.insert(std::filesystem::relative(entry.path(), repository).string());
      }
    }
    return files;
  }
  void write_and_switch(int segments = 1) {
    for (int i = 0; i < segments; ++i) {
      (void)server_.sql("INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 1000) g");
      (void)server_.sql("SELECT pg_switch_wal()");
    }
  }
  void lose(const std::string& repository) {
    std::filesystem::rename(repository, repository + ".away");
  }
  void find_again(const std::string& repository) {
    std::filesystem::rename(repository + ".away", repository);
  }
  [[nodiscard]] std::string verdict() {
    const auto shown = attempt({"check", "--pg", server_.conninfo(), "--json"});
    const auto document = nlohmann::json::parse(shown.out);
    for (const auto& finding : document["check"]["findings"]) {
      if (finding["name"] == "repository 2") {
        return finding["verdict"].get<std::string>() + ": " + finding["text"].get<std::string>();
      }
    }
    return shown.text();
  }

  MainJob job_{15, "log_min_messages = warning\n"};
  PostgresServer& server_ = job_.server();
  const std::string other_ = job_.directory().path("other");
  const std::string config_ = job_.directory().path("two.toml");
};

TEST_F(TwoRepositories, ASegmentIsArchivedWhenBothHaveIt) {
  (void)server_.sql("CREATE TABLE t (id int, filler text)");
  set_up(true);
  write_and_switch(6);
  job_.archive_everything();
  EXPECT_EQ(wal_in(other_), wal_in(job_.repository()));
  EXPECT_THAT(verdict(), HasSubstr("ok: has what the first one has"));

  lose(other_);
  const auto before = server_.sql("SELECT archived_count FROM pg_stat_archiver");
  write_and_switch(3);
  for (int i = 0; i < 100 && server_.sql("SELECT failed_count > 1 FROM pg_stat_archiver") != "t";
       ++i) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_EQ(server_.sql("SELECT archived_count FROM pg_stat_archiver"), before);
  EXPECT_THAT(server_.log(), HasSubstr("in repository 2, " + other_));
  EXPECT_THAT(server_.log(), HasSubstr("required = false"));
  find_again(other_);
  job_.archive_everything();
  EXPECT_EQ(wal_in(other_), wal_in(job_.repository()));
}

TEST_F(TwoRepositories, OneThatNeedNotBeThereHoldsNothingUp) {
  (void)server_.sql("CREATE TABLE t (id int, filler text)");
  set_up(false);
  ASSERT_EQ(attempt({"backup", "--pg", server_.conninfo()}).exit_code, 0);
  EXPECT_THAT(verdict(), HasSubstr("1 backups of the first one"));
  lose(other_);
  write_and_switch(5);
  job_.archive_everything();
  EXPECT_THAT(server_.log(), HasSubstr("repository 2, " + other_ + ", is without"));
  EXPECT_THAT(verdict(), HasSubstr("warning: the repository directory"));

  find_again(other_);
  EXPECT_NE(wal_in(other_), wal_in(job_.repository()));
  EXPECT_THAT(verdict(), HasSubstr("WAL files"));
  run({"copy"});
  EXPECT_THAT(verdict(), HasSubstr("ok: "));
  const auto rows = server_.sql("SELECT count(*), sum(hashtext(filler)) FROM t");
  const auto restored = attempt({"restore", "--repo", "2", "--pgdata", job_.directory().path("r")});
  ASSERT_EQ(restored.exit_code, 0) << restored.text();
  lose(job_.repository());
  const auto server = job_.server_in("r");
  ASSERT_TRUE(server->start()) << server->log();
  ASSERT_TRUE(server->wait_until_promoted()) << server->log();
  EXPECT_EQ(server->sql("SELECT count(*), sum(hashtext(filler)) FROM t"), rows);
}

TEST_F(TwoRepositories, OtherContentInTheSecondIsAConflict) {
  (void)server_.sql("CREATE TABLE t (id int, filler text)");
  set_up(true);
  write_and_switch();
  job_.archive_everything();
  // Of the next one something else is there.
  (void)server_.sql("INSERT INTO t VALUES (0, 'in the next one')");
  const auto next = server_.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  const auto early = job_.directory().path(next);
  std::filesystem::copy_file(server_.data() + "/pg_wal/" + next, early);
  {
    std::fstream file(early, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(60);
    file.write("else", 4);
  }
  give_to_server_user(early);
  const auto put = run_archive({"--repo", other_, "--cluster", "main", early});
  ASSERT_EQ(put.exit_code, 0) << put.text();
  write_and_switch();
  for (int i = 0; i < 100 && server_.sql("SELECT failed_count > 0 FROM pg_stat_archiver") != "t";
       ++i) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_THAT(server_.log(), HasSubstr("in repository 2"));
  EXPECT_THAT(server_.log(), HasSubstr("already archived with different content"));
  EXPECT_LT(server_.sql("SELECT last_archived_wal FROM pg_stat_archiver"), next);
}

// However the command line spells the first one.
TEST_F(TwoRepositories, AnotherSpellingIsTheSameRepository) {
  (void)server_.sql("CREATE TABLE t (id int, filler text)");
  set_up(true);
  (void)server_.sql("ALTER SYSTEM SET archive_command = '" + job_.binary("walvault-archive") +
                    " --config " + config_ + " --repo file://" + job_.repository() +
                    "/ --cluster main %p'");
  (void)server_.sql("SELECT pg_reload_conf()");
  write_and_switch(3);
  job_.archive_everything();
  EXPECT_EQ(wal_in(other_), wal_in(job_.repository()));
}

TEST_F(TwoRepositories, WhatIsSetAsideIsSetAsideInBoth) {
  (void)server_.sql("CREATE TABLE t (id int, filler text)");
  set_up(true);
  write_and_switch(2);
  job_.archive_everything();
  run({"timeline", "set-aside", "1", "--yes"});
  write_and_switch(2);
  job_.archive_everything();
  EXPECT_EQ(wal_in(other_), wal_in(job_.repository()));
  EXPECT_TRUE(std::filesystem::exists(other_ + "/branches/main/1/00000001/1"));
}

}  // namespace
}  // namespace walvault
