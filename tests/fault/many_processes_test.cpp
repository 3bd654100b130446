// Sixteen processes at one repository, killed at random moments: nothing that one of them said was
// done is lost, and what is left is whole. Some seconds, an hour with --long, or
// WALVAULT_TEST_SECONDS.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "archiving/push.h"
#include "catalog/copy/repository_copy.h"
#include "catalog/records/backup_list.h"
#include "catalog/repair/repository_repair.h"
#include "catalog/retention/expiry.h"
#include "repository/gc.h"
#include "storage/posix_storage.h"
#include "support/fake_backup.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr int processes = 16;
// Which process does what: those behind the last of a kind do the next one.
constexpr int pushers = 5;
constexpr int backers = 10;
constexpr int expirers = 11;
constexpr int collectors = 13;
constexpr int copiers = 15;  // the rest verifies and mends

// What a process says when a call has returned. Written at once: it is smaller than a pipe's page.
struct Done {
  std::uint64_t segment = 0;  // or 0:
  std::uint64_t seed = 0;     // of the backup's content
  char backup[64] = {};
};

class Worker {
 public:
  Worker(const TemporaryDirectory& directory, int kind, unsigned seed, int pipe)
      : directory_(directory), kind_(kind), random_(seed), seed_(seed), pipe_(pipe) {}

  [[noreturn]] void run() {
    PosixStorage storage(directory_.path("repo"), next_run());
    PosixStorage other(directory_.path("other"), next_run());
    const auto repository = Repository::open(storage);
    while (true) {
      try {
        work(repository, Repository::open(other));
      } catch (const Error& error) {
        // What others delete or hold meanwhile ends a command, as it would a person's.
        if (error.kind() == ErrorKind::internal) ::_exit(3);
      }
    }
  }

 private:
  RandomId next_run() {
    auto run = id_of(9);
    for (std::size_t i = 0; i < 4; ++i) {
      run[1 + i] = static_cast<std::uint8_t>(seed_ >> (8 * i));
    }
    run[5] = static_cast<std::uint8_t>(++runs_);
    run[6] = static_cast<std::uint8_t>(runs_ >> 8);
    run[7] = static_cast<std::uint8_t>(runs_ >> 16);
    return run;
  }

  void tell(const Done& done) const {
    if (::write(pipe_, &done, sizeof done) != sizeof done) ::_exit(0);
  }

