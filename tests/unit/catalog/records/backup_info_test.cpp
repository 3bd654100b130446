#include "catalog/records/backup_info.h"
#include "catalog/records/backup_list.h"

#include <gtest/gtest.h>

#include "repository/tree.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// Every field with a value of its own.
BackupInfo example(const std::string& id = "20261121T104100Z-3f9a") {
  BackupInfo info;
  info.id = id;
  info.cluster = "main";
  info.identity_number = 2;
  info.label = "before the migration";
  info.timeline = {3};
  info.start = {0x1122334455667788};
  info.stop = {0x1122334455667799};
  info.start_time = Timestamp(std::chrono::microseconds(1'790'000'000'123'456));
  info.stop_time = Timestamp(std::chrono::microseconds(1'790'000'100'654'321));
  info.server_version = 150018;
  info.from_standby = true;
  info.host = "db1";
  info.data_directory = "/srv/pg";
  info.writer_version = "0.1.0";
  info.parent_id = "20261120T104100Z-0000";
  info.sequence = 17;
  info.control = {.system_identifier = 4,
                  .control_version = 1300,
                  .catalog_version = 202209061,
                  .checkpoint = {5},
                  .redo = {6},
                  .timeline = {7},
                  .next_full_xid = 0x0000000500000008,
                  .max_connections = 100,
                  .max_worker_processes = 9,
                  .max_wal_senders = 10,
                  .max_prepared_transactions = 11,
                  .max_locks_per_transaction = 64,
                  .block_bytes = 8192,
                  .relation_segment_blocks = 131072,
                  .wal_block_bytes = 4096,
                  .wal_segment_bytes = 16777216,
                  .data_checksum_version = 1};
  info.files = 1000;
  info.size_bytes = 1u << 30;
  info.zero_bytes = 12345;
  info.new_bytes = 54321;
  info.stored_bytes = 777;
  info.duration = std::chrono::milliseconds(98765);
  return info;
}

TEST(BackupInfo, IsReadAsItWasWritten) {
  const auto written = example();
  const auto read = decode_backup_info(encode_backup_info(written));
  EXPECT_EQ(read.id, written.id);
  EXPECT_EQ(read.cluster, written.cluster);
  EXPECT_EQ(read.identity_number, written.identity_number);
  EXPECT_EQ(read.label, written.label);
  EXPECT_EQ(read.timeline, written.timeline);
  EXPECT_EQ(read.start, written.start);
  EXPECT_EQ(read.stop, written.stop);
  EXPECT_EQ(read.start_time, written.start_time);
  EXPECT_EQ(read.stop_time, written.stop_time);
  EXPECT_EQ(read.server_version, written.server_version);
  EXPECT_EQ(read.from_standby, written.from_standby);
  EXPECT_EQ(read.host, written.host);
  EXPECT_EQ(read.data_directory, written.data_directory);
  EXPECT_EQ(read.writer_version, written.writer_version);
  EXPECT_EQ(read.parent_id, written.parent_id);
  EXPECT_EQ(read.sequence, written.sequence);
  const auto& control = read.control;
  EXPECT_EQ(control.system_identifier, 4u);
  EXPECT_EQ(control.control_version, 1300u);
  EXPECT_EQ(control.catalog_version, 202209061u);
  EXPECT_EQ(control.checkpoint, Lsn{5});
  EXPECT_EQ(control.redo, Lsn{6});
  EXPECT_EQ(control.timeline, TimelineId{7});
  EXPECT_EQ(control.next_full_xid, 0x0000000500000008u);
  EXPECT_EQ(control.max_connections, 100u);
  EXPECT_EQ(control.max_worker_processes, 9u);
  EXPECT_EQ(control.max_wal_senders, 10u);
  EXPECT_EQ(control.max_prepared_transactions, 11u);
  EXPECT_EQ(control.max_locks_per_transaction, 64u);
  EXPECT_EQ(control.block_bytes, 8192u);
  EXPECT_EQ(control.relation_segment_blocks, 131072u);
  EXPECT_EQ(control.wal_block_bytes, 4096u);
  EXPECT_EQ(control.wal_segment_bytes, 16777216u);
  EXPECT_EQ(control.data_checksum_version, 1u);
  EXPECT_EQ(read.files, written.files);
  EXPECT_EQ(read.size_bytes, written.size_bytes);
  EXPECT_EQ(read.zero_bytes, written.zero_bytes);
  EXPECT_EQ(read.new_bytes, written.new_bytes);
  EXPECT_EQ(read.stored_bytes, written.stored_bytes);
  EXPECT_EQ(read.duration, written.duration);
}

TEST(BackupInfo, RefusesEveryTruncationAndWhatFollowsTheEnd) {
  auto head = encode_backup_info(example());
  for (std::size_t length = 0; length < head.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_backup_info(ByteView(head).first(length)); }), "corrupt")
        << length;
  }
  head.push_back(0);
  EXPECT_EQ(error_of([&] { (void)decode_backup_info(head); }), "corrupt");
}

TEST(BackupInfo, KeepsWhatTheSecondVersionOfItsHeadAdded) {
  auto written = example();
  EXPECT_EQ(encode_backup_info(written)[0], 1);  // read by programs that know no other
  written.branch = 7;
  written.damaged_pages = {"block 3", "block 4"};
  auto head = encode_backup_info(written);
  EXPECT_EQ(head[0], 2);
  const auto read = decode_backup_info(head);
  EXPECT_EQ(read.branch, 7u);
  EXPECT_EQ(read.damaged_pages, written.damaged_pages);
  EXPECT_EQ(read.duration, written.duration);
  for (std::size_t length = 0; length < head.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_backup_info(ByteView(head).first(length)); }), "corrupt")
        << length;
  }
  written.damaged_pages.assign(damage_texts_max + 1, "x");
  EXPECT_EQ(error_of([&] { (void)decode_backup_info(encode_backup_info(written)); }), "corrupt");
}

