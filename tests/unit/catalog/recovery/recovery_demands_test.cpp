#include "catalog/recovery/recovery_demands.h"

#include <gtest/gtest.h>

#include "catalog/recovery/proved_plan.h"
#include "catalog/recovery/recovery_window.h"
#include "support/catalog_examples.h"
#include "support/memory_repository.h"
#include "support/summary_example.h"
#include "support/test_data.h"
#include "support/wal_builder.h"

namespace walvault {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t first_segment = 3;

enum class Summaries { none, version_1, version_2 };

// A server's WAL from segment 3 on, with a backup in its first pages.
class RecoveryDemandsTest : public testing::Test {
 protected:
  RecoveryDemandsTest() { begin_anew(); }

  void begin_anew() {
    for (const auto* const prefix : {"wal/", "wal-ledger/"}) {
      std::vector<std::string> keys;
      made_.storage.list(prefix, [&](const ObjectInfo& object) { keys.push_back(object.key); });
      made_.storage.remove(keys);
    }
    wal_ = WalBuilder(first_segment);
    wal_.add_filler(300);
  }

  void archive(Summaries summaries = Summaries::version_2) {
    wal_.add_switch();
    const auto segments = (wal_.pages().size() + test_segment_bytes - 1) / test_segment_bytes;
    for (std::size_t i = 0; i < segments; ++i) {
      const SegmentName name{.timeline = {1}, .number = first_segment + i};
      const auto content = wal_.segment(i);
      WalSummarizer summarizer(parse_wal_segment_header(content), name.start(test_geometry), {1});
      summarizer.read(content);
      const StoredSummary stored{.summary = summarizer.finish(), .origin = origins_[name.number]};
      const bool is_first = summaries == Summaries::version_1;
      Bytes summary;
      if (is_first) summary = encode_wal_summary_1(stored.summary);
      if (summaries == Summaries::version_2) summary = encode_wal_summary(stored);
      archive_file(archive_, name.text(test_geometry), content, minute_of(name.number), {}, summary,
                   is_first ? 1 : 2);
    }
  }

