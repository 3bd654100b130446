// A storage that fails once, at every call in turn. Whatever fails, and
// whether or not it was done: what was there stays as it was, nothing counts
// that is not whole, and trying again succeeds.
#include <gtest/gtest.h>

#include "archiving/push.h"
#include "catalog/records/backup_list.h"
#include "catalog/retention/expiry.h"
#include "repository/gc.h"
#include "storage/decorators/retrying_storage.h"
#include "support/catalog_examples.h"
#include "support/fake_backup.h"
#include "support/faulty_storage.h"
#include "support/stored_backups.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// All backups but the newest, whose number is a number of calls.
void forget_old_backups(MemoryStorage& storage) {
  for (const auto* prefix : {"backups/", "root-copies/"}) {
    auto keys = keys_under(storage, prefix);
    if (!keys.empty()) keys.pop_back();
    storage.remove(keys);
  }
}

class StorageFaults : public testing::TestWithParam<Fault> {
 protected:
  MemoryRepository made_;
  FaultyStorage faulty_{made_.storage};
  Repository repository_ = Repository::open(faulty_);
  WalArchive archive_{repository_, test_cluster()};
  TemporaryDirectory pg_wal_;
};

TEST_P(StorageFaults, LeaveAPushWholeOrUndone) {
  int call = 0;
  do {
    ASSERT_LT(++call, 100);
    const WalSegmentSpec spec{.number = static_cast<std::uint64_t>(call)};
    const auto path = write_test_file(pg_wal_.path(), spec.name(), wal_segment(spec));
    // Every second time it is there already.
    const bool repeated = call % 2 == 0;
    faulty_.fail_at(0, GetParam());
    if (repeated) (void)push_wal_file(archive_, path, made_.clock, {});

    faulty_.fail_at((call + 1) / 2, GetParam());
    const auto outcome = error_of([&] { (void)push_wal_file(archive_, path, made_.clock, {}); });
    EXPECT_EQ(outcome, faulty_.has_failed() ? "unavailable" : "nothing");
    const auto key = archive_.key_of(spec.name());
    if (const auto object = made_.storage.find(key, whole_object)) {
      EXPECT_TRUE(decode_wal_object(ObjectCodec(), *object, key, 1) == wal_segment(spec));
    } else {
      EXPECT_NE(outcome, "nothing");
    }

    const bool over = !faulty_.has_failed() && repeated;
    faulty_.fail_at(0, GetParam());
    (void)push_wal_file(archive_, path, made_.clock, {});
    EXPECT_TRUE(decode_wal_object(ObjectCodec(), *made_.storage.find(key, whole_object), key, 1) ==
                wal_segment(spec));
    if (over) break;
  } while (true);
  EXPECT_GT(call, 4);  // a repeated push makes two calls at least
}

TEST_P(StorageFaults, LeaveABaseBackupWholeOrUndone) {
  archive_needed_wal(archive_);
  FakeServer server;
  BaseBackupRequest request;
  request.wal_timeout = std::chrono::milliseconds(1);
  request.unfinished_bytes_min = 1;
  std::uint8_t writer = 0;
  faulty_.fail_at(0, GetParam());
  (void)back_up(archive_, server, ++writer, made_.clock, request);  // one to borrow from

  int undone = 0;
  for (int call = 1;; ++call) {
    ASSERT_LT(call, 300);
    forget_old_backups(made_.storage);
    // Each further one is a further call.
    if (call % 4 == 0) made_.storage.remove(keys_under(made_.storage, "unfinished/"));
    made_.clock.advance(std::chrono::hours(1));
    server.files["base/5/1259"][static_cast<std::size_t>(call) * 1000] ^= 1;
    const auto before = list_backups(made_.repository, "main").backups.size();
    faulty_.fail_at(call, GetParam());
    const auto outcome =
        error_of([&] { (void)back_up(archive_, server, ++writer, made_.clock, request); });
    const bool failed = faulty_.has_failed();
    faulty_.fail_at(0, GetParam());
    // What a chunk could be stored as a difference from need not be had.
    EXPECT_TRUE(outcome == "nothing" || (failed && outcome == "unavailable")) << call << outcome;
    undone += outcome == "nothing" ? 0 : 1;

    const auto list = list_backups(made_.repository, "main");
    EXPECT_TRUE(list.damaged.empty()) << call;
    ASSERT_LE(list.backups.size(), before + 1) << call;
    EXPECT_EQ(list.backups.size(), root_keys(made_.storage).size());
    if (list.backups.size() > before) {
      expect_whole_backup(made_.repository, list.backups.back(), server);
    } else {
      EXPECT_NE(outcome, "nothing") << call;
    }
    if (!failed) break;

    made_.clock.advance(std::chrono::hours(1));
    const auto next = back_up(archive_, server, ++writer, made_.clock, request);
    expect_whole_backup(made_.repository, next, server);
  }
  // The list, the parent's head and root, the pin, the plans, the parent
  // again, its file table and maps, packs, WAL, root.
  EXPECT_GT(undone, 10);
}

