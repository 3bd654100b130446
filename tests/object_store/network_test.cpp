// Whole programs and a network that fails them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "storage/s3/s3_storage.h"
#include "support/main_job.h"
#include "support/s3_bucket.h"
#include "support/tcp_proxy.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// A main job whose way to the store is a TcpProxy.
class NetworkTest : public testing::Test {
 protected:
  NetworkTest() {
    job_ = std::make_unique<MainJob>(15, MainJobPlace{.bucket = new_bucket("main-job")});
    (void)job_->server().sql(
        "CREATE TABLE t AS SELECT g AS n, repeat(md5(g::text), 20) AS text"
        " FROM generate_series(1, 60000) g");
    job_->archive_everything();
    settings_ = read_text(job_->config());
    // Seen by every program from its next start on.
    go_by(proxy_.endpoint(), "1s");
  }
  void go_by(const std::string& endpoint, const std::string& retry_for) {
    auto text = settings_;
    const auto direct = ObjectStore::shared().endpoint();
    text.replace(text.find(direct), direct.size(), endpoint);
    write_text(job_->config(), text + "retry_for = \"" + retry_for + "\"\n");
  }
  [[nodiscard]] std::unique_ptr<Child> start_backup() {
    return job_->start_walvault({"backup", "--pg", job_->server().conninfo(), "--json"});
  }
  // `command` undisturbed, then `again` with the store away for a while.
  void expect_to_go_on(std::vector<std::string> command, std::vector<std::string> again);
  // Restored, it has what the server has.
  void expect_restorable() {
    const auto rows = job_->server().sql("SELECT count(*), sum(hashtext(text)) FROM t");
    job_->archive_everything();
    const auto restored = job_->restore("restored", {});
    ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
    EXPECT_EQ(restored->sql("SELECT count(*), sum(hashtext(text)) FROM t"), rows);
  }

  TcpProxy proxy_{ObjectStore::shared().port()};
  std::unique_ptr<MainJob> job_;
  std::string settings_;
};

TEST_F(NetworkTest, ABackupGoesOnWhenItComesBack) {
  go_by(proxy_.endpoint(), "60s");
  proxy_.delay(20ms);
  const auto backup = start_backup();
  while (proxy_.bytes_from_client() < 1'000'000 && backup->is_running()) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(backup->is_running()) << "it was too fast for this test";
  proxy_.go_down();
  std::this_thread::sleep_for(4s);
  proxy_.come_up();
  const auto done = backup->wait();
  EXPECT_EQ(done.exit_code, 0) << done.text();
  EXPECT_THAT(done.err, HasSubstr("Trying again"));
  expect_restorable();
}

TEST_F(NetworkTest, EveryCommandSaysThatItIsGone) {
  ASSERT_EQ(start_backup()->wait().exit_code, 0);
  proxy_.go_down();
  for (const auto& command :
       std::vector<std::vector<std::string>>{{"info"},
                                             {"backup", "--pg", job_->server().conninfo()},
                                             {"restore", "--pgdata", job_->directory().path("x")},
                                             {"verify"},
                                             {"gc"},
                                             {"expire", "--keep-last", "1"}}) {
    const auto outcome = job_->walvault(command);
    EXPECT_EQ(outcome.exit_code, 6) << command[0] << ": " << outcome.text();
    EXPECT_THAT(outcome.err, HasSubstr(proxy_.endpoint())) << command[0];
  }
  proxy_.come_up();
  expect_restorable();
}

// In the middle: at half of the requests that the same command took before.
void NetworkTest::expect_to_go_on(std::vector<std::string> command,
                                  std::vector<std::string> again) {
  const auto away = long_tests() ? std::chrono::milliseconds(60s) : 1s;
  const auto words = command[0] + " " + command[1];
  SCOPED_TRACE(words);
  std::filesystem::remove_all(job_->directory().path("cache"));
  (void)proxy_.take_requests();
  const auto undisturbed = job_->start(std::move(command))->wait();
  EXPECT_EQ(undisturbed.exit_code, 0) << undisturbed.text();
  const auto requests = proxy_.take_requests().size();
  std::filesystem::remove_all(job_->directory().path("cache"));
  proxy_.go_down_after(static_cast<int>(requests / 2 + 1));
  const auto disturbed = job_->start(std::move(again));
  while (!proxy_.is_down() && disturbed->is_running()) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(proxy_.is_down()) << "only " << requests << " requests";
  std::this_thread::sleep_for(away);
  EXPECT_TRUE(disturbed->is_running());
  proxy_.come_up();
  const auto done = disturbed->wait();
  EXPECT_EQ(done.exit_code, 0) << done.text();
  if (long_tests()) {
    EXPECT_THAT(done.err, HasSubstr("Trying again"));
  }
  std::printf("%s: away at request %zu of %zu\n", words.c_str(), requests / 2 + 1, requests);
}