  [[nodiscard]] ProvedPlan plan(const RecoveryTarget& target) const {
    return plan_proved_recovery({archive_, backups_}, {.target = target});
  }
  [[nodiscard]] static RecoveryTarget to_time(std::uint64_t minute, int second) {
    RecoveryTarget target;
    target.kind = TargetKind::time;
    target.time = minute_of(minute) + seconds(second);
    target.asked = to_rfc3339(target.time);
    return target;
  }
  [[nodiscard]] RecoverableMoments moments() const {
    return recoverable_moments({archive_.at_this_moment(true), backups_});
  }
  // A server that stops and starts with other settings.
  Lsn restart(WalLevel level, std::uint32_t max_connections = 100) {
    auto checkpoint = Bytes(88);
    wal_.add_main(0, 0x00, 0, checkpoint);
    return wal_.add_parameter_change(level, max_connections);
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  WalBuilder wal_{first_segment};
  std::map<std::uint64_t, WalOrigin> origins_;
  std::vector<BackupInfo> backups_{backup_of("a", 1, first_segment, first_segment)};
};

TEST_F(RecoveryDemandsTest, NoRecoveryGoesPastMinimalWal) {
  for (const auto summaries : {Summaries::version_2, Summaries::version_1, Summaries::none}) {
    begin_anew();
    const auto commit = wal_.add_commit(3700, minute_of(3) + seconds(10));
    wal_.fill(3, 3000);
    wal_.add_filler(5000);
    const auto second = wal_.add_commit(3701, minute_of(4) + seconds(10));
    const auto minimal = restart(WalLevel::minimal);
    wal_.add_commit(3702, minute_of(4) + seconds(20));
    restart(WalLevel::replica);
    wal_.add_commit(3703, minute_of(4) + seconds(30));
    archive(summaries);
    EXPECT_EQ(plan(to_time(3, 5)).stop.lsn, commit);
    EXPECT_EQ(plan(to_time(4, 5)).stop.lsn, second);
    for (const auto& target : {to_time(4, 15), to_time(4, 25), RecoveryTarget{}}) {
      const auto words = words_of_error([&] { (void)plan(target); });
      EXPECT_NE(words.find("wal_level = minimal"), std::string::npos) << words;
      EXPECT_EQ(error_of([&] { (void)plan(target); }), "unreachable_target");
    }
    RecoveryTarget before;
    before.kind = TargetKind::xid;
    before.xid = 3701;
    before.asked = "3701";
    EXPECT_EQ(plan(before).stop.lsn, second);
    before.xid = 3702;
    EXPECT_EQ(error_of([&] { (void)plan(before); }), "unreachable_target");

    const auto found = moments();
    ASSERT_EQ(found.windows.size(), 1u);
    EXPECT_EQ(found.windows[0].latest, minimal);
    EXPECT_EQ(found.windows[0].last_transaction, minute_of(4) + seconds(10));
    ASSERT_EQ(found.gaps.size(), 1u);
    EXPECT_EQ(found.gaps[0].from, minimal);
  }
}

TEST_F(RecoveryDemandsTest, ABackupBehindMinimalWalIsAWindowOfItsOwn) {
  const auto minimal = restart(WalLevel::minimal);
  restart(WalLevel::replica);
  wal_.fill(3, 3000);
  wal_.add_filler(5000);
  backups_.push_back(backup_of("b", 1, 4, 4));
  wal_.add_commit(3703, minute_of(4) + seconds(30));
  archive();
  EXPECT_EQ(plan({}).plan.backup.id, "b");
  const auto found = moments();
  ASSERT_EQ(found.windows.size(), 2u);
  EXPECT_EQ(found.windows[0].latest, minimal);
  EXPECT_EQ(found.windows[1].earliest, backups_[1].stop);
}

TEST_F(RecoveryDemandsTest, ARecordThatCrossesIntoTheNextSegmentCounts) {
  for (const std::size_t before : {8u, 16u, 24u, 32u, 40u}) {
    SCOPED_TRACE(before);
    begin_anew();
    const auto commit = wal_.add_commit(3700, minute_of(3) + seconds(10));
    wal_.fill_exactly(3, before);
    const auto minimal = wal_.add_parameter_change(WalLevel::minimal);
    wal_.add_commit(3701, minute_of(4) + seconds(10));
    wal_.fill_exactly(4, before);
    wal_.add_tablespace(16500, "/srv/fast");
    wal_.add_commit(3702, minute_of(5) + seconds(10));
    archive();
    EXPECT_EQ(plan(to_time(3, 5)).stop.lsn, commit);
    EXPECT_EQ(error_of([&] { (void)plan(to_time(4, 5)); }), "unreachable_target");
    EXPECT_EQ(moments().windows.at(0).latest, minimal);
  }
}

TEST_F(RecoveryDemandsTest, TheLargestSettingOnTheWayIsRequired) {
  backups_[0].control.max_connections = 20;
  backups_[0].control.max_wal_senders = 12;
  wal_.add_commit(3700, minute_of(3) + seconds(10));
  restart(WalLevel::replica, 60);
  const auto commit = wal_.add_commit(3701, minute_of(3) + seconds(20));
  restart(WalLevel::replica, 40);
  wal_.add_tablespace(16500, "/srv/fast");
  wal_.add_tablespace(16501, "");
  wal_.add_commit(3702, minute_of(3) + seconds(30));
  archive();
  EXPECT_EQ(recovery_demands(plan(to_time(3, 5))).settings.max_connections, 20u);
  const auto later = plan(to_time(3, 15));
  EXPECT_EQ(later.stop.lsn, commit);
  EXPECT_EQ(recovery_demands(later).settings, (RequiredSettings{.max_connections = 60,
                                                                .max_worker_processes = 8,
                                                                .max_wal_senders = 12,
                                                                .max_prepared_transactions = 0,
                                                                .max_locks_per_transaction = 64}));
  EXPECT_TRUE(recovery_demands(later).tablespaces.empty());
  const auto all = recovery_demands(plan({}));
  ASSERT_EQ(all.tablespaces.size(), 1u);
  EXPECT_EQ(all.tablespaces[0].location, "/srv/fast");
}

// What a server writes when it goes on stands in the segment behind, which says nothing of a
// restart itself.
TEST_F(RecoveryDemandsTest, OfVersion1TheSegmentBehindARestartIsReadToo) {
  wal_.fill_exactly(3, 120);
  wal_.add_main(0, 0x00, 0, Bytes(88));
  ASSERT_EQ(wal_.add_parameter_change(WalLevel::replica, 77).value / test_segment_bytes, 4u);
  wal_.add_commit(3701, minute_of(4) + seconds(20));
  archive(Summaries::version_1);
  EXPECT_EQ(recovery_demands(plan({})).settings.max_connections, 77u);
}

TEST_F(RecoveryDemandsTest, ASegmentThatFollowsAnotherOneThanIsArchivedEndsTheChain) {
  for (std::uint64_t segment = 3; segment < 6; ++segment) {
    wal_.add_commit(3700, minute_of(segment) + seconds(10));
    wal_.fill(segment, 3000);
    wal_.add_filler(5000);
  }
  origins_[4].before = sha256(wal_.segment(0));
  origins_[5].before = sha256(as_bytes("another server's"));
  origins_[3].archiver.emplace().fill(1);
  origins_[4].archiver.emplace().fill(2);
  archive();
  const auto proved = plan(to_time(3, 5));
  EXPECT_EQ(proved.chain.broken_in.number, 5u);
  EXPECT_EQ(proved.chain.linked_by_content, 1u);
  EXPECT_EQ(proved.chain.linked_by_position, 0u);
  ASSERT_EQ(proved.chain.archiver_changes.size(), 1u);
  EXPECT_EQ(proved.chain.archiver_changes[0].segment.number, 4u);
  const auto words = words_of_error([&] { (void)plan({}); });
  EXPECT_NE(words.find("had another segment before it"), std::string::npos) << words;
  // By ledgers too.
  EXPECT_EQ(moments().windows.at(0).latest, proved.chain.end);
}

}  // namespace
}  // namespace walvault
