// Databases that others own, servers with settings of their own, hosts that do not answer, and
// callers that close what a program takes for granted.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <cstdlib>

#include "base/file.h"
#include "support/main_job.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

class Strangers : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, Strangers, ::testing::Values(13, 14, 15, 17, 18), name_of_major);

// Whoever runs SQL in it as a superuser must run none of theirs.
TEST_P(Strangers, AnOwnerOfADatabaseRunsNoCodeOfHis) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE ROLE mallory LOGIN");
  (void)server.sql("CREATE DATABASE hers OWNER mallory");
  // Operators for all that the queries may compare or join, ahead of PostgreSQL's own.
  std::string traps =
      "SET ROLE mallory; CREATE SCHEMA trap;"
      "CREATE FUNCTION trap.grab() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
      "  IF current_user <> 'mallory' THEN EXECUTE 'ALTER ROLE mallory SUPERUSER'; END IF;"
      " END $$;";
  for (const auto& [name, left, right, result, value] :
       std::vector<std::array<std::string, 5>>{{"||", "name", "name", "text", "''"},
                                               {"||", "name", "text", "text", "''"},
                                               {"||", "text", "name", "text", "''"},
                                               {"||", "text", "text", "text", "''"},
                                               {"=", "oid", "oid", "bool", "true"},
                                               {"=", "oid", "int4", "bool", "true"},
                                               {"<>", "oid", "oid", "bool", "true"},
                                               {"<>", "oid", "int4", "bool", "true"},
                                               {"=", "name", "name", "bool", "true"},
                                               {"=", "\"char\"", "\"char\"", "bool", "true"},
                                               {"=", "\"char\"", "text", "bool", "true"},
                                               {">", "timestamptz", "timestamptz", "bool", "true"},
                                               {">", "pg_lsn", "pg_lsn", "bool", "true"},
                                               {">", "int8", "int4", "bool", "true"}}) {
    const auto function = "trap.f_" + std::to_string(traps.size());
    traps += "CREATE FUNCTION " + function + "(" + left + "," + right + ") RETURNS " + result +
             " LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.grab(); RETURN " + value +
             "; END $$; CREATE OPERATOR trap." + name + " (FUNCTION=" + function +
             ", LEFTARG=" + left + ", RIGHTARG=" + right + ");";
  }
  traps +=
      "CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE plpgsql AS"
      " $$ BEGIN PERFORM trap.grab(); RETURN ''; END $$;"
      "CREATE TABLE public.t AS SELECT 1 AS n;";
  for (const std::string database : {"hers", "postgres"}) {
    if (database == "postgres") (void)server.sql("ALTER DATABASE postgres OWNER TO mallory");
    (void)server.sql("GRANT ALL ON SCHEMA public TO mallory", database);
    (void)server.sql(traps, database);
    (void)server.sql("ALTER DATABASE " + database + " SET search_path = trap, pg_catalog, public");
    (void)server.sql("ALTER DATABASE " + database + " SET standard_conforming_strings = off");
  }
  (void)job.backup();
  (void)job.backup({"--via", "files"});
  const auto check = job.walvault({"check", "--pg", server.conninfo()});
  EXPECT_EQ(check.exit_code, 0) << check.text();
  EXPECT_EQ(server.sql("SELECT pg_catalog.bool_or(rolsuper) FROM pg_catalog.pg_roles"
                       " WHERE rolname OPERATOR(pg_catalog.=) 'mallory'"),
            "f");
  // The trap works: it is what a query that does not look out runs into.
  (void)server.sql("SET search_path = trap, pg_catalog; SELECT 'a'::name || 'b'::name", "hers");
  EXPECT_EQ(server.sql("SELECT pg_catalog.bool_or(rolsuper) FROM pg_catalog.pg_roles"
                       " WHERE rolname OPERATOR(pg_catalog.=) 'mallory'"),
            "t");
}