TEST_F(NetworkTest, EveryCommandGoesOnWhenItComesBack) {
  go_by(proxy_.endpoint(), "150s");
  auto& server = job_->server();
  const auto path = [&](const std::string& name) { return job_->directory().path(name); };
  std::string id;
  for (int i = 0; i < 4; ++i) {
    (void)server.sql("UPDATE t SET text = md5(text) || text WHERE n % 10 = " + std::to_string(i));
    id = job_->backup()["id"];
  }
  job_->archive_everything();
  const auto segment = server.sql("SELECT last_archived_wal FROM pg_stat_archiver");
  std::vector<std::string> to_archive(2);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(job_->walvault({"init", "--repo", path("copy-" + std::to_string(i))}).exit_code, 0);
  }

  const auto expect_both_to_go_on = [&](const std::vector<std::string>& command) {
    expect_to_go_on(command, command);
  };
  expect_both_to_go_on({"walvault", "info"});
  // Its own patience counts from the first look on.
  expect_both_to_go_on({"walvault", "check", "--pg", server.conninfo(), "--timeout", "5min"});
  expect_both_to_go_on({"walvault", "backup", "--pg", server.conninfo()});
  expect_both_to_go_on({"walvault", "backups", "keep", id, "--for", "1d"});
  expect_both_to_go_on({"walvault", "find", "--drops"});
  expect_both_to_go_on({"walvault", "verify", "--deep"});
  expect_to_go_on({"walvault", "extract", id, "PG_VERSION", "--output", path("version-0")},
                  {"walvault", "extract", id, "PG_VERSION", "--output", path("version-1")});
  expect_to_go_on({"walvault", "restore", "--pgdata", path("restored-0")},
                  {"walvault", "restore", "--pgdata", path("restored-1")});
  expect_to_go_on({"walvault", "copy", "--to", path("copy-0")},
                  {"walvault", "copy", "--to", path("copy-1")});
  expect_to_go_on({"walvault-fetch", "--prefetch", "0", segment, path("fetched-0")},
                  {"walvault-fetch", "--prefetch", "0", segment, path("fetched-1")});
  expect_to_go_on({"walvault", "expire", "--keep-last", "4"},
                  {"walvault", "expire", "--keep-last", "2"});
  // What is dead goes first, so that the two have the same to do.
  ASSERT_EQ(job_->walvault({"gc", "--grace", "0s"}).exit_code, 0);
  expect_both_to_go_on({"walvault", "gc", "--grace", "0s"});
  (void)server.sql("ALTER SYSTEM SET archive_command = '/bin/true'");
  (void)server.sql("SELECT pg_reload_conf()");
  for (auto& file : to_archive) {
    (void)server.sql("INSERT INTO t VALUES (-1, 'more')");
    file = server.data() + "/pg_wal/" + server.sql("SELECT pg_walfile_name(pg_switch_wal())");
  }
  expect_to_go_on({"walvault-archive", to_archive[0]}, {"walvault-archive", to_archive[1]});
}

TEST_F(NetworkTest, AnInterruptIsHeardWhileItIsAway) {
  go_by(proxy_.endpoint(), "60s");
  proxy_.go_down();
  const auto verify = job_->start_walvault({"verify"});
  std::this_thread::sleep_for(500ms);
  verify->send(SIGINT);
  const auto interrupted = verify->wait(5s);
  EXPECT_EQ(interrupted.signal, SIGINT) << interrupted.text();
  EXPECT_THAT(interrupted.err, HasSubstr("interrupted by SIGINT"));
}