TEST(BackupInfo, KeepsWhatTheThirdVersionOfItsHeadAdded) {
  auto written = example();
  written.skipped_files = {"base/16384", "global/1262"};
  auto head = encode_backup_info(written);
  EXPECT_EQ(head[0], 3);
  const auto read = decode_backup_info(head);
  EXPECT_EQ(read.skipped_files, written.skipped_files);
  EXPECT_TRUE(read.damaged_pages.empty());
  EXPECT_FALSE(read.is_whole());
  for (std::size_t length = 0; length < head.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_backup_info(ByteView(head).first(length)); }), "corrupt")
        << length;
  }
  written.skipped_files.assign(skipped_texts_max + 1, "x");
  EXPECT_EQ(error_of([&] { (void)decode_backup_info(encode_backup_info(written)); }), "corrupt");
}

TEST(BackupInfo, RefusesANewerVersionsHead) {
  auto head = encode_backup_info(example());
  head[0] = 4;
  EXPECT_EQ(error_of([&] { (void)decode_backup_info(head); }), "conflict");
}

TEST(BackupInfo, FitsTheHeadOfARootWithTheLongestTexts) {
  auto info = example();
  info.label = std::string(1000, 'l');
  info.host = std::string(255, 'h');
  info.data_directory = std::string(4096, 'd');
  info.damaged_pages.assign(damage_texts_max, std::string(record_text_bytes_max, 'p'));
  info.skipped_files.assign(skipped_texts_max, info.damaged_pages.front());
  EXPECT_LE(encode_backup_info(info).size(), root_head_bytes_max);
}

TEST(BackupInfo, WritesTheServersVersionAsPostgresDoes) {
  auto info = example();
  EXPECT_EQ(info.postgres_version(), "15.18");
  info.server_version = 180001;
  EXPECT_EQ(info.postgres_version(), "18.1");
}

