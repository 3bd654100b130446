// Every command at work on storages whose calls fail, are cut, or lose their answers, at random:
// whatever was acknowledged is there and whole, whatever failed. Some hundreds of faults, ten
// thousand with --long, in steps of a seed each, so that a run can go on where another ended:
// WALVAULT_FAULT_STEPS=FIRST-LAST.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "archiving/push.h"
#include "catalog/copy/repository_copy.h"
#include "catalog/records/backup_list.h"
#include "catalog/repair/repository_repair.h"
#include "catalog/retention/expiry.h"
#include "repository/gc.h"
#include "support/fake_backup.h"
#include "support/random_faults.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

constexpr unsigned one_in = 60;
constexpr int operations_in_step = 60;

class Step {
 public:
  explicit Step(unsigned seed)
      : random_(seed),
        here_faults_(made_.storage, seed * 2 + 1),
        there_faults_(copy_.storage, seed * 2 + 2) {
    auto identity = test_cluster();
    (void)add_cluster(made_.repository, identity);
    archive_needed_wal(WalArchive(made_.repository, test_cluster()));
  }

  void run() {
    for (int i = 0; i < operations_in_step && !testing::Test::HasFailure(); ++i) {
      made_.clock.advance(std::chrono::minutes(10));
      here_faults_.set_rate(one_in);
      there_faults_.set_rate(one_in);
      const auto which = random_() % 12;
      SCOPED_TRACE("operation " + std::to_string(i) + ": " + std::to_string(which));
      if (which < 4) push();
      if (which >= 4 && which < 7) back_up_once();
      if (which == 7) expire();
      if (which == 8) collect();
      if (which == 9 || which == 10) copy();
      if (which == 11) damage_and_repair();
      here_faults_.set_rate(0);
      there_faults_.set_rate(0);
      expect_acknowledged();
    }
  }
  [[nodiscard]] std::uint64_t faults() const {
    return here_faults_.faults() + there_faults_.faults();
  }

 private:
  // What it throws is no failure of the test, if a call failed.
  template <typename Action>
  bool succeeds(Action&& action) {
    const auto before = faults();
    try {
      action();
      return true;
    } catch (const Error& error) {
      EXPECT_GT(faults(), before) << one_line(error);
      return false;
    }
  }

  RandomId next_run() {
    auto run = id_of(3);
    run[1] = static_cast<std::uint8_t>(++runs_);
    run[2] = static_cast<std::uint8_t>(runs_ >> 8);
    return run;
  }

  void push() {
    // Again what was not acknowledged, and sometimes what was.
    const WalSegmentSpec spec{.number = random_() % 4 == 0 && next_ > 5 ? next_ - 1 : next_};
    const auto path = write_test_file(pg_wal_.path(), spec.name(), chained_segment(1, spec.number));
    const bool is_done = succeeds([&] {
      const auto repository = Repository::open(here_faults_);
      (void)push_wal_file(WalArchive(repository, test_cluster()), path, made_.clock, {});
    });
    if (!is_done) return;
    segments_.insert(spec.number);
    next_ = spec.number + 1;
  }

  void back_up_once() {
    server_.files["base/5/1259"][random_() % 8000] ^= 1;
    std::string id;
    const bool is_done = succeeds([&] {
      const auto repository = Repository::open(here_faults_);
      BaseBackupRequest request;
      request.wal_timeout = std::chrono::milliseconds(1);
      id = take_base_backup(WalArchive(repository, test_cluster()), server_, next_run(),
                            made_.clock, request, Reporter())
               .id;
    });
    if (is_done) backups_[id] = server_.all_files();
  }

  void expire() {
    RetentionPolicy policy;
    policy.keep_last = 3;
    (void)succeeds([&] {
      const auto repository = Repository::open(here_faults_);
      const auto plan = plan_expiry(repository, "main", policy, made_.clock.now(), false);
      (void)carry_out_expiry(repository, "main", plan, next_run(), made_.clock.now(), [] {});
    });
    // Deleted is what is on record as that, and nothing else: the newest three stay.
    const auto deleted = deleted_backups(made_.repository, "main");
    EXPECT_GE(backups_.size(), std::size_t{0});
    std::erase_if(backups_, [&](const auto& backup) { return deleted.contains(backup.first); });
  }

  void collect() {
    (void)succeeds([&] {
      const auto repository = Repository::open(here_faults_);
      (void)collect_garbage(repository, made_.clock, next_run(),
                            {.grace = {}, .give_up_after = std::chrono::hours(6)});
    });
  }

