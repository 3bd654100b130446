#include "postgres/wal_reader.h"

#include <gmock/gmock.h>

#include <random>

#include "support/wal_builder.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

const Timestamp noon{std::chrono::seconds(1'790'000'000)};

struct Read {
  std::vector<Lsn> starts;
  std::vector<std::uint32_t> lengths;
  WalHead head;
  std::optional<WalTail> tail;
  std::optional<WalStop> stop;
  Lsn end;
};

Read read_wal(ByteView wal, Lsn start, std::size_t pages_at_once = 16) {
  Read result;
  WalReader reader(parse_wal_segment_header(wal), start, {1});
  const auto piece = pages_at_once * WalBuilder::page_bytes;
  while (!wal.empty()) {
    const auto part = wal.first(std::min(piece, wal.size()));
    reader.read(part, [&](const WalRecord& record) {
      result.starts.push_back(record.start);
      result.lengths.push_back(record.length);
    });
    wal = wal.subspan(part.size());
  }
  result.head = reader.head();
  result.tail = reader.tail();
  result.stop = reader.stop();
  result.end = reader.end();
  return result;
}

TEST(WalReader, ReadsEveryRecordWhereverItLies) {
  WalBuilder wal;
  std::mt19937 random(1);
  std::vector<Lsn> written;
  std::vector<std::uint32_t> lengths;
  for (int i = 0; i < 2000; ++i) {
    const std::size_t bytes = i % 97 == 0 ? 30'000 : random() % 700 + 1;
    written.push_back(wal.add_filler(bytes));
    lengths.push_back(static_cast<std::uint32_t>(24 + (bytes < 256 ? 2 : 5) + bytes));
  }
  for (const std::size_t at_once : {1u, 3u, 1000u}) {
    const auto read = read_wal(wal.pages(), wal.start(), at_once);
    EXPECT_EQ(read.starts, written);
    EXPECT_EQ(read.lengths, lengths);
    EXPECT_FALSE(read.tail);
    ASSERT_TRUE(read.stop);
    EXPECT_EQ(read.stop->reason, WalStopReason::zeros);
    EXPECT_EQ(read.stop->at.value, wal.position());
  }
}

// Whatever part of it lies in the first segment, its header split or not.
TEST(WalReader, ARecordThatCrossesIntoTheNextSegmentIsProvedByItsParts) {
  for (std::size_t before = 8; before <= 1200; before += before < 64 ? 8 : 200) {
    for (const std::size_t bytes : {std::size_t{1300}, std::size_t{40'000}}) {
      WalBuilder wal;
      while (wal.left_in_segment() > 10'000) wal.add_filler(4000);
      // Up to `before` bytes from the segment's end; one record fits the rest of
      // a page, the next the rest of the segment.
      wal.add_filler(wal.left_in_segment() - 8192 - 24 - 5);
      wal.add_filler(8192 - 24 - before - 24 - 5);
      ASSERT_EQ(wal.left_in_segment(), before);
      const auto crossing = wal.add_filler(bytes);
      wal.add_filler(10);
      const auto one = read_wal(wal.segment(0), wal.start());
      const auto two = read_wal(wal.segment(1), {wal.start().value + test_segment_bytes});
      ASSERT_TRUE(one.tail);
      EXPECT_EQ(one.tail->start, crossing);
      EXPECT_EQ(one.tail->bytes, before);
      EXPECT_EQ(two.head.bytes + before, one.tail->length);
      EXPECT_EQ(check_seam(*one.tail, {&two.head, 1}), std::nullopt);
      EXPECT_EQ(two.starts.size(), 1u);

      auto other = two.head;
      other.crc ^= 1;
      EXPECT_EQ(check_seam(*one.tail, {&other, 1}), "its checksum does not fit");
      if (before < 24) {
        other = two.head;
        other.first[0] ^= 1;
        EXPECT_EQ(check_seam(*one.tail, {&other, 1}), "its checksum does not fit");
      }
      EXPECT_EQ(check_seam(*one.tail, {}), "its end is missing");
    }
  }
}

TEST(WalReader, ARecordOfSeveralSegmentsIsProvedByItsParts) {
  WalBuilder wal;
  wal.add_filler(100);
  (void)wal.add_filler(5 * test_segment_bytes / 2);
  (void)wal.add_filler(100);
  const auto one = read_wal(wal.segment(0), wal.start());
  std::vector<WalHead> heads;
  for (std::size_t i = 1; i < 3; ++i) {
    heads.push_back(read_wal(wal.segment(i), {wal.start().value + i * test_segment_bytes}).head);
  }
  ASSERT_TRUE(one.tail);
  EXPECT_GT(heads[0].left, 0u);
  EXPECT_EQ(heads[1].left, 0u);
  EXPECT_EQ(check_seam(*one.tail, heads), std::nullopt);
  std::swap(heads[0], heads[1]);
  EXPECT_NE(check_seam(*one.tail, heads), std::nullopt);
  // Kept only as far as wal_record_kept_max, and checked to its end.
  WalReader reader(parse_wal_segment_header(wal.pages()), wal.start(), {1});
  std::size_t kept = 0;
  reader.read(wal.pages(), [&](const WalRecord& record) {
    if (record.length > 1000) kept = record.bytes.size();
  });
  EXPECT_EQ(kept, wal_record_kept_max);
}

TEST(WalReader, GoesOnBehindARecordThatWasNeverFinished) {
  for (const bool at_segment_end : {false, true}) {
    WalBuilder wal;
    const auto first = wal.add_filler(100);
    std::vector<Lsn> expected{first};
    if (at_segment_end) {
      while (wal.left_in_segment() > 5000) expected.push_back(wal.add_filler(1000));
    }
    const auto unfinished = wal.add_unfinished(20'000);
    expected.push_back(wal.add_overwrite(unfinished, noon));
    expected.push_back(wal.add_filler(10));
    const auto read = read_wal(wal.pages(), wal.start());
    EXPECT_EQ(read.starts, expected);
    EXPECT_EQ(read.stop->reason, WalStopReason::zeros);
    if (at_segment_end) {
      const auto two = read_wal(wal.segment(1), {wal.start().value + test_segment_bytes});
      EXPECT_TRUE(two.head.overwrites);
      EXPECT_EQ(two.starts.size(), 2u);
    }
  }
  // Another record, or one that names another: not proved.
  WalBuilder wrong;
  (void)wrong.add_filler(100);
  const auto unfinished = wrong.add_unfinished(20'000);
  (void)wrong.add_overwrite({unfinished.value + 8}, noon);
  EXPECT_EQ(read_wal(wrong.pages(), wrong.start()).stop->reason, WalStopReason::damage);
}

TEST(WalReader, PassesOverTheRestOfASegmentThatASwitchEnded) {
  WalBuilder wal;
  std::vector<Lsn> written;
  written.push_back(wal.add_filler(100));
  written.push_back(wal.add_switch());
  const auto next = wal.add_filler(100);
  written.push_back(next);
  EXPECT_EQ(read_wal(wal.pages(), wal.start()).starts, written);
  const auto first = read_wal(wal.segment(0), wal.start());
  EXPECT_FALSE(first.stop);
  EXPECT_EQ(first.end.value, wal.start().value + test_segment_bytes);
}

// It may begin in the last bytes of a segment, and uses up the next one.
TEST(WalReader, PassesOverASegmentThatASwitchOfTheOneBeforeUsedUp) {
  for (const std::size_t before : {8u, 16u}) {
    WalBuilder wal;
    while (wal.left_in_segment() > 10'000) wal.add_filler(4000);
    wal.add_filler(wal.left_in_segment() - 8192 - 24 - 5);
    wal.add_filler(8192 - 24 - before - 24 - 5);
    ASSERT_EQ(wal.left_in_segment(), before);
    const auto crossing = wal.add_switch();
    const auto next = wal.add_filler(100);
    const auto one = read_wal(wal.segment(0), wal.start());
    const auto two = read_wal(wal.segment(1), {wal.start().value + test_segment_bytes});
    EXPECT_FALSE(two.stop) << two.stop->text;
    EXPECT_EQ(two.end.value, wal.start().value + 2 * test_segment_bytes);
    EXPECT_EQ(check_seam(*one.tail, {&two.head, 1}), std::nullopt);
    const auto all = read_wal(wal.pages(), wal.start());
    ASSERT_GE(all.starts.size(), 2u);
    EXPECT_EQ(all.starts[all.starts.size() - 2], crossing);
    EXPECT_EQ(all.starts.back(), next);
  }
}

TEST(WalReader, ARecycledFilesOldPagesAreNotRead) {
  WalBuilder wal;
  std::vector<Lsn> written;
  while (wal.position() < wal.start().value + 3 * WalBuilder::page_bytes) {
    written.push_back(wal.add_filler(1000));
  }
  // The record that goes on in the fourth page, as if it had not been written.
  written.pop_back();
  WalBuilder old(2);
  while (old.position() < old.start().value + 8 * WalBuilder::page_bytes) old.add_filler(1000);
  auto bytes = wal.segment(0);
  const auto old_bytes = old.segment(0);
  std::copy(old_bytes.begin() + 3 * WalBuilder::page_bytes, old_bytes.end(),
            bytes.begin() + 3 * WalBuilder::page_bytes);
  const auto read = read_wal(bytes, wal.start());
  EXPECT_EQ(read.starts, written);
  EXPECT_EQ(read.stop->reason, WalStopReason::stale_page);
}

// A bit that is wrong anywhere in what was written is noticed.
TEST(WalReader, NoticesEveryWrongBit) {
  WalBuilder wal;
  for (int i = 0; i < 6; ++i) wal.add_filler(1800);
  const auto whole = wal.pages();
  const auto good = read_wal(whole, wal.start());
  const auto used = wal.position() - wal.start().value;
  for (std::size_t i = wal_segment_header_bytes; i < used; ++i) {
    auto damaged = whole;
    damaged[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
    const auto read = read_wal(damaged, wal.start());
    const bool same = read.starts == good.starts && read.stop->reason == WalStopReason::zeros;
    // What says nothing: the padding of page headers, a flag of old times
    // (XLP_BKP_REMOVABLE), and the padding behind records.
    const auto in_page = i % WalBuilder::page_bytes;
    const bool header_padding = (in_page >= 20 && in_page < 24) || (in_page == 2 && i % 8 == 2);
    bool record_padding = false;
    for (std::size_t r = 0; r < good.starts.size(); ++r) {
      const auto from = good.starts[r].value - wal.start().value;
      const bool crosses = from / WalBuilder::page_bytes < i / WalBuilder::page_bytes;
      const auto behind = from + good.lengths[r] + (crosses ? 24 : 0);
      record_padding = record_padding || (i >= behind && i < (behind + 7) / 8 * 8);
    }
    EXPECT_TRUE(!same || header_padding || record_padding) << "byte " << i;
  }
}

TEST(WalReader, SaysWhatIsWrong) {
  const auto stop_of = [](std::size_t offset, std::uint8_t value) {
    WalBuilder wal;
    wal.add_filler(100);
    wal.add_filler(100);
    wal.add_filler(9000);
    auto bytes = wal.pages();
    bytes[offset] = value;
    return read_wal(bytes, wal.start()).stop.value();
  };
  EXPECT_THAT(stop_of(40 + 60, 1).text, HasSubstr("0/300028: its checksum does not fit"));
  EXPECT_THAT(stop_of(40, 1).text, HasSubstr("its length is 1"));
  EXPECT_THAT(stop_of(40 + 17, 99).text, HasSubstr("its resource manager is 99"));
  EXPECT_THAT(stop_of(40 + 128 + 8, 1).text, HasSubstr("the record before it should start at"));
  EXPECT_THAT(stop_of(8192, 1).text, HasSubstr("0/302000 has the magic D101"));
  EXPECT_THAT(stop_of(8192 + 16, 1).text, HasSubstr("does not continue it"));
}

// Nothing that foreign bytes say makes it fail, hang or take memory.
TEST(WalReader, TakesArbitraryBytes) {
  std::mt19937 random(7);
  WalBuilder wal;
  while (wal.left_in_segment() > 900'000) wal.add_filler(random() % 3000 + 1);
  const auto whole = wal.pages();
  for (int round = 0; round < 2000; ++round) {
    auto bytes = whole;
    for (int i = 0; i < 8; ++i) {
      bytes[wal_segment_header_bytes + random() % (bytes.size() - wal_segment_header_bytes)] =
          static_cast<std::uint8_t>(random());
    }
    const auto read = read_wal(bytes, wal.start());
    EXPECT_LE(read.end.value, wal.start().value + bytes.size());
  }
}

}  // namespace
}  // namespace walvault
