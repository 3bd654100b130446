// Backups whose files are read beside the server: the same as the server itself would
// send, under a load, and unchanged files not read again.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <thread>

#include "support/directory_tree.h"
#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class FileBackupTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, FileBackupTest, ::testing::Values(13, 14, 15, 18), name_of_major);

void make_tables(PostgresServer& server, const std::string& space) {
  fs::create_directory(space);
  give_to_server_user(space);
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + space + "'");
  (void)server.sql("CREATE DATABASE other TABLESPACE space");
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 300000) AS n");
  (void)server.sql("CREATE TABLE s TABLESPACE space AS SELECT generate_series(1, 50000) AS n");
  (void)server.sql(
      "CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 50000) AS n;"
      "CREATE INDEX ON u (n); CREATE UNLOGGED TABLE v (n int) TABLESPACE space;"
      "INSERT INTO v SELECT generate_series(1, 1000)");
}

// What a backup must leave out, what it must not, and what is neither. `database`: its
// directory.
void make_odd_files(const std::string& data, const std::string& database) {
  const auto make = [&](const std::string& path, const std::string& content) {
    write_text(data + "/" + path, content);
    give_to_server_user(data + "/" + path);
  };
  make("base/pgsql_tmp_of_a_crash", "left out");
  make(database + "/pgsql_tmp1.2", "left out");
  make(database + "/pg_internal.init.77", "left out");
  make(database + "/t9_99999_fsm.1", "left out: of a temporary table");
  make(database + "/t9_99999x", "kept");
  make("backup_label.old", "kept");
  make("current_logfiles.tmp", "left out");
  make("pg_notify/0000", "left out");
  make("pg_wal/archive_status/000000010000000000000001.ready", "left out");
  make("with \xff in it \"\\", "kept");
  fs::create_directory(data + "/empty");
  give_to_server_user(data + "/empty");
  fs::create_symlink("/etc/hostname", data + "/a_link");
}

// Each of the backups behind the first one, as files.
std::vector<std::map<std::string, std::string>> trees_of_backups(MainJob& job,
                                                                 const std::string& space) {
  std::vector<std::map<std::string, std::string>> trees;
  const auto backups = job.walvault_json({"info"})["clusters"][0]["backups"];
  EXPECT_EQ(backups.size(), 5u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto name = "new" + std::to_string(i);
    const auto new_space = job.directory().path("space" + std::to_string(i));
    const auto done = job.walvault({"restore", "--pgdata", job.directory().path(name), "--backup",
                                    backups[i + 1]["id"], "--to-immediate", "--tablespace",
                                    space + "=" + new_space});
    EXPECT_EQ(done.exit_code, 0) << done.text();
    const auto verified = job.server().tool({"pg_verifybackup", "-n", job.directory().path(name)});
    EXPECT_EQ(verified.exit_code, 0) << verified.text();
    auto& tree = trees.emplace_back(tree_below(job.directory().path(name)));
    for (const auto& [path, text] : tree_below(new_space)) tree["space/" + path] = text;
    // They name the space that this one was restored to.
    tree.erase("tablespace_map");
    EXPECT_EQ(tree.erase("postgresql.auto.conf"), 1u);
  }
  return trees;
}