TEST(BackupId, IsTheTimeAndFourDigits) {
  RandomId random{};
  random[0] = 0x3f;
  random[1] = 0x9a;
  const Timestamp time(std::chrono::seconds(1'795'257'660));  // 2026-11-21 10:41:00 UTC
  EXPECT_EQ(make_backup_id(time, random), "20261121T104100Z-3f9a");
  EXPECT_EQ(backup_root_key("main", make_backup_id(time, random)),
            "backups/main/20261121T104100Z-3f9a/1");
}

class BackupListTest : public testing::Test {
 protected:
  void commit(const BackupInfo& info) {
    const auto key = backup_root_key(info.cluster, info.id);
    Root root;
    root.head = encode_backup_info(info);
    ASSERT_TRUE(made_.storage.put_if_absent(key, encode_root(ObjectCodec(), root, key)));
  }
  MemoryRepository made_;
};

TEST_F(BackupListTest, KeepsClustersApart) {
  commit(example("a"));
  auto other = example("x");
  other.cluster = "main2";
  commit(other);
  const auto list = list_backups(made_.repository, "main");
  ASSERT_EQ(list.backups.size(), 1u);
  EXPECT_TRUE(list.damaged.empty());
  EXPECT_TRUE(list_backups(made_.repository, "none").backups.empty());
}

// By positions and the order of taking; never by clocks.
TEST_F(BackupListTest, IsSortedByHistory) {
  struct Taken {
    const char* id;
    std::uint32_t timeline;
    std::uint64_t start;
    std::uint32_t sequence;
    int hour;
  };
  for (const auto& [id, timeline, start, sequence, hour] :
       {Taken{"c", 1, 30, 3, 1},          // with a clock that was right
        Taken{"b", 1, 20, 2, 9000},       // and with one that was ahead
        Taken{"a", 1, 10, 1, 0},          //
        Taken{"copy", 2, 15, 2, 2},       // of a copy, taken between
        Taken{"elsewhere", 1, 40, 1, 3},  // into another repository, and copied
        Taken{"older", 9, 90, 9, 9}}) {
    auto info = example(id);
    info.timeline = {timeline};
    info.branch = 0;
    info.start = {start};
    info.sequence = sequence;
    info.start_time = Timestamp(std::chrono::hours(hour));
    info.identity_number = std::string(id) == "older" ? 1 : 2;
    commit(info);
  }
  const auto ids = [&] {
    std::string text;
    for (const auto& each : list_backups(made_.repository, "main").backups) text += each.id + ",";
    return text;
  };
  EXPECT_EQ(ids(), "older,a,b,copy,c,elsewhere,");
}

TEST_F(BackupListTest, HidesNoBackupBehindADamagedOne) {
  commit(example("a"));
  commit(example("b"));
  const auto key = backup_root_key("main", "a");
  const auto root = *made_.storage.find(key, whole_object);
  for (const auto byte : {0u, 50u, 100u}) {
    auto damaged = root;
    damaged[byte] ^= 1;
    made_.storage.overwrite(key, damaged);
    const auto list = list_backups(made_.repository, "main");
    ASSERT_EQ(list.backups.size(), 1u);
    EXPECT_EQ(list.backups[0].id, "b");
    EXPECT_EQ(list.damaged, std::vector<std::string>{key});
  }
}

TEST_F(BackupListTest, LeavesOutTheTombstonesOfWritersGivenUp) {
  commit(example("a"));
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::tombstone, backup_root_key("main", "b"), {}));
  const auto list = list_backups(made_.repository, "main");
  EXPECT_EQ(list.backups.size(), 1u);
  EXPECT_TRUE(list.damaged.empty());
}

TEST_F(BackupListTest, LeavesOutWhatWasStoredBeforeTheClusterWasRemoved) {
  const ClusterIdentity identity{.name = "main",
                                 .system_identifier = 77,
                                 .postgres_major = 15,
                                 .geometry = {16u << 20},
                                 .registered = {}};
  const auto commit_with = [&](const std::string& id, std::uint32_t number) {
    auto info = example(id);
    info.identity_number = number;
    commit(info);
  };
  (void)add_cluster(made_.repository, identity);
  commit_with("a", 1);
  remove_cluster(made_.repository, "main", {});
  EXPECT_EQ(add_cluster(made_.repository, identity).identity.number, 3u);
  EXPECT_TRUE(list_backups(made_.repository, "main").backups.empty());
  commit_with("b", 3);
  auto upgraded = identity;
  upgraded.system_identifier = 78;
  (void)upgrade_cluster(made_.repository, upgraded);
  commit_with("c", 4);
  EXPECT_EQ(list_backups(made_.repository, "main").backups.size(), 2u);
}

TEST_F(BackupListTest, FindsABackupByItsId) {
  const std::vector<BackupInfo> backups{example("a"), example("b")};
  EXPECT_EQ(get_backup(backups, "b").id, "b");
  EXPECT_EQ(error_of([&] { (void)get_backup(backups, "c"); }), "not_found");
  const auto words = words_of_error([&] { (void)get_backup(backups, "c"); });
  EXPECT_NE(words.find("a, b"), std::string::npos) << words;
}

}  // namespace
}  // namespace walvault
