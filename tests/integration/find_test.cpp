// The search for a mistake: which transaction it was, and the moment before it.
#include <gmock/gmock.h>

#include <boost/filesystem.hpp>
#include <sstream>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

class FindTest : public ::testing::TestWithParam<int> {
 protected:
  // The changes that a search gives, by transaction.
  static std::map<std::string, json> find(MainJob& job, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "find");
    std::map<std::string, json> changes;
    const auto found = job.walvault_json(arguments);
    for (const auto& change : found.at("find").at("changes")) {
      changes[std::to_string(change.at("xid").get<std::uint64_t>())] = change;
    }
    return changes;
  }

  static std::string in_transaction(PostgresServer& server, const std::string& statements,
                                    const std::string& end) {
    const auto done =
        server.tool({"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", "BEGIN", "-c",
                     "SELECT txid_current()", "-c", statements, "-c", end, "postgres"});
    EXPECT_EQ(done.exit_code, 0) << done.text();
    return done.out.substr(0, done.out.find('\n'));
  }

  // Runs statements in one transaction; returns its id.
  static std::string transaction(PostgresServer& server, const std::string& statements) {
    return in_transaction(server, statements, "COMMIT");
  }

  // What nothing came of is no mistake, but can be asked for.
  static void expect_found_by_id_only(MainJob& job, const std::vector<std::string>& xids) {
    for (const auto& xid : xids) {
      const auto one = find(job, {"--xid", xid});
      ASSERT_EQ(one.size(), 1u) << xid;
      EXPECT_EQ(one.at(xid).at("what"), "none") << one.at(xid).dump(1);
    }
  }

  static bool removes(const json& change, const std::string& name) {
    return std::ranges::any_of(change.at("relations"), [&](const json& relation) {
      return relation.at("removed") == true && relation.at("name") == name;
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Majors, FindTest, ::testing::Values(13, 14, 15, 16, 17, 18),
                         name_of_major);

void make_tables(PostgresServer& server) {
  for (const auto* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
    (void)server.sql("CREATE TABLE " + std::string(name) +
                     " (n int PRIMARY KEY, x text); INSERT INTO " + name +
                     " SELECT i, 'x' FROM generate_series(1, 300) i");
  }
  (void)server.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM a");
  (void)server.sql("CREATE DATABASE gone");
}

// The command that is printed, as it is.
void expect_brought_back(MainJob& job, const std::string& command, const std::string& space) {
  std::istringstream words(command);
  std::vector<std::string> arguments;
  for (std::string word; words >> word;) {
    if (word == "DIR") word = job.directory().path("before");
    arguments.push_back(word);
  }
  ASSERT_EQ(arguments.at(0), "walvault");
  arguments.erase(arguments.begin());
  arguments.insert(arguments.end(),
                   {"--tablespace", space + "=" + job.directory().path("other-space")});
  const auto restored = job.walvault(arguments);
  ASSERT_EQ(restored.exit_code, 0) << restored.text();
  auto copy = job.server_in("before");
  ASSERT_TRUE(copy->start());
  ASSERT_TRUE(copy->wait_until_promoted()) << copy->log();
  EXPECT_EQ(copy->sql("SELECT count(*) FROM a"), "300");
}

TEST_P(FindTest, TellsWhatEachStatementDid) {
  MainJob job(GetParam());
  auto& server = job.server();
  const auto space = job.directory().path("space");
  fs::create_directory(space);
  give_to_server_user(space);
  (void)server.sql("CREATE TABLESPACE space LOCATION '" + space + "'");
  make_tables(server);
  (void)job.backup();

  const auto drop = transaction(server, "DROP TABLE a CASCADE");
  const auto truncate = transaction(server, "TRUNCATE b");
  const auto reindex = transaction(server, "REINDEX TABLE c");
  const auto cluster = transaction(server, "CLUSTER d USING d_pkey");
  const auto alter = transaction(server, "ALTER TABLE d ALTER n TYPE bigint");
  const auto create_and_drop = transaction(server, "CREATE TABLE z (n int, x text); DROP TABLE z");
  const auto in_savepoint =
      transaction(server, "INSERT INTO e VALUES (1000); SAVEPOINT s; DROP TABLE f");
  const auto deletes = transaction(server, "DELETE FROM e WHERE n <= 120");
  const auto moves = transaction(server, "ALTER TABLE g SET TABLESPACE space");
  const auto aborted = in_transaction(server, "DROP TABLE h", "ROLLBACK");
  (void)server.sql("VACUUM FULL e");
  (void)server.sql("DROP DATABASE gone");
  job.archive_everything();

  const auto drops = find(job, {"--drops"});
  ASSERT_EQ(drops.size(), 3u) << json(drops).dump(1);
  ASSERT_TRUE(drops.contains(drop) && drops.contains(in_savepoint)) << json(drops).dump(1);
  EXPECT_EQ(drops.at(drop).at("what"), "dropped");
  EXPECT_TRUE(removes(drops.at(drop), "public.a")) << drops.at(drop).dump(1);
  EXPECT_TRUE(removes(drops.at(drop), "public.a_pkey"));
  EXPECT_TRUE(removes(drops.at(drop), "public.v"));
  EXPECT_EQ(drops.at(drop).at("relations").at(0).at("database"), "postgres");
  EXPECT_EQ(drops.at(in_savepoint).at("what"), "dropped");
  EXPECT_TRUE(removes(drops.at(in_savepoint), "public.f"));
  for (const auto& [xid, change] : drops) {
    if (xid == drop || xid == in_savepoint) continue;
    EXPECT_EQ(change.at("what"), "database dropped");
    EXPECT_EQ(change.at("relations").at(0).at("database"), "gone");
  }

  const auto truncates = find(job, {"--truncates"});
  ASSERT_EQ(truncates.size(), 1u) << json(truncates).dump(1);
  EXPECT_EQ(truncates.at(truncate).at("what"), "truncated");
  EXPECT_TRUE(removes(truncates.at(truncate), "public.b"));

  const auto rewrites = find(job, {"--rewrites"});
  ASSERT_EQ(rewrites.size(), 5u) << json(rewrites).dump(1);  // VACUUM FULL is the fifth
  EXPECT_EQ(rewrites.at(reindex).at("what"), "reindexed");
  EXPECT_EQ(rewrites.at(cluster).at("what"), "rewritten");
  EXPECT_EQ(rewrites.at(alter).at("what"), "rewritten");
  EXPECT_EQ(rewrites.at(moves).at("what"), "moved");

  const auto rows = find(job, {"--deletes"});
  ASSERT_TRUE(rows.contains(deletes)) << json(rows).dump(1);
  EXPECT_EQ(rows.at(deletes).at("rows_deleted"), 120);
  EXPECT_EQ(rows.at(deletes).at("relations").at(0).at("name"), "public.e");

  expect_found_by_id_only(job, {create_and_drop, aborted});
  const auto moment = drops.at(drop).at("time").get<std::string>();
  EXPECT_TRUE(find(job, {"--time", moment, "--around", "1s"}).contains(drop));
  EXPECT_EQ(find(job, {"--drops", "--until", moment}).size(), 1u);
  EXPECT_EQ(find(job, {"--drops", "--from", moment}).size(), 3u);

  expect_brought_back(job, drops.at(drop).at("restore").get<std::string>(), space);
}

class FindWithoutNames : public ::testing::Test {};

TEST_F(FindWithoutNames, TellsFilesByNumberAndDatabasesThatAreGone) {
  MainJob job(15);
  auto& server = job.server();
  (void)job.backup();
  (void)server.sql("CREATE TABLE later (n int)");
  const auto number = server.sql("SELECT pg_relation_filenode('later')");
  (void)server.sql("CREATE TABLE other (n int PRIMARY KEY)");
  (void)server.sql("TRUNCATE other");
  (void)server.sql("DROP TABLE later");
  job.archive_everything();
  const auto drops = job.walvault({"find", "--drops"});
  ASSERT_EQ(drops.exit_code, 0) << drops.text();
  EXPECT_THAT(drops.out, HasSubstr("file " + number + " (no name is known) in postgres"));
  const auto truncates = job.walvault({"find", "--truncates"});
  EXPECT_THAT(truncates.out, HasSubstr("truncated or reindexed"));
  // What a check reads names what is dropped behind it.
  (void)server.sql("CREATE TABLE named (n int)");
  ASSERT_EQ(job.walvault({"check", "--pg", server.conninfo()}).exit_code, 0);
  (void)server.sql("DROP TABLE named");
  job.archive_everything();
  EXPECT_THAT(job.walvault({"find", "--drops"}).out, HasSubstr("table public.named in postgres"));
}

TEST_F(FindWithoutNames, SaysWhatItCannotMakeSenseOf) {
  MainJob job(15);
  EXPECT_EQ(job.walvault({"find"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"find", "--drops", "--xid", "5"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"find", "--xid", "5x"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"find", "--time", "2026-11-21 10:00:00"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"find", "--drops", "--timeline", "7"}).exit_code, 3);
}

}  // namespace
}  // namespace walvault
