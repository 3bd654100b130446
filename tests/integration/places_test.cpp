// Directories that are not what they seem: a repository within the data directory, links
// that lead elsewhere, two restores at once, a postmaster.pid of nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <set>
#include <thread>

#include "support/main_job.h"
#include "support/process_in.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;

class PlacesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    job_ = new MainJob(usual_major);
    (void)job_->server().sql("CREATE TABLE t AS SELECT 1 AS n");
    (void)job_->backup();
  }
  static void TearDownTestSuite() {
    delete job_;
    job_ = nullptr;
  }
  static MainJob& job() { return *job_; }
  [[nodiscard]] static std::string path(const std::string& name) {
    return job().directory().path(name);
  }

  // The command refuses (4), and every file below the directory stays as it is.
  static void expect_refused(const std::vector<std::string>& arguments, const std::string& watched,
                             const std::string& words) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const auto before = files_below(watched);
    const auto done = job().walvault(arguments);
    EXPECT_EQ(done.exit_code, 4) << done.text();
    EXPECT_THAT(done.err, HasSubstr(words));
    EXPECT_EQ(files_below(watched), before);
  }
  [[nodiscard]] static std::vector<std::string> files_below(const std::string& directory) {
    std::vector<std::string> files;
    if (!fs::exists(directory)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (fs::is_regular_file(fs::symlink_status(entry))) files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  [[nodiscard]] static std::set<std::string> names_in(const std::string& directory) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  static void link(const std::string& target, const std::string& name) {
    fs::create_directory_symlink(target, path(name));
  }

 private:
  static MainJob* job_;
};
MainJob* PlacesTest::job_ = nullptr;

TEST_F(PlacesTest, ARestoreNeverGoesIntoARepository) {
  const auto& repository = job().repository();
  link(repository, "link_to_repository");
  for (const auto& place : {repository, repository + "/new", path(""), path("link_to_repository"),
                            path("link_to_repository/wal")}) {
    for (const std::string how : {"--force", "--delta"}) {
      std::vector<std::string> arguments{"restore", "--pgdata", place, how, "--discard-wal"};
      if (how == "--force") arguments.push_back("--yes");
      expect_refused(arguments, repository, "the repository");
    }
  }
  EXPECT_EQ(job().walvault({"verify", "--present"}).exit_code, 0);
}

// Not even by way of what the directory that is replaced links to.
TEST_F(PlacesTest, NorThroughALinkOfTheDirectoryThatIsReplaced) {
  const auto& repository = job().repository();
  const auto data = path("linked");
  fs::create_directories(data + "/pg_tblspc");
  fs::create_directories(data + "/global");
  fs::create_directory_symlink(repository, data + "/pg_wal");
  give_to_server_user(data);
  expect_refused({"restore", "--pgdata", data, "--force", "--yes", "--discard-wal"}, repository,
                 "pg_wal");
  fs::remove(data + "/pg_wal");
  fs::create_directory_symlink(repository + "/packs", data + "/pg_tblspc/16999");
  expect_refused({"restore", "--pgdata", data, "--force", "--yes", "--discard-wal"}, repository,
                 "tablespace");
  expect_refused({"restore", "--pgdata", path("mapped"), "--tablespace",
                  "/anywhere=" + repository + "/tablespace"},
                 repository, "tablespace");
}

TEST_F(PlacesTest, ARepositoryNeverLiesWithAServersFiles) {
  const auto& data = job().server().data();
  link(data, "link_to_data");
  const auto names = names_in(data);
  for (const auto& place :
       {data + "/backup", data, path("link_to_data/backup"), data + "/base/backup"}) {
    // Below the directory itself its server makes and removes files all the time.
    const auto watched = place == data ? data + "/packs" : place;
    expect_refused({"init", "--repo", place}, watched, "PostgreSQL directory");
  }
  EXPECT_EQ(names_in(data), names);
  // It holds the data directory, and much else.
  expect_refused({"init", "--repo", path("")}, job().repository(), "not empty");
  // One that was made before the server was.
  const auto old = path("old");
  EXPECT_EQ(job().walvault({"init", "--repo", old}).exit_code, 0);
  fs::rename(old, data + "/old");
  for (const std::string command : {"check", "backup"}) {
    expect_refused({command, "--repo", data + "/old", "--pg", job().server().conninfo()},
                   data + "/old", "PostgreSQL directory");
  }
  expect_refused(
      {"cluster", "add", "main", "--repo", data + "/old", "--pg", job().server().conninfo()},
      data + "/old", "PostgreSQL directory");
  fs::remove_all(data + "/old");
}

TEST_F(PlacesTest, EveryRepositoryOfTheFileIsCompared) {
  const auto config = path("walvault.toml");
  const auto& data = job().server().data();
  const auto with = [&](const std::string& second) {
    write_text(config, "[repository]\nurl = \"" + job().repository() +
                           "\"\n[repository.2]\nurl = \"" + second + "\"\n");
    give_to_server_user(config);
  };
  with(path("second"));
  EXPECT_EQ(job().walvault({"init", "--config", config, "--repo", "2"}).exit_code, 0);
  expect_refused({"restore", "--config", config, "--pgdata", path("second"), "--force", "--yes"},
                 path("second"), "[repository.2]");
  with(job().repository() + "/second");
  expect_refused({"backup", "--config", config, "--pg", job().server().conninfo()},
                 job().repository() + "/packs", "[repository.2]");
  with(data + "/second");
  expect_refused({"check", "--config", config, "--pg", job().server().conninfo()},
                 job().repository(), "[repository.2]");
}

// Of what it does not touch, a restore asks nothing: a repository that lies wrong, links of the
// directory that is replaced that lead nowhere.
TEST_F(PlacesTest, ARestoreIsRefusedForNothingElse) {
  const auto& data = job().server().data();
  const auto config = path("three.toml");
  write_text(config, "[repository]\nurl = \"" + job().repository() +
                         "\"\n[repository.2]\nurl = \"" + data + "/backup\"\n");
  give_to_server_user(config);
  const auto elsewhere = path("elsewhere");
  const auto done = job().walvault({"restore", "--config", config, "--pgdata", elsewhere});
  EXPECT_EQ(done.exit_code, 0) << done.text();
  for (const auto& target : {std::string("/root/some/tablespace"), elsewhere + "/pg_tblspc/999"}) {
    fs::create_directory_symlink(target, elsewhere + "/pg_tblspc/999");
    const auto again =
        job().walvault({"restore", "--pgdata", elsewhere, "--force", "--discard-wal"});
    EXPECT_EQ(again.exit_code, 0) << target << again.text();
  }
}

// Somebody of a group that may write there made them.
TEST_F(PlacesTest, NothingIsDeletedThroughALinkInARepository) {
  const auto precious = path("precious");
  fs::create_directories(precious + "/base/1");
  for (const auto* const name : {"PG_VERSION", "base/1/1259"}) {
    write_text(precious + "/" + name, "15\n");
    fs::last_write_time(precious + "/" + name, 1'000'000'000);
  }
  give_to_server_user(precious);
  const auto before = files_below(precious);
  const auto& repository = job().repository();
  for (const std::string where :
       {"/unfinished/x", "/tmp/00000000000000000000000000000009", "/plans/x", "/damaged/x"}) {
    SCOPED_TRACE(where);
    const bool is_new = fs::create_directories(fs::path(repository + where).parent_path());
    fs::create_directory_symlink(precious, repository + where);
    for (const auto& arguments :
         std::vector<std::vector<std::string>>{{"gc"}, {"gc", "--exclusive"}, {"verify"}}) {
      (void)job().walvault(arguments);
      EXPECT_EQ(files_below(precious), before) << arguments[0];
    }
    fs::remove(repository + where);
    if (is_new) fs::remove(fs::path(repository + where).parent_path());
  }
  EXPECT_EQ(job().walvault({"gc"}).exit_code, 0);
}

TEST_F(PlacesTest, OneRestoreAtATimeIntoADirectory) {
  (void)job().server().sql(
      "CREATE TABLE big AS SELECT g, repeat('x', 900) FROM generate_series(1, 100000) g");
  (void)job().backup();
  const auto data = path("twice");
  for (const auto& mode : std::vector<std::vector<std::string>>{{}, {"--delta"}, {"--force"}}) {
    std::vector<std::string> arguments{"restore", "--pgdata", data, "--jobs", "1"};
    arguments.insert(arguments.end(), mode.begin(), mode.end());
    auto first = job().start_walvault(arguments);
    auto second = job().start_walvault(arguments);
    const auto one = first->wait();
    const auto other = second->wait();
    // At most one may have waited for nothing: the other one had ended already.
    const bool one_was_refused = one.exit_code == 4 || other.exit_code == 4;
    if (mode.empty()) {
      EXPECT_TRUE(one_was_refused) << one.text() << other.text();
    }
    EXPECT_TRUE(one.exit_code == 0 || other.exit_code == 0) << one.text() << other.text();
    for (const auto& done : {one, other}) {
      EXPECT_TRUE(done.exit_code == 0 || done.exit_code == 4) << done.text();
    }
    const auto verified = job().server().tool({"pg_verifybackup", "-n", data});
    EXPECT_EQ(verified.exit_code, 0) << verified.text();
  }
}

// PostgreSQL itself would start there.
TEST_F(PlacesTest, APidOfNobodyIsNoServer) {
  const auto data = path("stale");
  ASSERT_EQ(job().walvault({"restore", "--pgdata", data}).exit_code, 0);
  const ProcessIn elsewhere(path(""), "postgres");
  for (const long pid : {1L, long{::getpid()}, long{elsewhere.pid()}, -long{elsewhere.pid()}}) {
    write_text(data + "/postmaster.pid", std::to_string(pid) + "\n" + data + "\n");
    give_to_server_user(data + "/postmaster.pid");
    const auto done = job().walvault({"restore", "--pgdata", data, "--force"});
    EXPECT_EQ(done.exit_code, 0) << done.text();
    EXPECT_FALSE(fs::exists(data + "/postmaster.pid"));
  }
  // And one that lost the file is one.
  auto server = job().server_in("stale");
  ASSERT_TRUE(server->start()) << server->log();
  ASSERT_TRUE(server->wait_until_promoted());
  const auto file = data + "/postmaster.pid";
  const auto content = read_text(file);
  fs::remove(file);
  const auto running = job().walvault({"restore", "--pgdata", data, "--force"});
  EXPECT_EQ(running.exit_code, 4) << running.text();
  EXPECT_THAT(running.err, HasSubstr("(postgres)"));
  write_text(file, content);
  give_to_server_user(file);
  server->stop("immediate");
}

}  // namespace
}  // namespace walvault