TEST_P(FileBackupTest, HoldsWhatTheServerWouldSend) {
  MainJob job(GetParam(), "autovacuum = off\n", {"--data-checksums"});
  auto& server = job.server();
  const auto space = job.directory().path("space");
  make_tables(server, space);
  // A temporary table for as long as the session lasts.
  auto session = server.start_tool(
      {"psql", "-X", "-c",
       "CREATE TEMP TABLE x AS SELECT generate_series(1, 10000) AS n; CREATE TABLE seen ();"
       "CHECKPOINT; SELECT pg_sleep(600)",
       "postgres"});
  const auto database =
      "base/" + server.sql("SELECT oid FROM pg_database WHERE datname = 'postgres'");
  make_odd_files(server.data(), database);
  for (int i = 0; i < 100 && server.sql("SELECT count(*) FROM pg_class WHERE relname = 'x'") != "1";
       ++i) {
    std::this_thread::sleep_for(50ms);
  }
  // Reading prunes pages: what the backups below read is read before.
  (void)server.sql("VACUUM");
  (void)job.backup();
  (void)server.sql("CHECKPOINT");

  (void)job.backup();
  std::this_thread::sleep_for(2100ms);
  const auto first = job.backup({"--via", "files"});
  const auto again =
      job.walvault({"backup", "--pg", server.conninfo(), "--via", "files", "--json"});
  ASSERT_EQ(again.exit_code, 0) << again.text();
  EXPECT_THAT(again.err, HasSubstr("were not written to since the backup before, and not read"));
  EXPECT_THAT(again.err, HasSubstr("a_link"));
  const auto second = nlohmann::json::parse(again.out).at("backup");
  EXPECT_EQ(second.at("size_bytes"), first.at("size_bytes"));
  EXPECT_LT(second.at("new_bytes"), 300'000);
  const auto all =
      job.walvault({"backup", "--pg", server.conninfo(), "--via", "files", "--checksum-all"});
  ASSERT_EQ(all.exit_code, 0) << all.text();
  EXPECT_THAT(all.err, Not(HasSubstr("not read")));
  job.archive_everything();

  const auto trees = trees_of_backups(job, space);
  ASSERT_EQ(trees.size(), 4u);
  EXPECT_FALSE(trees[0].contains("base/pgsql_tmp_of_a_crash"));
  EXPECT_TRUE(trees[0].contains(database + "/t9_99999x"));
  for (std::size_t i = 1; i < trees.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same_trees(trees[0], trees[i]);
  }
  PostgresServer restored(job.directory(), GetParam(), "new2", job.directory().path("new2"));
  ASSERT_TRUE(restored.start()) << restored.log();
  ASSERT_TRUE(restored.wait_until_promoted()) << restored.log();
  EXPECT_EQ(restored.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM s), "
                         "(SELECT count(*) FROM u)"),
            "300000|50000|0");
}

class LiveFilesTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, LiveFilesTest, ::testing::Values(15, 18), name_of_major);

// Files that grow, shrink, come and go, and pages that are written while they are read.
TEST_P(LiveFilesTest, UnderALoadGivesBackWhatWasCommitted) {
  MainJob job(GetParam(), "shared_buffers = 1MB\nbgwriter_delay = 10ms\ncheckpoint_timeout = 30s\n",
              {"--data-checksums"});
  auto& server = job.server();
  ASSERT_EQ(server.tool({"pgbench", "-i", "-q", "-s", "5", "postgres"}).exit_code, 0);
  write_text(job.directory().path("come_and_go.sql"),
             "CREATE TABLE g:client_id AS SELECT generate_series(1, 20000) AS n;\n"
             "TRUNCATE g:client_id;\nINSERT INTO g:client_id VALUES (1);\n"
             "DROP TABLE g:client_id;\n");
  auto load = server.start_tool({"pgbench", "-n", "-c", "3", "-T", "5", "postgres"});
  auto more = server.start_tool({"pgbench", "-n", "-f", job.directory().path("come_and_go.sql"),
                                 "-c", "2", "-T", "5", "postgres"});
  std::vector<nlohmann::json> backups;
  for (int i = 0; i < 2; ++i) {
    std::this_thread::sleep_for(500ms);
    backups.push_back(job.backup({"--via", "files"}));
    EXPECT_TRUE(backups.back().at("damaged_pages").empty()) << backups.back();
  }
  EXPECT_EQ(load->wait().exit_code, 0);
  const auto changes = more->wait();
  EXPECT_EQ(changes.exit_code, 0) << changes.text();
  job.archive_everything();
  const auto checksum =
      "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_history),"
      " (SELECT sum(hashtext(a::text)) FROM pgbench_accounts a)";
  const auto expected = server.sql(checksum);
  for (const auto& backup : backups) {
    const std::string id = backup.at("id");
    auto restored = job.restore(id, {"--backup", id});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql(checksum), expected);
    restored->stop();
    const auto checked = restored->tool({"pg_checksums", "--check", "-D", restored->data()});
    EXPECT_EQ(checked.exit_code, 0) << checked.text();
  }
}

