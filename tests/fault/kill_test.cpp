// Processes that are killed before and behind every storage call of an archive, a
// backup, an expiry and a gc, on a real file system: what was acknowledged is whole,
// nothing half-made shows, the next run succeeds, and gc reclaims the rest. Only calls
// that change something count: to be killed at another is to be killed behind the one
// before it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archiving/push.h"
#include "catalog/records/backup_list.h"
#include "catalog/retention/expiry.h"
#include "catalog/verification/verification.h"
#include "repository/gc.h"
#include "repository/pin.h"
#include "storage/posix_storage.h"
#include "support/catalog_examples.h"
#include "support/fake_backup.h"
#include "support/hooked_storage.h"
#include "support/stored_backups.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

enum class Moment { before, behind };

// One process's way to the repository.
struct Access {
  Access(const std::string& directory, std::uint8_t number)
      : posix(directory, id_of(number)), writer(number) {}

  PosixStorage posix;
  std::uint8_t writer;
  HookedStorage storage{posix};
  FakeClock clock;
  Repository repository = Repository::open(storage);
};

class Killed : public testing::TestWithParam<Moment> {
 protected:
  Killed() {
    PosixStorage storage(directory_.path(), id_of(200));
    FakeClock clock;
    CountingRandomness randomness;
    Repository::create(storage, clock, randomness);
    (void)add_cluster(Repository::open(storage), test_cluster());
  }

  // Runs an action in a process of its own, which is killed at its `call`-th change;
  // false: it came to its end before.
  template <typename Action>
  bool is_killed_at(int call, Action&& action) {
    const auto child = ::fork();
    if (child == 0) {
      {
        Access access(directory_.path(), ++writers_);
        int calls = 0;
        const auto die = [&](std::string_view operation, std::string_view) {
          if (operation != "put" && operation != "remove") return;
          if (++calls == call) (void)::kill(::getpid(), SIGKILL);
        };
        (GetParam() == Moment::before ? access.storage.before : access.storage.after) = die;
        action(access);
      }
      ::_exit(0);
    }
    ++writers_;
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return true;
    EXPECT_EQ(WEXITSTATUS(status), 0) << "call " << call;
    return false;
  }

  [[nodiscard]] Access open() { return {directory_.path(), ++writers_}; }

  // Everything that is listed can be restored.
  void expect_whole(int call) {
    auto access = open();
    VerifyRequest request;
    request.tier = VerifyTier::deep;
    const auto report = verify(access.repository, access.clock, id_of(access.writer), request,
                               {.info = [](const std::string&) {},
                                .warn = [](const std::string& text) { ADD_FAILURE() << text; },
                                .check_cancelled = [] {}});
    EXPECT_TRUE(report.is_whole()) << "killed at call " << call;
    for (const auto& object : report.objects) ADD_FAILURE() << object.key << " " << object.why;
  }

  // Nothing is left but what backups refer to.
  void expect_reclaimed(int call) {
    auto access = open();
    const GcOptions options{.grace = std::chrono::milliseconds{0},
                            .give_up_after = -std::chrono::hours(1000),
                            .alone = true};
    for (int again = 0; again < 2; ++again) {
      (void)collect_garbage(access.repository, access.clock, id_of(++writers_), options);
    }
    EXPECT_EQ(find_garbage(access.repository).dead_packs, 0u) << call;
    EXPECT_TRUE(keys_under(access.posix, "plans/").empty()) << call;
    EXPECT_TRUE(keys_under(access.posix, "pins/").empty()) << call;
    EXPECT_TRUE(keys_under(access.posix, "unfinished/").empty()) << call;
    (void)access.posix.remove_leftovers(Timestamp::max());
    EXPECT_EQ(access.posix.remove_leftovers(Timestamp::max()), 0u);
  }

  TemporaryDirectory directory_;
  std::uint8_t writers_ = 0;
};

INSTANTIATE_TEST_SUITE_P(EveryCall, Killed, testing::Values(Moment::before, Moment::behind),
                         [](const auto& test) -> std::string {
                           return test.param == Moment::before ? "Before" : "Behind";
                         });

TEST_P(Killed, AnArchiverLosesNothing) {
  TemporaryDirectory pg_wal;
  int call = 1;
  for (bool killed = true; killed; ++call) {
    ASSERT_LT(call, 50);
    const WalSegmentSpec spec{.number = static_cast<std::uint64_t>(call)};
    const auto path = write_test_file(pg_wal.path(), spec.name(), wal_segment(spec));
    const auto push = [&](Access& access) {
      (void)push_wal_file(WalArchive(access.repository, test_cluster()), path, access.clock, {});
    };
    killed = is_killed_at(call, push);
    auto access = open();
    const WalArchive archive(access.repository, test_cluster());
    const auto key = archive.key_of(spec.name());
    if (const auto object = access.posix.find(key, whole_object)) {
      EXPECT_TRUE(decode_wal_object(ObjectCodec(), *object, key, 1) == wal_segment(spec)) << call;
    } else {
      EXPECT_TRUE(killed) << call;
    }
    // The server asks again.
    push(access);
    EXPECT_TRUE(decode_wal_object(ObjectCodec(), access.posix.find(key, whole_object).value(), key,
                                  1) == wal_segment(spec));
  }
  EXPECT_GT(call, 1);
}