TEST_F(NetworkTest, TheNextBackupReusesWhatAnInterruptedOneStored) {
  ASSERT_EQ(start_backup()->wait().exit_code, 0);
  (void)job_->server().sql("UPDATE t SET text = md5(text) || text WHERE n % 10 = 0");
  proxy_.delay(20ms);
  const auto before = proxy_.bytes_from_client();
  const auto backup = start_backup();
  while (proxy_.bytes_from_client() < before + 100'000 && backup->is_running()) {
    std::this_thread::sleep_for(5ms);
  }
  proxy_.go_down();
  const auto interrupted = backup->wait();
  EXPECT_EQ(interrupted.exit_code, 6) << interrupted.text();
  proxy_.come_up();
  const auto next = start_backup()->wait();
  EXPECT_EQ(next.exit_code, 0) << next.text();
  expect_restorable();
}

TEST_F(NetworkTest, BitsThatTurnOnTheWayAreFoundOut) {
  ASSERT_EQ(start_backup()->wait().exit_code, 0);
  proxy_.corrupt_every(50'000);
  const auto outcome = job_->walvault({"restore", "--pgdata", job_->directory().path("x")});
  EXPECT_TRUE(outcome.exit_code == 5 || outcome.exit_code == 6) << outcome.text();
  proxy_.corrupt_every(0);
  expect_restorable();
}

TEST_F(NetworkTest, ConnectionsThatAreCutCostTriesAndNothingElse) {
  go_by(proxy_.endpoint(), "60s");
  proxy_.cut(6, 50'000);
  const auto backup = start_backup()->wait();
  EXPECT_EQ(backup.exit_code, 0) << backup.text();
  EXPECT_LE(proxy_.cuts_left(), 3) << "it was too small for this test";
  expect_restorable();
}

// To another bucket, and from there to a directory.
TEST_F(NetworkTest, ACopyGoesOnWhenItComesBack) {
  ASSERT_EQ(start_backup()->wait().exit_code, 0);
  go_by(proxy_.endpoint(), "60s");
  const auto off_site = new_bucket("off-site");
  auto text = read_text(job_->config());
  text += "[repository.2]\nurl = \"s3://" + off_site.bucket + "/off-site\"\n" +
          text.substr(text.find("endpoint"));
  write_text(job_->config(), text);
  ASSERT_EQ(job_->walvault({"init", "--repo", "2"}).exit_code, 0);
  proxy_.delay(20ms);
  const auto before = proxy_.bytes_from_client();
  const auto copy = job_->start_walvault({"copy", "--to", "2", "--jobs", "1"});
  while (proxy_.bytes_from_client() < before + 500'000 && copy->is_running()) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(copy->is_running()) << "it was too fast for this test";
  proxy_.go_down();
  std::this_thread::sleep_for(4s);
  proxy_.come_up();
  const auto done = copy->wait();
  EXPECT_EQ(done.exit_code, 0) << done.text();
  EXPECT_THAT(done.err, HasSubstr("Trying again"));
  proxy_.delay(0ms);
  const auto verified = job_->walvault({"verify", "--deep", "--repo", "2"});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();

  const auto directory = job_->directory().path("brought-back");
  ASSERT_EQ(job_->walvault({"init", "--repo", directory}).exit_code, 0);
  const auto back = job_->walvault({"copy", "--repo", "2", "--to", directory});
  EXPECT_EQ(back.exit_code, 0) << back.text();
  const auto whole = job_->walvault({"verify", "--deep", "--repo", directory});
  EXPECT_EQ(whole.exit_code, 0) << whole.text();
}

TEST_F(NetworkTest, ASecondRepositoryThatNeedNotBeThereHoldsNothingUp) {
  // The first one is a directory here, the second one the bucket behind the proxy.
  const auto directory = job_->directory().path("near");
  const auto config = job_->directory().path("two.toml");
  const auto store = read_text(job_->config());
  write_text(config, "[repository]\nurl = \"" + directory + "\"\n[repository.2]\nurl = \"" +
                         job_->repository() + "\"\nrequired = false\n" +
                         store.substr(store.find("endpoint")) + "[cache]\npath = \"" +
                         job_->directory().path("cache") + "\"\n");
  give_to_server_user(config);
  ::chmod(config.c_str(), 0600);
  auto& server = job_->server();
  const auto walvault = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--config", config, "--repo", directory});
    return job_->walvault(arguments);
  };
  ASSERT_EQ(walvault({"init"}).exit_code, 0);
  ASSERT_EQ(walvault({"cluster", "add", "main", "--pg", server.conninfo()}).exit_code, 0);
  (void)server.sql("ALTER SYSTEM SET archive_command = '" + job_->binary("walvault-archive") +
                   " --config " + config + " --cluster main %p'");
  (void)server.sql("SELECT pg_reload_conf()");
  const auto switch_segments = [&](int count) {
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) {
      (void)server.sql("INSERT INTO t VALUES (-1, 'more')");
      (void)server.sql("SELECT pg_switch_wal()");
    }
    job_->archive_everything();
    return std::chrono::steady_clock::now() - began;
  };
  (void)switch_segments(3);
  proxy_.go_down();
  // One call waits some seconds for it, not each.
  EXPECT_LT(switch_segments(8), 25s);
  EXPECT_THAT(server.log(), HasSubstr("is without"));
  proxy_.come_up();
  const auto copied = walvault({"copy", "--to", "2"});
  EXPECT_EQ(copied.exit_code, 0) << copied.text();
  EXPECT_THAT(walvault({"copy", "--to", "2", "--dry-run"}).out, HasSubstr("; 0 WAL files"));
}

// What the store is asked, and charges for.
class RequestsTest : public NetworkTest {
 protected:
  [[nodiscard]] static std::size_t count(const std::vector<std::string>& requests,
                                         std::string_view method) {
    return static_cast<std::size_t>(std::ranges::count_if(
        requests, [&](const std::string& request) { return request.starts_with(method); }));
  }
  [[nodiscard]] static std::string text_of(const std::vector<std::string>& requests) {
    std::string text = std::to_string(requests.size()) + " requests:\n";
    for (const auto& request : requests) text += request + "\n";
    return text;
  }
};

TEST_F(RequestsTest, InfoAsksOnceForEachBackupAndLittleElse) {
  const std::size_t backups = long_tests() ? 100 : 12;
  for (std::size_t i = 0; i < backups; ++i) {
    (void)job_->server().sql("UPDATE t SET text = text || 'x' WHERE n % 1000 = 0");
    const auto backup = start_backup()->wait();
    ASSERT_EQ(backup.exit_code, 0) << backup.text();
  }
  (void)proxy_.take_requests();
  ASSERT_EQ(job_->walvault_json({"info"})["clusters"][0]["backups"].size(), backups);
  const auto requests = proxy_.take_requests();
  std::printf("info on %zu backups: %zu requests\n", backups, requests.size());
  EXPECT_LT(requests.size(), backups + 20) << text_of(requests);
}

TEST_F(RequestsTest, ASecondLookAsksForNoRootAgain) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(start_backup()->wait().exit_code, 0);
  const auto info = job_->walvault_json({"info"});
  (void)proxy_.take_requests();
  const auto again = job_->walvault_json({"info"});
  const auto requests = proxy_.take_requests();
  EXPECT_EQ(again["clusters"][0]["backups"], info["clusters"][0]["backups"]);
  for (const auto& request : requests) {
    EXPECT_EQ(request.find("/backups/"), std::string::npos) << request;
  }
  EXPECT_LT(requests.size(), 12u) << text_of(requests);
}