  void copy() {
    bool is_whole = false;
    const bool is_done = succeeds([&] {
      const auto from = Repository::open(here_faults_);
      const auto to = Repository::open(there_faults_);
      is_whole = copy_repository(from, to, made_.clock, {.run = next_run()}, {}).is_whole();
    });
    if (!is_done || !is_whole) return;
    for (const auto& [id, files] : backups_) expect_backup(copy_.repository, id, files);
    const WalArchive there(copy_.repository, test_cluster());
    if (backups_.empty()) return;
    for (const auto number : segments_) {
      EXPECT_TRUE(there.has_segment({.timeline = {1}, .number = number})) << number;
    }
  }

  // Of an object that both have: of one alone nobody could bring it back.
  void damage_and_repair() {
    std::vector<std::string> keys;
    for (const std::string prefix : {"packs/", "backups/", "wal/", "clusters/"}) {
      // Before the first segment that is there nobody misses one, but a backup.
      if (prefix == "wal/" && backups_.empty()) continue;
      for (const auto& key : keys_under(made_.storage, prefix)) {
        const auto there = copy_.storage.find(key, whole_object);
        if (there && *there == made_.storage.find(key, whole_object)) keys.push_back(key);
      }
    }
    if (keys.empty()) return;
    const auto key = keys[random_() % keys.size()];
    SCOPED_TRACE(key);
    auto bytes = made_.storage.find(key, whole_object).value();
    if (random_() % 2 == 0) {
      made_.storage.remove({key});
    } else {
      bytes[random_() % bytes.size()] ^= 4;
      made_.storage.overwrite(key, bytes);
    }
    const auto repair = [&] {
      const auto ours = Repository::open(here_faults_);
      const auto theirs = Repository::open(there_faults_);
      return repair_repository(ours, &theirs, made_.clock, {.run = next_run()}, {});
    };
    (void)succeeds([&] { (void)repair(); });
    here_faults_.set_rate(0);
    there_faults_.set_rate(0);
    const auto report = repair();
    for (const auto& each : report.unmended) ADD_FAILURE() << each.key << ": " << each.why;
  }

  void expect_acknowledged() {
    const WalArchive archive(made_.repository, test_cluster());
    for (const auto number : segments_) {
      const auto spec = WalSegmentSpec{.number = number};
      const auto key = archive.key_of(spec.name());
      const auto object = made_.storage.find(key, whole_object);
      ASSERT_TRUE(object) << key;
      EXPECT_TRUE(decode_wal_object(ObjectCodec(), *object, key, 1) == chained_segment(1, number))
          << key;
    }
    for (const auto& [id, files] : backups_) expect_backup(made_.repository, id, files);
  }
  static void expect_backup(const Repository& repository, const std::string& id,
                            const Files& files) {
    try {
      TreeReader tree(repository, backup_root_key("main", id));
      EXPECT_TRUE(read_tree(tree) == files) << id;
    } catch (const Error& error) {
      ADD_FAILURE() << id << ": " << one_line(error);
    }
  }

  std::mt19937 random_;
  MemoryRepository made_;
  MemoryRepository copy_;
  RandomFaults here_faults_;
  RandomFaults there_faults_;
  TemporaryDirectory pg_wal_;
  FakeServer server_;
  std::uint64_t next_ = 5;
  unsigned runs_ = 0;
  // Acknowledged:
  std::set<std::uint64_t> segments_;
  std::map<std::string, Files> backups_;
};

TEST(RandomFaults, LoseNothingThatWasAcknowledged) {
  const char* const is_long = std::getenv("WALVAULT_TEST_LONG");
  const char* const asked = std::getenv("WALVAULT_FAULT_STEPS");
  unsigned first = 1;
  unsigned last = 1000;
  const std::uint64_t enough = is_long != nullptr && *is_long == '1' ? 10'000 : 150;
  if (asked != nullptr) std::sscanf(asked, "%u-%u", &first, &last);
  std::uint64_t faults = 0;
  unsigned step = first;
  for (; step <= last && (asked != nullptr || faults < enough); ++step) {
    SCOPED_TRACE("WALVAULT_FAULT_STEPS=" + std::to_string(step) + "-" + std::to_string(step));
    Step one(step);
    one.run();
    faults += one.faults();
    if (testing::Test::HasFailure()) break;
  }
  std::printf("%llu faults in steps %u to %u\n", static_cast<unsigned long long>(faults), first,
              step - 1);
  EXPECT_GT(faults, asked != nullptr ? 0u : enough - 1);
}

}  // namespace
}  // namespace walvault