TEST_P(Killed, ABackupIsWholeOrNone) {
  FakeServer server;
  BaseBackupRequest request;
  request.wal_timeout = std::chrono::milliseconds(1);
  request.unfinished_bytes_min = 1;
  const auto take = [&](Access& access) {
    return back_up(WalArchive(access.repository, test_cluster()), server, access.writer,
                   access.clock, request);
  };
  {
    auto access = open();
    archive_needed_wal(WalArchive(access.repository, test_cluster()));
    access.clock.jump(-std::chrono::hours(10));
    (void)take(access);  // one to borrow from
  }
  int call = 1;
  for (bool killed = true; killed; ++call) {
    ASSERT_LT(call, 100);
    server.files["base/5/1259"][static_cast<std::size_t>(call) * 1000] ^= 1;
    killed = is_killed_at(call, [&](Access& access) {
      access.clock.advance(std::chrono::hours(call));
      (void)take(access);
    });
    expect_whole(call);
    if (!killed) break;
    // The next one goes on from what this one left, or finds nothing of it.
    if (call % 2 == 0) expect_reclaimed(call);
    auto access = open();
    access.clock.advance(std::chrono::hours(call) + std::chrono::minutes(30));
    const auto next = take(access);
    expect_whole_backup(access.repository, next, server);
    // Few backups make it quick.
    auto keys = root_keys(access.posix);
    keys.pop_back();
    for (const auto& key : keys) {
      (void)access.repository.put_sealed(ObjectKind::deleted, deletion_key(key), {});
    }
    access.posix.remove(keys);
  }
  EXPECT_GT(call, 4);
}

TEST_P(Killed, AnExpiryTakesNothingThatIsNeeded) {
  const auto now = minute_of(40);
  RetentionPolicy policy;
  policy.keep_last = 2;
  const auto expire = [&](Access& access) {
    const auto plan = plan_expiry(access.repository, "main", policy, now, true);
    (void)carry_out_expiry(access.repository, "main", plan, id_of(access.writer), now, [] {});
  };
  int call = 1;
  for (bool killed = true; killed; ++call) {
    ASSERT_LT(call, 200);
    // What goes: a, or what is left of it, and the WAL before b.
    {
      auto access = open();
      access.posix.remove(keys_under(access.posix, "backups/"));
      access.posix.remove(keys_under(access.posix, "deleted/"));
      access.posix.remove(keys_under(access.posix, "wal/"));
      access.posix.remove(keys_under(access.posix, "wal-ledger/"));
      access.posix.remove(keys_under(access.posix, "accepted-gaps/"));
      const WalArchive archive(access.repository, test_cluster());
      archive_segments(archive, 1, 1, 12);
      store_backup(access.repository, backup_of("a", 1, 2, 3));
      store_backup(access.repository, backup_of("b", 1, 6, 7));
      store_backup(access.repository, backup_of("c", 1, 9, 10));
    }
    killed = is_killed_at(call, expire);
    auto access = open();
    for (int again = 0; again < 2; ++again) {
      const auto list = list_backups(access.repository, "main");
      EXPECT_TRUE(list.damaged.empty()) << call;
      const WalArchive archive(access.repository, test_cluster());
      const auto moments = recoverable_moments({archive, list.backups});
      ASSERT_EQ(moments.windows.size(), 1u) << call;
      EXPECT_LE(moments.windows[0].earliest, backup_of("b", 1, 6, 7).stop) << call;
      EXPECT_EQ(moments.windows[0].latest.value, 13 * test_segment_bytes) << call;
      if (again == 0) expire(access);
    }
    EXPECT_EQ(list_backups(access.repository, "main").backups.size(), 2u);
    const auto segments = WalArchive(access.repository, test_cluster()).segments({1});
    ASSERT_FALSE(segments.empty());
    EXPECT_EQ(segments.front().number, 6u) << call;
    EXPECT_TRUE(keys_under(access.posix, "wal-expiry/").empty()) << call;
  }
  EXPECT_GT(call, 6);
}

TEST_P(Killed, AGcTakesNothingThatIsNeeded) {
  FakeServer server;
  const auto take = [&](Access& access) {
    return back_up(WalArchive(access.repository, test_cluster()), server, access.writer,
                   access.clock);
  };
  {
    auto access = open();
    archive_needed_wal(WalArchive(access.repository, test_cluster()));
    access.clock.jump(-std::chrono::hours(100));
    (void)take(access);
  }
  int call = 1;
  for (bool killed = true; killed; ++call) {
    ASSERT_LT(call, 100);
    // A second backup, of which much is dead once it is deleted.
    {
      auto access = open();
      access.clock.advance(std::chrono::hours(call));
      server.files["base/5/1259"] = random_bytes(300'000, static_cast<std::uint64_t>(call));
      const auto taken = take(access);
      delete_backup(access.repository, "main", taken.id, access.clock.now());
      ASSERT_GT(find_garbage(access.repository).dead_packs, 0u);
    }
    killed = is_killed_at(call, [](Access& access) {
      (void)collect_garbage(access.repository, access.clock, id_of(access.writer),
                            {.grace = std::chrono::milliseconds{0}});
    });
    expect_whole(call);
    expect_reclaimed(call);
  }
  EXPECT_GT(call, 3);
}

}  // namespace
}  // namespace walvault