// The server's archiver calls it once a segment.
TEST_F(RequestsTest, ASegmentTakesTwo) {
  auto& server = job_->server();
  for (int i = 0; i < 3; ++i) {
    (void)server.sql("INSERT INTO t VALUES (-1, 'more')");
    job_->archive_everything();
  }
  std::this_thread::sleep_for(200ms);
  (void)proxy_.take_requests();
  (void)server.sql("INSERT INTO t VALUES (-1, 'more')");
  (void)server.sql("SELECT pg_switch_wal()");
  job_->archive_everything();
  auto requests = proxy_.take_requests();
  // archive_everything switches once more.
  const auto puts = count(requests, "PUT ");
  EXPECT_GE(puts, 1u);
  EXPECT_LE(requests.size(), 2 * puts + 1) << text_of(requests);
}

TEST_F(RequestsTest, ABackupOfManySmallFilesPutsFewObjects) {
  const auto directory = job_->server().data() + "/base/many";
  std::filesystem::create_directory(directory);
  for (int i = 0; i < 20'000; ++i) {
    write_text(directory + "/" + std::to_string(i), "a small file, number " + std::to_string(i));
  }
  ASSERT_EQ(
      std::system(("chown -R --reference=" + job_->server().data() + " " + directory).c_str()), 0);
  (void)proxy_.take_requests();
  const auto backup = start_backup()->wait();
  ASSERT_EQ(backup.exit_code, 0) << backup.text();
  const auto requests = proxy_.take_requests();
  EXPECT_LT(count(requests, "PUT "), 50u) << text_of(requests);
  (void)job_->server().sql("UPDATE t SET text = text || 'x' WHERE n % 1000 = 0");
  const auto next = start_backup()->wait();
  ASSERT_EQ(next.exit_code, 0) << next.text();
  const auto of_next = proxy_.take_requests();
  EXPECT_LT(count(of_next, "PUT "), 50u) << text_of(of_next);
  std::printf("a backup of 20,000 small files: %zu PUTs, the next one %zu\n",
              count(requests, "PUT "), count(of_next, "PUT "));
}