TEST_P(Strangers, ASessionLastsAsLongAsTheBackup) {
  const std::string idle = GetParam() >= 14 ? "idle_session_timeout = 1s\n" : "";
  const std::string transaction = GetParam() >= 17 ? "transaction_timeout = 1s\n" : "";
  // A spread checkpoint takes some seconds: a share of this time, for what is dirty.
  MainJob job(GetParam(), idle + transaction +
                              "idle_in_transaction_session_timeout = 1s\nlock_timeout = 1ms\n"
                              "statement_timeout = 500ms\ncheckpoint_timeout = 30s\n"
                              "checkpoint_completion_target = 0.3\n"
                              "default_transaction_isolation = serializable\n");
  for (const std::string via : {"files", "protocol"}) {
    (void)job.server().sql("CREATE TABLE " + via +
                           " AS SELECT g AS n FROM generate_series(1, 20000) g");
    (void)job.backup({"--checkpoint", "spread", "--wal", "stream", "--via", via});
  }
}

// Of several hosts the first answers nothing: its port is open, and nobody is behind it.
TEST(Hosts, EachHasADeadlineOfItsOwn) {
  MainJob job(usual_major);
  const FileDescriptor silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(silent.get(), 8), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto port = std::to_string(ntohs(address.sin_port));
  const auto own = job.server().sql("SHOW port");
  const auto conninfo = "host=127.0.0.1," + job.directory().path() + " port=" + port + "," + own +
                        " user=postgres connect_timeout=2";
  for (const auto& attributes :
       {"", " target_session_attrs=read-write", " target_session_attrs=prefer-standby"}) {
    const auto began = std::chrono::steady_clock::now();
    const auto done = job.walvault({"cluster", "add", "main", "--pg", conninfo + attributes});
    EXPECT_EQ(done.exit_code, 0) << attributes << done.text();
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
  }
  const auto none = job.walvault(
      {"cluster", "add", "main", "--pg",
       "host=127.0.0.1,/nowhere port=" + port + ",5432 user=postgres connect_timeout=2"});
  EXPECT_EQ(none.exit_code, 6) << none.text();
  EXPECT_THAT(none.err, HasSubstr("127.0.0.1:" + port));
  EXPECT_THAT(none.err, HasSubstr("/nowhere"));
}

// With a password, too: a server that lets us in and is not what is wanted is no refusal.
TEST(Hosts, TheNextOneIsTriedBehindOneThatIsAStandby) {
  MainJob job(usual_major);
  auto& primary = job.server();
  (void)primary.sql("CREATE ROLE taker LOGIN SUPERUSER REPLICATION PASSWORD 'secret'");
  (void)job.backup();
  auto standby = job.restore("standby", {"--standby", "--pg", primary.conninfo()});
  for (auto* const server : {&primary, standby.get()}) {
    write_text(server->data() + "/pg_hba.conf",
               "local all postgres trust\nlocal replication postgres trust\n"
               "local all all scram-sha-256\nlocal replication all scram-sha-256\n");
    (void)server->sql("SELECT pg_reload_conf()");
  }
  const auto ports = standby->sql("SHOW port") + "," + primary.sql("SHOW port");
  const auto both = "host=" + job.directory().path() + "," + job.directory().path() +
                    " port=" + ports + " user=taker password=";
  for (const std::string wanted : {"read-write", "primary", "prefer-standby"}) {
    const auto done = job.walvault(
        {"cluster", "add", "main", "--pg", both + "secret target_session_attrs=" + wanted});
    EXPECT_EQ(done.exit_code, 0) << wanted << done.text();
  }
  const auto refused = job.walvault({"cluster", "add", "main", "--pg", both + "wrong"});
  EXPECT_EQ(refused.exit_code, 6) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("password"));
}

// A port or an address that is left out in a list is libpq's default, or looked up.
TEST(Hosts, ListsMayLeaveOutWhatIsUsual) {
  MainJob job(usual_major);
  const auto own = job.server().sql("SHOW port");
  const auto directory = job.directory().path();
  std::string in_url;
  for (const char c : directory) in_url += c == '/' ? std::string("%2F") : std::string(1, c);
  // Where the default port leads.
  boost::filesystem::create_symlink(job.server().socket(), directory + "/.s.PGSQL.5432");
  for (const auto& conninfo : {"postgresql://postgres@" + in_url + "," + in_url + "/postgres",
                               "postgresql://postgres@127.0.0.1:1," + in_url + "/postgres",
                               "host=127.0.0.1," + directory + " port=1, user=postgres",
                               "host=127.0.0.1," + directory + " port=1," + own + " user=postgres",
                               "host=nohost.invalid," + directory +
                                   " hostaddr=127.0.0.9, port=" + own + " user=postgres"}) {
    const auto done = job.walvault({"cluster", "add", "main", "--pg", conninfo});
    EXPECT_EQ(done.exit_code, 0) << conninfo << done.text();
  }
}