// Whatever call fails: what stays is whole, and the next run does the rest.
TEST_P(StorageFaults, LeaveAnExpiryToTheNextRun) {
  RetentionPolicy policy;
  policy.keep_last = 1;
  const auto now = minute_of(40);
  std::uint8_t run = 0;
  const auto expire = [&] {
    const auto plan = plan_expiry(repository_, "main", policy, now, true);
    (void)carry_out_expiry(repository_, "main", plan, id_of(++run), now, [] {});
  };
  faulty_.fail_at(0, GetParam());
  (void)add_cluster(repository_, test_cluster());
  archive_segments(WalArchive(made_.repository, test_cluster()), 1, 1, 9);
  std::map<std::string, Bytes> wal;
  for (const auto& key : keys_under(made_.storage, "wal/")) {
    wal[key] = made_.storage.find(key, whole_object).value();
  }
  int call = 1;
  for (bool failed = true; failed; ++call) {
    ASSERT_LT(call, 200);
    for (const auto* prefix : {"backups/", "root-copies/", "deleted/", "wal/", "wal-ledger/"}) {
      made_.storage.remove(keys_under(made_.storage, prefix));
    }
    for (const auto& [key, object] : wal) {
      ASSERT_TRUE(made_.storage.put_if_absent(key, object));
    }
    store_backup(made_.repository, backup_of("a", 1, 2, 3));
    store_backup(made_.repository, backup_of("b", 1, 6, 7));
    faulty_.fail_at(call, GetParam());
    const auto outcome = error_of(expire);
    failed = faulty_.has_failed();
    // That ledgers cannot be stored is no error.
    EXPECT_TRUE(outcome == "nothing" || (failed && outcome == "unavailable")) << call << outcome;
    faulty_.fail_at(0, GetParam());
    const auto whole_from_b = [&] {
      const auto list = list_backups(made_.repository, "main");
      const WalArchive archive(made_.repository, test_cluster());
      const auto moments = recoverable_moments({archive, list.backups});
      ASSERT_FALSE(moments.windows.empty()) << call;
      EXPECT_LE(moments.windows.back().earliest, backup_of("b", 1, 6, 7).stop) << call;
      EXPECT_EQ(moments.windows.back().latest.value, 10 * test_segment_bytes) << call;
    };
    whole_from_b();
    expire();
    whole_from_b();
    EXPECT_EQ(root_keys(made_.storage).size(), 1u) << call;
    EXPECT_EQ(WalArchive(made_.repository, test_cluster()).segments({1}).front().number, 6u);
    EXPECT_TRUE(keys_under(made_.storage, "wal-expiry/").empty()) << call;
  }
  EXPECT_GT(call, 15);
}

