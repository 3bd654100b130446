#include "postgres/wal_summary.h"

#include <gmock/gmock.h>

#include "support/wal_builder.h"

namespace walvault {
namespace {

const Timestamp noon{std::chrono::seconds(1'790'000'000)};
const RelationFile pg_class{.tablespace = 1663, .database = 5, .number = 1259};
const RelationFile table{.tablespace = 1663, .database = 5, .number = 20001};

Timestamp after(int seconds) { return noon + std::chrono::seconds(seconds); }

WalSummary summarize(const WalBuilder& wal) {
  const auto pages = wal.pages();
  WalSummarizer summarizer(parse_wal_segment_header(pages), wal.start(), {1});
  summarizer.read(pages);
  return summarizer.finish();
}

WalSummary summarize_segment(const WalBuilder& wal, std::size_t index) {
  const auto segment = wal.segment(index);
  WalSummarizer summarizer(parse_wal_segment_header(segment),
                           {wal.start().value + index * test_segment_bytes}, {1});
  summarizer.read(segment);
  return summarizer.finish();
}

TEST(WalSummary, TellsHowTheRecordsHangTogether) {
  WalBuilder wal;
  const auto first = wal.add_filler(100);
  const auto last = wal.add_switch();
  const auto next = wal.add_filler(100);
  const auto one = summarize_segment(wal, 0);
  EXPECT_EQ(one.first, first);
  EXPECT_EQ(one.first_previous, Lsn{});
  EXPECT_EQ(one.last, last);
  EXPECT_EQ(one.records, 2u);
  EXPECT_TRUE(one.switched);
  EXPECT_FALSE(one.stop);
  const auto two = summarize_segment(wal, 1);
  EXPECT_EQ(two.first, next);
  EXPECT_EQ(two.first_previous, last);
  EXPECT_EQ(two.end.value, wal.position());
  EXPECT_FALSE(two.switched);
  EXPECT_EQ(two.stop->reason, WalStopReason::zeros);
}

TEST(WalSummary, CountsTheEndsOfTransactionsOfEveryKind) {
  WalBuilder wal;
  wal.add_commit(700, after(5));
  wal.add_end(701, after(3), {.end = TransactionEnd::abort});
  // The xid of a prepared one stands behind what it dropped.
  wal.add_end(0, after(9),
              {.subtransactions = {690, 705},
               .dropped = {table},
               .prepared_xid = 703,
               .dropped_statistics = 2,
               .invalidations = 3});
  wal.add_end(0, after(4), {.end = TransactionEnd::abort, .prepared_xid = 702});
  // PREPARE and the rest of that manager end nothing.
  wal.add_main(1, 0x10, 704, Bytes(60));
  wal.add_main(1, 0x50, 704, Bytes(8));
  const auto summary = summarize(wal);
  EXPECT_EQ(summary.commits, 2u);
  EXPECT_EQ(summary.aborts, 2u);
  EXPECT_EQ(summary.earliest, after(3));
  EXPECT_EQ(summary.latest, after(9));
  EXPECT_EQ(summary.first_xid, 690u);
  EXPECT_EQ(summary.last_xid, 705u);
  ASSERT_EQ(summary.file_drops.size(), 1u);
  EXPECT_EQ(summary.file_drops[0].xid, 703u);
  EXPECT_EQ(summary.file_drops[0].time, after(9));
  EXPECT_EQ(summary.file_drops[0].files, 1u);
  EXPECT_EQ(summary.file_drops[0].relations, std::vector{table});
  EXPECT_EQ(summary.not_understood, 0u);
}

TEST(WalSummary, XidsAreComparedAcrossTheirWraparound) {
  WalBuilder wal;
  wal.add_commit(4'294'967'290u, after(1));
  wal.add_commit(5, after(2));
  wal.add_commit(4'294'967'295u, after(3));
  const auto summary = summarize(wal);
  EXPECT_EQ(summary.first_xid, 4'294'967'290u);
  EXPECT_EQ(summary.last_xid, 5u);
}

// A commit that straddles two segments counts where enough of it lies, and
// together the parts tell the rest.
TEST(WalSummary, ACommitThatCrossesIntoTheNextSegment) {
  for (const std::size_t before : {8u, 16u, 24u, 32u, 40u, 200u}) {
    WalBuilder wal;
    while (wal.left_in_segment() > 10'000) wal.add_filler(4000);
    wal.add_filler(wal.left_in_segment() - 8192 - 24 - 5);
    wal.add_filler(8192 - 24 - before - 24 - 5);
    const std::vector<std::uint32_t> subs(100, 650);
    const auto commit = wal.add_end(700, after(7), {.subtransactions = subs});
    const auto one = summarize_segment(wal, 0);
    const auto two = summarize_segment(wal, 1);
    ASSERT_TRUE(one.tail);
    EXPECT_EQ(one.tail->start, commit);
    EXPECT_EQ(two.commits, 0u);
    if (before >= 40) {
      EXPECT_EQ(one.commits, 1u);
      EXPECT_EQ(one.latest, after(7));
    } else {
      EXPECT_EQ(one.commits, 0u) << before;
      auto together = one.tail->first;
      together.insert(together.end(), two.head.first.begin(), two.head.first.end());
      const auto glimpse = transaction_glimpse(together);
      ASSERT_TRUE(glimpse);
      EXPECT_EQ(glimpse->time, after(7));
      EXPECT_EQ(glimpse->xid, 700u);
    }
  }
}

TEST(WalSummary, ListsRestorePointsCheckpointsAndTimelineChanges) {
  WalBuilder wal;
  const auto point = wal.add_restore_point("before the migration", after(1));
  const auto online = wal.add_main(
      0, 0x10, 0, checkpoint_copy({.redo = {wal.start().value + 40}, .timeline = 1, .time = 1000}));
  ByteWriter end;
  end.i64(WalBuilder::postgres_time(after(2)));
  end.u32(4);
  end.u32(2);
  const auto recovery = wal.add_main(0, 0x90, 0, end.bytes());
  const auto summary = summarize(wal);
  EXPECT_EQ(
      summary.restore_points,
      std::vector({RestorePoint{.lsn = point, .time = after(1), .name = "before the migration"}}));
  ASSERT_EQ(summary.checkpoints.size(), 1u);
  EXPECT_EQ(summary.checkpoints[0].lsn, online);
  EXPECT_EQ(summary.checkpoints[0].redo.value, wal.start().value + 40);
  EXPECT_EQ(summary.checkpoints[0].time, Timestamp(std::chrono::seconds(1000)));
  EXPECT_FALSE(summary.checkpoints[0].shutdown);
  EXPECT_EQ(
      summary.timeline_changes,
      std::vector({TimelineChange{.lsn = recovery, .from = {2}, .to = {4}, .time = after(2)}}));
}

TEST(WalSummary, ListsWhatWasMadeCutAndDropped) {
  WalBuilder wal;
  ByteWriter made;
  WalBuilder::write_relation(made, table);
  made.u32(0);
  wal.add_main(2, 0x10, 800, made.bytes());
  ByteWriter map_made;
  WalBuilder::write_relation(map_made, table);
  map_made.u32(2);  // not the main fork
  wal.add_main(2, 0x10, 800, map_made.bytes());
  ByteWriter cut;
  cut.u32(17);
  WalBuilder::write_relation(cut, table);
  cut.u32(7);
  wal.add_main(2, 0x20, 0, cut.bytes());
  ByteWriter database;
  database.u32(16400);
  database.u32(1);
  database.u32(1663);
  wal.add_main(4, 0x20, 801, database.bytes());
  const auto summary = summarize(wal);
  ASSERT_EQ(summary.file_changes.size(), 2u);
  EXPECT_EQ(summary.file_changes[0].xid, 800u);
  EXPECT_EQ(summary.file_changes[0].relation, table);
  EXPECT_EQ(summary.file_changes[0].truncated_to, std::nullopt);
  EXPECT_EQ(summary.file_changes[1].truncated_to, 17u);
  ASSERT_EQ(summary.database_changes.size(), 1u);
  EXPECT_EQ(summary.database_changes[0].database, 16400u);
  EXPECT_TRUE(summary.database_changes[0].dropped);

  // The same number is the copy of a template from 15 on, and a drop before.
  for (const int major : {14, 15}) {
    WalBuilder other(3, major);
    other.add_main(4, 0x10, 801, database.bytes());
    EXPECT_EQ(summarize(other).database_changes.at(0).dropped, major < 15);
  }
}

TEST(WalSummary, CountsRowsAndKeepsThoseThatMatterMost) {
  WalBuilder wal;
  // One that deletes a catalog's row, one that deletes many, and hundreds that
  // delete one each.
  for (std::uint32_t xid = 1000; xid < 1400; ++xid) wal.add_delete(xid, table);
  for (int i = 0; i < 500; ++i) wal.add_delete(900, table);
  wal.add_delete(901, pg_class);
  for (int i = 0; i < 5; ++i) wal.add_insert(902, table);
  ByteWriter several;
  several.u16(0);
  several.u16(70);
  wal.add_on_page(9, 0x50, 903, table, several.bytes());
  const auto summary = summarize(wal);
  ASSERT_EQ(summary.row_counts.size(), wal_summary_list_max);
  EXPECT_EQ(summary.row_counts[0], (RowCount{.xid = 901, .relation = pg_class, .deleted = 1}));
  EXPECT_EQ(summary.row_counts[1], (RowCount{.xid = 900, .relation = table, .deleted = 500}));
  EXPECT_EQ(summary.left_out, 402 - wal_summary_list_max);

  // What was inserted tells what a transaction was that made or dropped files.
  wal.add_end(903, after(1), {.dropped = {table}});
  const auto with_drop = summarize(wal);
  EXPECT_EQ(with_drop.row_counts[1], (RowCount{.xid = 903, .relation = table, .inserted = 70}));
}

TEST(WalSummary, ARecordThatIsNotBuiltAsExpectedIsCounted) {
  WalBuilder wal;
  wal.add_main(1, 0x00, 700, Bytes(3));  // a commit without a time
  wal.add_commit(701, after(1));
  const auto summary = summarize(wal);
  EXPECT_EQ(summary.not_understood, 1u);
  EXPECT_EQ(summary.commits, 1u);
  EXPECT_EQ(summary.records, 2u);
}

// A record that is longer than what is kept of it, wherever its lists are cut.
TEST(WalSummary, ACommitOfHundredsOfThousandsOfSubtransactions) {
  for (const bool prepared : {false, true}) {
    WalBuilder wal;
    WalBuilder::TransactionSpec spec;
    spec.subtransactions = std::vector<std::uint32_t>(270'000, 650);
    spec.dropped = {table};
    if (prepared) {
      spec.prepared_xid = 700;
      spec.dropped_statistics = 2;
      spec.invalidations = 3;
    }
    wal.add_end(700, after(5), spec);
    wal.add_commit(701, after(6));
    const auto summary = summarize(wal);
    EXPECT_EQ(summary.not_understood, 0u);
    EXPECT_EQ(summary.commits, 2u);
    EXPECT_EQ(summary.earliest, after(5));
  }
}

TEST(WalSummary, NoListGrowsWithoutBound) {
  WalBuilder wal;
  for (std::uint32_t i = 0; i < 400; ++i) {
    wal.add_end(700 + i, after(1), {.dropped = std::vector<RelationFile>(10, table)});
  }
  const auto summary = summarize(wal);
  EXPECT_EQ(summary.file_drops.size(), wal_summary_list_max);
  EXPECT_EQ(summary.left_out, 400 - wal_summary_list_max);
  std::size_t relations = 0;
  for (const auto& drop : summary.file_drops) {
    EXPECT_EQ(drop.files, 10u);
    relations += drop.relations.size();
  }
  EXPECT_EQ(relations, 1024u);
}

}  // namespace
}  // namespace walvault