// Each has a list of its chunks.
TEST_F(RequestsTest, FilesOfSeveralChunksAreFoundAgainWithFewRequests) {
  constexpr int files = 500;
  const auto directory = job_->server().data() + "/base/many";
  std::filesystem::create_directory(directory);
  std::string text;
  for (int i = 0; i < 60'000; ++i) text += std::to_string(i * 7919) + ",";
  for (int i = 0; i < files; ++i) {
    write_text(directory + "/" + std::to_string(i), std::to_string(i) + text);
  }
  (void)job_->backup();
  (void)proxy_.take_requests();
  const std::string id = job_->backup()["id"];
  const auto of_backup = proxy_.take_requests();
  EXPECT_LT(of_backup.size(), 80u) << text_of(of_backup);
  const auto extracted = job_->walvault(
      {"extract", id, "base/many/7", "--output", job_->directory().path("extracted")});
  EXPECT_EQ(extracted.exit_code, 0) << extracted.text();
  const auto of_extract = proxy_.take_requests();
  EXPECT_LT(of_extract.size(), 40u) << text_of(of_extract);
  const auto restored = job_->walvault({"restore", "--pgdata", job_->directory().path("restored")});
  EXPECT_EQ(restored.exit_code, 0) << restored.text();
  const auto of_restore = proxy_.take_requests();
  EXPECT_LT(of_restore.size(), 150u) << text_of(of_restore);
  std::printf("%d files of 400 kB: the next backup %zu requests, extract %zu, restore %zu\n", files,
              of_backup.size(), of_extract.size(), of_restore.size());
}

// PostgreSQL asks for one segment after another, and what follows is fetched meanwhile: most
// calls ask the store for nothing.
TEST_F(RequestsTest, AReplayAsksOnceForEachSegmentAndLittleElse) {
  constexpr std::size_t segments = 30;
  ASSERT_EQ(start_backup()->wait().exit_code, 0);
  for (std::size_t i = 0; i < segments; ++i) {
    (void)job_->server().sql("INSERT INTO t VALUES (-1, 'more')");
    (void)job_->server().sql("SELECT pg_switch_wal()");
  }
  job_->archive_everything();
  const auto rows = job_->server().sql("SELECT count(*) FROM t");
  ASSERT_EQ(job_->walvault({"restore", "--pgdata", job_->directory().path("restored")}).exit_code,
            0);
  proxy_.delay(50ms);
  (void)proxy_.take_requests();
  auto server = job_->server_in("restored");
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(server->start()) << server->log();
  ASSERT_TRUE(server->wait_until_promoted()) << server->log();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_EQ(server->sql("SELECT count(*) FROM t"), rows);
  const auto requests = proxy_.take_requests();
  std::printf("replay of %zu segments at 50 ms: %.1f s, %zu requests\n", segments, took.count(),
              requests.size());
  EXPECT_LT(requests.size(), 3 * segments + 80) << text_of(requests);
}

}  // namespace
}  // namespace walvault
