#include "catalog/find/change_finder.h"

#include <gtest/gtest.h>

#include "catalog/wal/stored_summary.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

constexpr std::uint64_t first_segment = 3;
const RelationFile pg_class{.tablespace = 1663, .database = 5, .number = 1259};
const RelationFile orders{.tablespace = 1663, .database = 5, .number = 20'001};
const RelationFile orders_key{.tablespace = 1663, .database = 5, .number = 20'002};
const RelationFile made{.tablespace = 1663, .database = 5, .number = 20'100};

class ChangeFinderTest : public testing::Test {
 protected:
  void create_file(std::uint32_t xid, const RelationFile& file) {
    ByteWriter main;
    WalBuilder::write_relation(main, file);
    main.u32(0);
    wal_.add_main(2, 0x10, xid, main.bytes());
  }
  Lsn drop_database(std::uint32_t xid, std::uint32_t database) {
    ByteWriter main;
    main.u32(database);
    main.u32(1);
    main.u32(1663);
    return wal_.add_main(4, 0x20, xid, main.bytes());
  }
  void next_segment() {
    while (wal_.left_in_segment() > 10'000) wal_.add_filler(2000);
    wal_.add_filler(12'000);
  }
  void archive() {
    wal_.add_switch();
    const auto count = wal_.pages().size() / test_segment_bytes;
    for (std::size_t i = 0; i < count; ++i) {
      const SegmentName name{.timeline = {1}, .number = first_segment + i};
      archive_file(archive_, name.text(test_geometry), wal_.segment(i), noon_);
    }
  }
  [[nodiscard]] std::vector<TransactionChange> find(const ChangeQuery& query) {
    std::vector<TransactionChange> changes;
    result_ = find_changes(
        archive_, archive_.history({1}), {first_segment * test_segment_bytes}, query,
        [&](const TransactionChange& change) { changes.push_back(change); }, [] {});
    return changes;
  }
  [[nodiscard]] TransactionChange only(const ChangeQuery& query) {
    const auto changes = find(query);
    EXPECT_EQ(changes.size(), 1u);
    return changes.empty() ? TransactionChange{} : changes.front();
  }
  void name_relations() {
    CatalogueSnapshot snapshot{.lsn = {1}, .taken = noon_, .databases = {}};
    snapshot.databases.push_back({.oid = 5, .name = "app", .unknown = {}, .relations = {}});
    snapshot.databases.back().relations = {
        {.file = orders, .oid = 20'001, .kind = 'r', .name = "public.orders"},
        {.file = orders_key, .oid = 20'002, .kind = 'i', .name = "public.orders_pkey"}};
    ASSERT_TRUE(put_catalogue(made_.repository, archive_.identity(), snapshot));
  }

  static constexpr auto files_only = [] {
    ChangeQuery query;
    query.files = true;
    return query;
  };

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  WalBuilder wal_{first_segment};
  Timestamp noon_ = minute_of(0);
  ChangeSearch result_;
};

TEST_F(ChangeFinderTest, ADropMayTakeSeveralSegmentsAndSubtransactions) {
  wal_.add_filler(100);
  wal_.add_delete(701, pg_class);  // 701 and 702 are parts of 700
  next_segment();
  wal_.add_delete(702, pg_class);
  wal_.add_commit(690, noon_);
  next_segment();
  const auto end =
      wal_.add_end(700, noon_, {.subtransactions = {701, 702}, .dropped = {orders, orders_key}});
  archive();
  name_relations();
  const auto change = only(files_only());
  EXPECT_EQ(change.kind, ChangeKind::dropped);
  EXPECT_EQ(change.lsn, end);
  EXPECT_EQ(change.stop, end);
  EXPECT_EQ(change.xid, 700u);
  ASSERT_EQ(change.relations.size(), 2u);
  EXPECT_EQ(change.relations[0].name, "public.orders");
  EXPECT_EQ(change.relations[0].database, "app");
  EXPECT_TRUE(change.relations[0].removed);
  EXPECT_EQ(result_.segments, 3u);
}

TEST_F(ChangeFinderTest, TheEndMayCrossIntoTheNextSegment) {
  wal_.add_filler(100);
  wal_.add_delete(700, pg_class);
  while (wal_.left_in_segment() > 12'000) wal_.add_filler(2000);
  wal_.add_filler(wal_.left_in_segment() - 8192 - 24 - 5);
  wal_.add_filler(8192 - 24 - 104 - 24 - 5);
  std::vector<RelationFile> many(40, orders);
  const auto end = wal_.add_end(700, noon_, {.dropped = many});
  wal_.add_filler(100);
  archive();
  EXPECT_EQ(only(files_only()).lsn, end);
}

TEST_F(ChangeFinderTest, TellsTruncatesFromReindexesByTheNames) {
  wal_.add_filler(100);
  create_file(700, made);
  wal_.add_end(700, noon_, {.dropped = {orders, orders_key}});
  create_file(701, made);
  wal_.add_end(701, noon_, {.dropped = {orders_key}});
  archive();
  for (const auto& change : find(files_only())) {
    EXPECT_EQ(change.kind, ChangeKind::truncated_or_reindexed);
  }
  name_relations();
  const auto changes = find(files_only());
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].kind, ChangeKind::truncated);
  EXPECT_EQ(changes[1].kind, ChangeKind::reindexed);
}

TEST_F(ChangeFinderTest, ARewriteDeletesAsManyEntriesAsItMakes) {
  wal_.add_filler(100);
  create_file(700, made);
  wal_.add_insert(700, pg_class);
  next_segment();
  wal_.add_delete(700, pg_class);
  wal_.add_end(700, noon_, {.dropped = {orders}});
  archive();
  EXPECT_EQ(only(files_only()).kind, ChangeKind::rewritten);
}

TEST_F(ChangeFinderTest, WhatATransactionMadeItselfIsNotMissed) {
  wal_.add_filler(100);
  create_file(700, made);
  wal_.add_insert(700, pg_class);
  wal_.add_delete(700, pg_class);
  wal_.add_end(700, noon_, {.dropped = {made}});
  create_file(701, made);
  wal_.add_end(701, noon_, {.end = TransactionEnd::abort, .dropped = {made}});
  archive();
  EXPECT_TRUE(find(files_only()).empty());
}

TEST_F(ChangeFinderTest, ADatabaseIsGoneBeforeItsDropCommits) {
  wal_.add_filler(100);
  const auto gone = drop_database(700, 16'500);
  next_segment();
  const auto end = wal_.add_commit(700, noon_);
  wal_.add_commit(701, noon_);
  archive();
  const auto change = only(files_only());
  EXPECT_EQ(change.kind, ChangeKind::database_dropped);
  EXPECT_EQ(change.lsn, end);
  EXPECT_EQ(change.stop, gone);
  EXPECT_EQ(change.relations.at(0).file.database, 16'500u);
}

TEST_F(ChangeFinderTest, CountsDeletedRowsOfEachTransaction) {
  wal_.add_filler(100);
  for (int i = 0; i < 5; ++i) wal_.add_delete(700, orders);
  for (int i = 0; i < 2; ++i) wal_.add_delete(701, orders);
  next_segment();
  for (int i = 0; i < 5; ++i) wal_.add_delete(700, orders);
  wal_.add_commit(700, noon_);
  wal_.add_end(701, noon_, {.end = TransactionEnd::abort});
  archive();
  ChangeQuery query;
  query.deletes = true;
  const auto change = only(query);
  EXPECT_EQ(change.xid, 700u);
  EXPECT_EQ(change.rows_deleted, 10u);
  EXPECT_EQ(change.kind, ChangeKind::none);
}

TEST_F(ChangeFinderTest, CountsWhatASummaryHasNoRoomFor) {
  wal_.add_filler(100);
  for (std::uint32_t i = 0; i < 400; ++i) {
    wal_.add_delete(700, {.tablespace = 1663, .database = 5, .number = 20'000 + i});
  }
  wal_.add_commit(700, noon_);
  archive();
  ChangeQuery query;
  query.deletes = true;
  EXPECT_EQ(only(query).rows_deleted, 400u);
  EXPECT_EQ(result_.left_out, 0u);
}

TEST_F(ChangeFinderTest, GoesByXidAndByTime) {
  wal_.add_filler(100);
  for (std::uint32_t i = 0; i < 20; ++i) {
    wal_.add_end(700 + i, noon_ + std::chrono::seconds(i), {.subtransactions = {800 + i}});
    if (i % 7 == 6) next_segment();
  }
  archive();
  ChangeQuery query;
  query.xid = 703;
  EXPECT_EQ(only(query).xid, 703u);
  query.xid = 813;
  EXPECT_EQ(only(query).xid, 713u);
  query.xid.reset();
  query.time = noon_ + std::chrono::seconds(8);
  query.around = std::chrono::seconds(2);
  EXPECT_EQ(find(query).size(), 5u);
  query.from = noon_ + std::chrono::seconds(8);
  EXPECT_EQ(find(query).size(), 3u);
  query.until = noon_ + std::chrono::seconds(9);
  EXPECT_EQ(find(query).size(), 2u);
}

// Of a server that died right after the mistake.
TEST_F(ChangeFinderTest, LooksIntoASegmentThatWasNotFilled) {
  wal_.add_filler(100);
  next_segment();
  wal_.add_delete(700, pg_class);
  const auto commit = wal_.add_end(700, noon_, {.dropped = {orders}});
  const auto name = [&](std::uint64_t number) {
    return SegmentName{.timeline = {1}, .number = number}.text(test_geometry);
  };
  archive_file(archive_, name(first_segment), wal_.segment(0), noon_);
  archive_file(archive_, name(first_segment + 1) + ".partial", wal_.segment(1), noon_);
  EXPECT_EQ(only(files_only()).lsn, commit);
  EXPECT_EQ(result_.segments, 2u);
}

TEST_F(ChangeFinderTest, GoesOnBehindAHoleAndNamesIt) {
  wal_.add_filler(100);
  wal_.add_delete(700, pg_class);
  wal_.add_end(700, noon_, {.dropped = {orders}});
  next_segment();
  next_segment();
  next_segment();
  wal_.add_delete(701, pg_class);
  const auto last = wal_.add_end(701, noon_, {.dropped = {orders_key}});
  archive();
  const auto key = [&](std::uint64_t number) {
    return archive_.key_of(SegmentName{.timeline = {1}, .number = number}.text(test_geometry));
  };
  made_.storage.remove({key(4), key(5)});
  ASSERT_TRUE(made_.storage.put_if_absent(key(5), Bytes(100)));  // damaged
  const auto changes = find(files_only());
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[1].lsn, last);
  ASSERT_EQ(result_.holes.size(), 2u);
  EXPECT_NE(result_.holes[0].find("is not archived"), std::string::npos) << result_.holes[0];
}

}  // namespace
}  // namespace walvault
