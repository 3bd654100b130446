#include "catalog/copy/wal_border.h"

#include <gtest/gtest.h>

#include "catalog/copy/wal_copier.h"
#include "support/archived_wal.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/memory_repository.h"

namespace walvault {
namespace {

// The destination has WAL of the cluster, by whichever way it came there.
class WalBorderTest : public testing::Test {
 protected:
  // A segment, and the digest of the one before as its source had it.
  static void archive(const WalArchive& archive, std::uint32_t timeline, std::uint64_t number,
                      ByteView content, const std::optional<Digest>& before = {}) {
    const WalSegmentSpec spec{.timeline = timeline, .number = number};
    WalSummarizer summarizer(parse_wal_segment_header(content), lsn_in(number, 0), {timeline});
    summarizer.read(content);
    archive_file(archive, spec.name(), content, minute_of(number), {},
                 encode_wal_summary({.summary = summarizer.finish(),
                                     .origin = {.before = before, .archiver = {}}}));
  }

  // Of another server that did as much: records of the same lengths at the same places.
  static Bytes other_segment(std::uint32_t timeline, std::uint64_t number) {
    return chained_segment(timeline, number, {.time = CheckpointSpec().time ^ 1});
  }

  WalCopied bring(TimelineId timeline = {1}) {
    WalCopier copier(from_, to_, {.jobs = 1}, [](std::uint64_t) {});
    (void)copier.bring({.timeline = timeline}, 0, 1000);
    return copier.copied();
  }
  [[nodiscard]] bool is_there(std::uint32_t timeline, std::uint64_t number) const {
    return to_.has_segment({.timeline = {timeline}, .number = number});
  }

  MemoryRepository from_made_;
  MemoryRepository to_made_;
  const WalArchive from_{from_made_.repository, test_cluster()};
  const WalArchive to_{to_made_.repository, test_cluster()};
};

TEST_F(WalBorderTest, BringsWhatGoesOnWithWhatIsThere) {
  for (std::uint64_t number = 3; number <= 8; ++number) {
    archive(from_, 1, number, chained_segment(1, number), sha256(chained_segment(1, number - 1)));
  }
  archive(to_, 1, 2, chained_segment(1, 2));
  archive(to_, 1, 5, chained_segment(1, 5), sha256(chained_segment(1, 4)));
  archive(to_, 1, 9, chained_segment(1, 9), sha256(chained_segment(1, 8)));
  const auto copied = bring();
  EXPECT_EQ(copied.files, 5u);
  EXPECT_EQ(copied.fault_count, 0u);
}

TEST_F(WalBorderTest, ComparesTheNeighbourThatBothHaveThoughItIsAsLong) {
  for (std::uint64_t number = 3; number <= 5; ++number) {
    archive(from_, 1, number, chained_segment(1, number));
  }
  archive(to_, 1, 3, chained_segment(1, 3));
  archive(to_, 1, 4, other_segment(1, 4));
  ASSERT_EQ(from_.segments({1}, 4).front().stored_bytes, to_.segments({1}, 4).front().stored_bytes);
  const auto copied = bring();
  ASSERT_EQ(copied.fault_count, 1u);
  EXPECT_EQ(copied.faults[0].key, to_.key_of("000000010000000000000004"));
  EXPECT_FALSE(is_there(1, 5));
}

TEST_F(WalBorderTest, ComparesByTheSegmentBeforeWhereTheSourceHasItNoMore) {
  archive(from_, 1, 4, chained_segment(1, 4), sha256(chained_segment(1, 3)));
  archive(to_, 1, 3, other_segment(1, 3));
  const auto copied = bring();
  ASSERT_EQ(copied.fault_count, 1u);
  EXPECT_EQ(copied.faults[0].key, to_.key_of("000000010000000000000004"));
  EXPECT_FALSE(is_there(1, 4));
}

TEST_F(WalBorderTest, FillsNoGapBeforeAnothersWal) {
  archive(from_, 1, 4, chained_segment(1, 4));
  archive(to_, 1, 5, chained_segment(1, 5), sha256(other_segment(1, 4)));
  EXPECT_EQ(bring().fault_count, 1u);
  EXPECT_FALSE(is_there(1, 4));
}

TEST_F(WalBorderTest, OfATimelinesFirstSegmentTheNeighbourIsItsParents) {
  for (const auto* archive : {&from_, &to_}) {
    archive_history(*archive, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  }
  archive(from_, 2, 4, chained_segment(2, 4), sha256(chained_segment(1, 3)));
  archive(to_, 1, 3, other_segment(1, 3));
  EXPECT_EQ(bring({2}).fault_count, 1u);
  EXPECT_FALSE(is_there(2, 4));
}

TEST_F(WalBorderTest, ADamagedHistoryContradictsNothing) {
  archive_history(from_, 2, {{.timeline = {1}, .end = lsn_in(4)}});
  damage_object(from_made_.storage, from_.key_of("00000002.history"), last_frame_byte);
  archive(from_, 2, 4, chained_segment(2, 4), sha256(chained_segment(1, 3)));
  archive(to_, 1, 3, other_segment(1, 3));
  const std::vector<SegmentName> brought{{.timeline = {2}, .number = 4}};
  EXPECT_FALSE(find_border_conflict(from_, to_, brought));
}

TEST_F(WalBorderTest, WhatCannotBeComparedIsBrought) {
  // Its source did not know, or of a neighbour nobody knows, or that is damaged.
  archive(from_, 1, 4, chained_segment(1, 4));
  archive(to_, 1, 3, other_segment(1, 3));
  archive(from_, 1, 20, chained_segment(1, 20), sha256(chained_segment(1, 19)));
  archive(from_, 1, 30, chained_segment(1, 30), sha256(chained_segment(1, 29)));
  archive_file(to_, WalSegmentSpec{.number = 29}.name(), random_bytes(test_segment_bytes, 5));
  const auto copied = bring();
  EXPECT_EQ(copied.files, 3u);
  EXPECT_EQ(copied.fault_count, 0u);
}

}  // namespace
}  // namespace walvault