// Another user of the machine, who may not look into the data directory, backs up like a
// remote host.
TEST(Hosts, WhoMayNotLookIntoTheDataDirectoryBacksUpAllTheSame) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  MainJob job(usual_major);
  const auto repository = job.directory().path("of_nobody");
  const auto as_nobody = [&](const std::string& rest) {
    // From root, not from the server's user.
    const auto command =
        "setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/nonexistent " +
        job.binary("walvault") + " --repo " + repository + " --cluster main " + rest;
    return WEXITSTATUS(::system((command + " >/dev/null 2>&1").c_str()));
  };
  boost::filesystem::create_directory(repository);
  ASSERT_EQ(::system(("chown nobody " + repository).c_str()), 0);
  const auto pg = " --pg '" + job.server().conninfo() + "'";
  EXPECT_EQ(as_nobody("init"), 0);
  EXPECT_EQ(as_nobody("cluster add main" + pg), 0);
  EXPECT_EQ(as_nobody("backup --wal stream" + pg), 0);
  EXPECT_EQ(as_nobody("verify"), 0);
}

// The user's own settings stay, but for those that are pinned.
TEST(Hosts, OptionsOfTheConnectionStringAreKept) {
  MainJob job(usual_major);
  const auto conninfo =
      job.server().conninfo() + " options='-c application_name=mine -c search_path=nowhere'";
  const auto done = job.walvault({"backup", "--via", "files", "--pg", conninfo});
  EXPECT_EQ(done.exit_code, 0) << done.text();
}

class ClosedFiles : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Each, ClosedFiles, ::testing::Values("<&-", "2>&-", "<&- 2>&-"),
                         [](const auto& closed) {
                           return closed.param == "<&-"    ? "Input"
                                  : closed.param == "2>&-" ? "Errors"
                                                           : "Both";
                         });

Outcome run_with(const std::string& closed, MainJob& job, const std::string& program,
                 const std::string& rest) {
  const auto command = "exec " + job.binary(program) + " --repo " + job.repository() +
                       " --cluster main " + rest + " " + closed;
  return run({"/bin/sh", "-c", command}, {}, job.directory().path());
}

// It says so once it is connected.
TEST_P(ClosedFiles, NoServerGetsTheWords) {
  MainJob job(usual_major, "archive_mode = off\n");
  const auto done =
      run_with(GetParam(), job, "walvault", "backup --pg '" + job.server().conninfo() + "'");
  EXPECT_EQ(done.exit_code, 0) << done.text() << job.server().log();
}

TEST_P(ClosedFiles, NobodyElseGetsTheWords) {
  MainJob job(usual_major);
  const auto in_shell = [&](const std::string& program, const std::string& rest) {
    return run_with(GetParam(), job, program, rest);
  };
  const auto pg = " --pg '" + job.server().conninfo() + "'";
  for (const std::string command : {"backup --log-level debug", "check"}) {
    const auto done = in_shell("walvault", command + pg);
    EXPECT_EQ(done.exit_code, 0) << done.text();
  }
  (void)job.server().sql("SELECT pg_create_restore_point('x')");
  job.archive_everything();
  const auto segment = job.server().sql("SELECT last_archived_wal FROM pg_stat_archiver");
  const auto fetched = job.directory().path("fetched");
  const auto done = in_shell("walvault-fetch", "--log-level debug " + segment + " " + fetched);
  EXPECT_EQ(done.exit_code, 0) << done.text();
  EXPECT_TRUE(read_text(fetched) == read_text(job.server().data() + "/pg_wal/" + segment));
  EXPECT_EQ(job.walvault({"verify", "--deep"}).exit_code, 0);
}

}  // namespace
}  // namespace walvault