  void work(const Repository& repository, const Repository& other) {
    auto& clock = system_clock();
    if (kind_ < pushers) {
      const std::uint64_t number = 5 + random_() % 2000;
      const auto name = WalSegmentSpec{.number = number}.name();
      const auto own = directory_.path("wal-" + std::to_string(kind_));
      const auto path = write_test_file(own, name, chained_segment(1, number));
      (void)push_wal_file(WalArchive(repository, test_cluster()), path, clock, {});
      tell({.segment = number});
    } else if (kind_ < backers) {
      FakeServer server;
      const auto seed = random_();
      server.files["base/5/1259"] = random_bytes(60'000, seed);
      BaseBackupRequest request;
      request.wal_timeout = std::chrono::milliseconds(1);
      const auto taken = take_base_backup(WalArchive(repository, test_cluster()), server,
                                          next_run(), clock, request, Reporter());
      Done done{.seed = seed};
      taken.id.copy(done.backup, sizeof done.backup - 1);
      tell(done);
    } else if (kind_ < expirers) {
      RetentionPolicy policy;
      policy.keep_last = 6;
      const auto plan = plan_expiry(repository, "main", policy, clock.now(), false);
      (void)carry_out_expiry(repository, "main", plan, next_run(), clock.now(), [] {});
      ::usleep(200'000);
    } else if (kind_ < collectors) {
      (void)collect_garbage(
          repository, clock, next_run(),
          {.grace = std::chrono::milliseconds(300), .give_up_after = std::chrono::seconds(10)});
      ::usleep(300'000);
    } else if (kind_ < copiers) {
      (void)copy_repository(repository, other, clock, {.run = next_run()}, {});
      ::usleep(300'000);
    } else {
      (void)repair_repository(repository, &other, clock, {.run = next_run()}, {});
      ::usleep(300'000);
    }
  }

  const TemporaryDirectory& directory_;
  const int kind_;
  std::mt19937 random_;
  const unsigned seed_;
  const int pipe_;
  unsigned runs_ = 0;
};

class ManyProcesses : public testing::Test {
 protected:
  ManyProcesses() {
    for (const auto* name : {"repo", "other"}) {
      PosixStorage storage(directory_.path(name), id_of(1));
      storage.prepare();
      CountingRandomness randomness;
      Repository::create(storage, system_clock(), randomness);
      const auto repository = Repository::open(storage);
      (void)add_cluster(repository, test_cluster());
      archive_needed_wal(WalArchive(repository, test_cluster()));
    }
    for (int i = 0; i < pushers; ++i) {
      std::filesystem::create_directory(directory_.path("wal-" + std::to_string(i)));
    }
    EXPECT_EQ(::pipe(ends_), 0);
  }
  ~ManyProcesses() override {
    for (const auto fd : ends_) ::close(fd);
  }

  void start(int kind) {
    const auto seed = next_seed_++;
    const auto child = ::fork();
    if (child == 0) {
      ::close(ends_[0]);
      Worker(directory_, kind, seed, ends_[1]).run();
    }
    running_[kind] = child;
  }
  void end(int kind) {
    (void)::kill(running_[kind], SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(running_[kind], &status, 0), running_[kind]);
    EXPECT_TRUE(WIFSIGNALED(status)) << "process " << kind << " ended by itself: " << status;
  }
  // What was said until now.
  void listen() {
    while (true) {
      struct pollfd waiting {
        .fd = ends_[0], .events = POLLIN, .revents = 0
      };
      if (::poll(&waiting, 1, 0) <= 0) return;
      Done done;
      if (::read(ends_[0], &done, sizeof done) != sizeof done) return;
      if (done.segment != 0) {
        segments_.insert(done.segment);
      } else {
        backups_[done.backup] = done.seed;
      }
    }
  }

  void expect_nothing_lost() {
    PosixStorage storage(directory_.path("repo"), id_of(2));
    const auto repository = Repository::open(storage);
    const WalArchive archive(repository, test_cluster());
    for (const auto number : segments_) {
      const auto key = archive.key_of(WalSegmentSpec{.number = number}.name());
      const auto object = storage.find(key, whole_object);
      ASSERT_TRUE(object) << key;
      EXPECT_TRUE(decode_wal_object(ObjectCodec(), *object, key, 1) == chained_segment(1, number));
    }
    const auto deleted = deleted_backups(repository, "main");
    std::size_t stay = 0;
    for (const auto& [id, seed] : backups_) {
      if (deleted.contains(id)) continue;
      ++stay;
      FakeServer server;
      server.files["base/5/1259"] = random_bytes(60'000, seed);
      try {
        TreeReader tree(repository, backup_root_key("main", id));
        EXPECT_TRUE(read_tree(tree) == server.all_files()) << id;
      } catch (const Error& error) {
        ADD_FAILURE() << id << ": " << one_line(error);
      }
    }
    EXPECT_TRUE(list_backups(repository, "main").damaged.empty());
    std::printf("%zu segments, %zu backups acknowledged, %zu of them stay\n", segments_.size(),
                backups_.size(), stay);
    EXPECT_GT(segments_.size(), 0u);
    EXPECT_GT(stay, 0u);
  }

  TemporaryDirectory directory_;
  int ends_[2] = {-1, -1};
  unsigned next_seed_ = test_seed() & 0xFFFFFF;
  std::map<int, pid_t> running_;
  std::set<std::uint64_t> segments_;
  std::map<std::string, std::uint64_t> backups_;
};

TEST_F(ManyProcesses, LoseNothingWhenTheyAreKilled) {
  const char* const is_long = std::getenv("WALVAULT_TEST_LONG");
  const char* const asked = std::getenv("WALVAULT_TEST_SECONDS");
  const Seconds enough(asked != nullptr                        ? std::atof(asked)
                       : is_long != nullptr && *is_long == '1' ? 3600
                                                               : 6);
  std::mt19937 random(next_seed_);
  for (int kind = 0; kind < processes; ++kind) start(kind);
  const auto began = std::chrono::steady_clock::now();
  int kills = 0;
  while (std::chrono::steady_clock::now() - began < enough && !HasFailure()) {
    ::usleep(static_cast<useconds_t>(50'000 + random() % 250'000));
    const auto kind = static_cast<int>(random() % processes);
    end(kind);
    ++kills;
    start(kind);
    listen();
  }
  for (int kind = 0; kind < processes; ++kind) end(kind);
  listen();
  std::printf("%d kills\n", kills);
  expect_nothing_lost();
}

}  // namespace
}  // namespace walvault