TEST_P(StorageFaults, LeaveAGcToTheNextRun) {
  archive_needed_wal(archive_);
  FakeServer server;
  std::uint8_t writer = 0;
  const auto collect = [&] {
    (void)collect_garbage(repository_, made_.clock, id_of(++writer), {});
  };
  faulty_.fail_at(0, GetParam());
  const auto kept = back_up(archive_, server, ++writer, made_.clock);
  const auto whole = server.files;
  int call = 1;
  for (bool failed = true; failed; ++call) {
    ASSERT_LT(call, 100);
    made_.clock.advance(std::chrono::hours(1));
    server.files["base/5/1259"] = random_bytes(300'000, static_cast<std::uint64_t>(call));
    const auto taken = back_up(archive_, server, ++writer, made_.clock);
    delete_backup(made_.repository, "main", taken.id, made_.clock.now());
    faulty_.fail_at(call, GetParam());
    const auto outcome = error_of(collect);
    failed = faulty_.has_failed();
    faulty_.fail_at(0, GetParam());
    EXPECT_EQ(outcome, failed ? "unavailable" : "nothing") << call;
    collect();
    EXPECT_EQ(find_garbage(made_.repository).dead_packs, 0u) << call;
    server.files = whole;
    expect_whole_backup(made_.repository, kept, server);
  }
  EXPECT_GT(call, 8);
}

INSTANTIATE_TEST_SUITE_P(EveryKind, StorageFaults,
                         testing::Values(Fault::transient, Fault::permanent, Fault::lost_reply),
                         [](const auto& test) -> std::string {
                           switch (test.param) {
                             case Fault::transient: return "Transient";
                             case Fault::permanent: return "Permanent";
                             case Fault::lost_reply: return "LostReply";
                           }
                           return "";
                         });

// Behind a RetryingStorage nobody notices one transient fault, wherever it is.
class RetriedFaults : public testing::TestWithParam<Fault> {
 protected:
  MemoryRepository made_;
  FakeClock pauses_;  // storages are used by several threads, but fail once
  FaultyStorage* faulty_ = nullptr;
  std::unique_ptr<RetryingStorage> retrying_ = [this] {
    auto faulty = std::make_unique<FaultyStorage>(made_.storage);
    faulty_ = faulty.get();
    return std::make_unique<RetryingStorage>(std::move(faulty), pauses_);
  }();
  Repository repository_ = Repository::open(*retrying_);
  WalArchive archive_{repository_, test_cluster()};
};

TEST_P(RetriedFaults, AreNotNoticedByAPush) {
  TemporaryDirectory pg_wal;
  for (int call = 1; call <= 3; ++call) {
    const WalSegmentSpec spec{.number = static_cast<std::uint64_t>(call)};
    const auto path = write_test_file(pg_wal.path(), spec.name(), wal_segment(spec));
    for (int again = 0; again < 2; ++again) {
      faulty_->fail_at(call, GetParam());
      EXPECT_EQ(error_of([&] { (void)push_wal_file(archive_, path, made_.clock, {}); }), "nothing");
    }
    const auto key = archive_.key_of(spec.name());
    EXPECT_TRUE(decode_wal_object(ObjectCodec(), *made_.storage.find(key, whole_object), key, 1) ==
                wal_segment(spec));
  }
}

TEST_P(RetriedFaults, AreNotNoticedByABaseBackup) {
  archive_needed_wal(archive_);
  FakeServer server;
  std::uint8_t writer = 0;
  for (int call = 1;; ++call) {
    ASSERT_LT(call, 100);
    forget_old_backups(made_.storage);
    made_.clock.advance(std::chrono::hours(1));
    server.files["base/5/1259"][static_cast<std::size_t>(call) * 1000] ^= 1;
    faulty_->fail_at(call, GetParam());
    const auto backup = back_up(archive_, server, ++writer, made_.clock);
    expect_whole_backup(made_.repository, backup, server);
    if (!faulty_->has_failed()) break;
  }
  EXPECT_GT(writer, 10);
}

INSTANTIATE_TEST_SUITE_P(Transient, RetriedFaults,
                         testing::Values(Fault::transient, Fault::lost_reply),
                         [](const auto& test) -> std::string {
                           return test.param == Fault::transient ? "Undone" : "LostReply";
                         });

}  // namespace
}  // namespace walvault