TEST_P(LiveFilesTest, ReadsWhatWasWrittenToAndOnlyThat) {
  MainJob job(GetParam(), "autovacuum = off\n");
  auto& server = job.server();
  (void)server.sql(
      "CREATE TABLE quiet AS SELECT generate_series(1, 500000) AS n;"
      "CREATE TABLE busy AS SELECT generate_series(1, 100000) AS n");
  (void)server.sql("VACUUM FREEZE");
  (void)server.sql("CHECKPOINT");
  std::this_thread::sleep_for(2100ms);
  (void)job.backup({"--via", "files"});
  // Without a trace in its size.
  (void)server.sql("UPDATE busy SET n = -n WHERE n = 7");
  (void)server.sql("UPDATE quiet SET n = -n WHERE n = 400000");
  const auto second = job.backup({"--via", "files"});
  EXPECT_LT(second.at("new_bytes"), 10'000'000);
  // The parent's: its files were not read at all, the third has to have them.
  const auto third = job.backup({"--via", "files"});
  job.archive_everything();
  for (const auto& backup : {second, third}) {
    const std::string id = backup.at("id");
    auto restored = job.restore(id, {"--backup", id});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql("SELECT (SELECT sum(n) FROM quiet), (SELECT sum(n) FROM busy)"),
              server.sql("SELECT (SELECT sum(n) FROM quiet), (SELECT sum(n) FROM busy)"));
    restored->stop();
  }

  // Behind a file from the future no times are relied upon.
  const auto odd = server.data() + "/odd";
  write_text(odd, "x");
  give_to_server_user(odd);
  const struct timespec future[2] = {{.tv_sec = 4'000'000'000, .tv_nsec = 0},
                                     {.tv_sec = 4'000'000'000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, odd.c_str(), future, 0), 0);
  const auto fourth = job.walvault({"backup", "--pg", server.conninfo(), "--via", "files"});
  ASSERT_EQ(fourth.exit_code, 0) << fourth.text();
  EXPECT_THAT(fourth.err, HasSubstr("every file is read: a file was written to in the future"));
  EXPECT_THAT(fourth.err, Not(HasSubstr("not read")));
}

TEST(FileBackup, OfAStandbyIsRestorable) {
  MainJob job(15);
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS n");
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby"});
  server.stop();
  ASSERT_TRUE(server.start()) << server.log();
  (void)server.sql("INSERT INTO t SELECT generate_series(1, 100000)");
  job.archive_everything();
  for (int i = 0; i < 200 && standby->sql("SELECT count(*) FROM t") != "200000"; ++i) {
    std::this_thread::sleep_for(100ms);
  }
  auto running =
      job.start_walvault({"backup", "--pg", standby->conninfo(), "--via", "files", "--json"});
  // A standby ends no segment: its backup waits for what comes from the primary.
  for (int i = 0; i < 100 && running->is_running(); ++i) {
    (void)server.sql("SELECT pg_create_restore_point('x'); SELECT pg_switch_wal()");
    std::this_thread::sleep_for(200ms);
  }
  const auto done = running->wait();
  ASSERT_EQ(done.exit_code, 0) << done.text() << standby->log();
  const std::string id = nlohmann::json::parse(done.out).at("backup").at("id");
  job.archive_everything();
  auto restored = job.restore("new", {"--backup", id});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "200000");
}

TEST(FileBackup, SaysWhyItCanNotBeTaken) {
  MainJob job(15);
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"backup", "--pg", job.server().conninfo()});
    return job.walvault(arguments);
  };
  EXPECT_EQ(run({"--via", "tape"}).exit_code, 2);
  (void)job.server().sql("CREATE ROLE backup LOGIN REPLICATION");
  auto conninfo = job.server().conninfo();
  conninfo.replace(conninfo.find("user=postgres"), 13, "user=backup");
  const auto weak = job.walvault({"backup", "--pg", conninfo, "--via", "files"});
  EXPECT_EQ(weak.exit_code, 2) << weak.text();
  EXPECT_THAT(weak.err, HasSubstr("pg_read_all_settings"));
  (void)job.server().sql("GRANT pg_read_all_settings TO backup");
  const auto weaker = job.walvault({"backup", "--pg", conninfo, "--via", "files"});
  EXPECT_EQ(weaker.exit_code, 2) << weaker.text();
  EXPECT_THAT(weaker.err, HasSubstr("GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean)"));
  (void)job.server().sql(
      "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO "
      "backup");
  const auto granted = job.walvault({"backup", "--pg", conninfo, "--via", "files"});
  EXPECT_EQ(granted.exit_code, 0) << granted.text();
}

}  // namespace
}  // namespace walvault
