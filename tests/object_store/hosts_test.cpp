// Hosts that share nothing but a bucket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "support/main_job.h"
#include "support/s3_bucket.h"
#include "support/test_host.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;

class HostsTest : public testing::Test {
 protected:
  // A host and its server, whose cluster has the host's name.
  struct Site {
    Site(const std::string& host_name, S3Settings bucket, MainJobPlace place)
        : name(host_name), host(host_name, ObjectStore::shared().port()) {
      bucket.endpoint = host.network().endpoint();
      place.bucket = bucket;
      place.cluster = name;
      host.run([&] { job = std::make_unique<MainJob>(15, place); }).get();
    }
    ~Site() {
      host.network().let_go();
      host.run([&] { job.reset(); }).get();
    }

    void expect_done(const std::vector<std::string>& command) {
      const auto done = job->walvault(command);
      EXPECT_EQ(done.exit_code, 0) << name << ": " << command[0] << ": " << done.text();
    }
    // Both hosts write the same in the same round, one of them a round later.
    void write(int number) {
      (void)job->server().sql("UPDATE t SET text = repeat(md5((n + " + std::to_string(number) +
                              ")::text), 20) WHERE n % 3 = " + std::to_string(number % 3));
    }
    void expect_restorable() {
      const auto query = "SELECT count(*), sum(hashtext(text)) FROM t";
      const auto rows = job->server().sql(query);
      job->archive_everything();
      expect_done({"verify", "--deep"});
      const auto restored = job->restore("restored", {});
      ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
      EXPECT_EQ(restored->sql(query), rows) << name;
    }

    std::string name;
    TestHost host;
    std::unique_ptr<MainJob> job;
  };

  void SetUp() override {
    if (!TestHost::can_be_made()) GTEST_SKIP() << "hosts (network namespaces) cannot be made here";
    const auto bucket = new_bucket("shared");
    first_ = std::make_unique<Site>("alpha", bucket, MainJobPlace{});
    auto& server = first_->job->server();
    (void)server.sql(
        "CREATE TABLE t AS SELECT g AS n, repeat(md5(g::text), 20) AS text"
        " FROM generate_series(1, 20000) g");
    first_->host.run([&] { (void)first_->job->backup(); }).get();
    // A clone, whose first backup borrows from this one.
    server.stop();
    second_ = std::make_unique<Site>(
        "beta", bucket, MainJobPlace{.repository_exists = true, .copy_of = server.data()});
    // There, so that its archiver runs there.
    first_->host.run([&] { ASSERT_TRUE(server.start()) << server.log(); }).get();
  }

  std::unique_ptr<Site> first_;
  std::unique_ptr<Site> second_;
};

TEST_F(HostsTest, WriteExpireAndCollectInOneBucket) {
  const int rounds = long_tests() ? 20 : 4;
  // All of it lies in what the other host has stored, and expires there now.
  second_->host
      .run([&] {
        const auto backup = second_->job->backup();
        EXPECT_LT(backup["stored_bytes"], backup["size_bytes"].get<std::uint64_t>() / 100);
      })
      .get();
  std::atomic<std::uint64_t> deleted{0};
  const auto work = [&](Site& site, int lag) {
    return site.host.run([&site, &deleted, lag, rounds] {
      for (int round = 0; round < rounds; ++round) {
        site.write(round - lag);
        (void)site.job->backup();
        site.expect_done({"expire", "--keep-last", "1"});
        deleted += site.job->walvault_json({"gc", "--grace", "0s"})["gc"]["deleted_packs"]
                       .get<std::uint64_t>();
      }
    });
  };
  auto first = work(*first_, 0);
  auto second = work(*second_, 1);
  // One network goes away for a moment, now and then; the other host goes on.
  while (second.wait_for(1500ms) == std::future_status::timeout) {
    second_->host.network().go_down();
    std::this_thread::sleep_for(300ms);
    second_->host.network().come_up();
  }
  first.get();
  second.get();
  EXPECT_GT(deleted, 0u);
  for (auto* site : {first_.get(), second_.get()}) {
    site->host.run([&] { site->expect_restorable(); }).get();
  }
}

// All its packs are there, and no root that refers to them.
TEST_F(HostsTest, AGcLeavesAloneWhatTheOtherIsAboutToCommit) {
  auto& network = second_->host.network();
  network.hold("/backups/beta/");
  auto backup = second_->host.run([&] { (void)second_->job->backup(); });
  // Before that is waited for, however this ends.
  const std::shared_ptr<void> let_go(nullptr, [&](void*) { network.let_go(); });
  while (!network.holds() && backup.wait_for(5ms) == std::future_status::timeout) {
  }
  EXPECT_TRUE(network.holds());
  first_->host
      .run([&] {
        (void)first_->job->backup();
        (void)first_->job->backup();
        first_->expect_done({"expire", "--keep-last", "1"});
        first_->expect_done({"gc", "--grace", "0s"});
        first_->expect_restorable();
      })
      .get();
  network.let_go();
  backup.get();
  second_->host.run([&] { second_->expect_restorable(); }).get();
}

// A host that vanishes in the middle of a backup holds neither the other's up nor its gc.
TEST_F(HostsTest, GoOnWithoutOneThatIsGone) {
  auto& network = second_->host.network();
  second_->host
      .run([&] {
        network.go_down_after(12);
        const auto backup = second_->job->start_walvault(
            {"backup", "--pg", second_->job->server().conninfo(), "--json"});
        while (!network.is_down() && backup->is_running()) std::this_thread::sleep_for(5ms);
        EXPECT_TRUE(network.is_down()) << "it was too fast for this test";
        backup->send(SIGKILL);
        (void)backup->wait();
      })
      .get();
  first_->host
      .run([&] {
        for (int round = 0; round < 2; ++round) {
          first_->write(round);
          (void)first_->job->backup();
          first_->expect_done({"expire", "--keep-last", "1"});
          first_->expect_done({"gc", "--grace", "0s"});
        }
        first_->expect_restorable();
      })
      .get();
  network.come_up();
  second_->host
      .run([&] {
        (void)second_->job->backup();
        second_->expect_restorable();
      })
      .get();
}

}  // namespace
}  // namespace walvault
