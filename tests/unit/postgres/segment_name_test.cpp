#include "postgres/segment_name.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

constexpr WalGeometry mib1{1u << 20};
constexpr WalGeometry mib16{16u << 20};
constexpr WalGeometry gib1{1u << 30};

constexpr TimelineId timeline_1{1};

std::string name_at(const char* lsn, WalGeometry geometry) {
  return SegmentName::containing(timeline_1, Lsn::parse(lsn).value(), geometry).text(geometry);
}

std::string next_name(const std::string& name, WalGeometry geometry) {
  auto segment = SegmentName::parse(name, geometry).value();
  ++segment.number;
  return segment.text(geometry);
}

TEST(SegmentSize, IsAPowerOfTwoFromOneMebibyteToOneGibibyte) {
  constexpr std::uint64_t mib = 1u << 20;
  for (std::uint64_t size = 1u << 20; size <= 1u << 30; size *= 2)
    EXPECT_TRUE(is_segment_size(size));
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, mib / 2, mib - 1, mib + 1, 48 * mib, 2048 * mib,
        std::uint64_t{1} << 52, ~std::uint64_t{0}}) {
    EXPECT_FALSE(is_segment_size(size)) << size;
  }
}

// As pg_walfile_name() gives them on servers of these segment sizes.
TEST(SegmentName, IsMadeOfTimelineLogAndSegmentInTheLog) {
  EXPECT_EQ(name_at("0/3000148", mib16), "000000010000000000000003");
  EXPECT_EQ(name_at("16/B374D848", mib16), "0000000100000016000000B3");
  EXPECT_EQ(name_at("16/B374D848", mib1), "000000010000001600000B37");
  EXPECT_EQ(name_at("16/B374D848", gib1), "000000010000001600000002");
  EXPECT_EQ(name_at("0/0", mib16), "000000010000000000000000");
  EXPECT_EQ(name_at("FFFFFFFF/FFFFFFFF", mib16), "00000001FFFFFFFF000000FF");
}

TEST(SegmentName, HasItsTimelineInHexadecimal) {
  EXPECT_EQ((SegmentName{{0xAB}, 1}.text(mib16)), "000000AB0000000000000001");
  EXPECT_EQ(SegmentName::parse("000000AB0000000000000001", mib16)->timeline, TimelineId{0xAB});
}

TEST(WalGeometry, CountsSegmentsFromTheFirstByte) {
  EXPECT_EQ(mib16.number_of({0}), 0u);
  EXPECT_EQ(mib16.number_of({(16u << 20) - 1}), 0u);
  EXPECT_EQ(mib16.number_of({16u << 20}), 1u);
  EXPECT_EQ(mib16.number_before({16u << 20}), 0u);
  EXPECT_EQ(mib16.number_before({(16u << 20) + 1}), 1u);
  EXPECT_EQ(mib16.start_of(3), Lsn{48u << 20});
}

TEST(WalGeometry, PutsFourGibibytesIntoALog) {
  EXPECT_EQ(mib16.segments_in_log(), 256u);
  EXPECT_EQ(mib16.log_of(255), 0u);
  EXPECT_EQ(mib16.log_of(256), 1u);
  EXPECT_EQ(mib16.first_of_log(2), 512u);
  EXPECT_EQ(gib1.segments_in_log(), 4u);
}

TEST(SegmentName, IsFollowedByTheNextLogAfterTheLastSegmentOfOne) {
  EXPECT_EQ(next_name("0000000100000000000000FE", mib16), "0000000100000000000000FF");
  EXPECT_EQ(next_name("0000000100000000000000FF", mib16), "000000010000000100000000");
  EXPECT_EQ(next_name("000000010000000000000FFF", mib1), "000000010000000100000000");
  EXPECT_EQ(next_name("0000000100000000000000FF", mib1), "000000010000000000000100");
  EXPECT_EQ(next_name("000000010000000000000003", gib1), "000000010000000100000000");
}

TEST(SegmentName, ReadsBackWhatItWrites) {
  for (const auto size : {mib1, mib16, gib1}) {
    for (const std::uint64_t number :
         {0ull, 1ull, 3ull, 4ull, 255ull, 256ull, 4095ull, 4096ull, 0x123456789ull}) {
      const SegmentName name{.timeline = {7}, .number = number};
      EXPECT_EQ(SegmentName::parse(name.text(size), size), name)
          << number << " of " << size.segment_bytes;
    }
  }
}

TEST(SegmentName, RefusesSegmentsThatALogOfThisSizeDoesNotHave) {
  EXPECT_TRUE(SegmentName::parse("0000000100000000000000FF", mib16));
  EXPECT_FALSE(SegmentName::parse("000000010000000000000100", mib16));
  EXPECT_TRUE(SegmentName::parse("000000010000000000000FFF", mib1));
  EXPECT_FALSE(SegmentName::parse("000000010000000000001000", mib1));
  EXPECT_TRUE(SegmentName::parse("000000010000000000000003", gib1));
  EXPECT_FALSE(SegmentName::parse("000000010000000000000004", gib1));
}

TEST(SegmentName, RefusesLowercaseHex) {
  EXPECT_FALSE(SegmentName::parse("0000000100000000000000ff", mib16));
}

TEST(SegmentName, RefusesOtherNames) {
  for (const char* name :
       {"", "00000001000000000000000", "0000000100000000000000030", "00000001000000000000000G",
        "00000001000000000000000 ", "0000000100000000000000-3", "000000010000000000000003.partial",
        "00000002.history"}) {
    EXPECT_FALSE(SegmentName::parse(name, mib16)) << name;
  }
}

TEST(SegmentName, CoversTheBytesFromItsStartToBeforeItsEnd) {
  for (const auto size : {mib1, mib16, gib1}) {
    const SegmentName name{.timeline = timeline_1, .number = 5};
    EXPECT_EQ(name.start(size), size.start_of(5));
    EXPECT_EQ(name.end(size), size.start_of(6));
    EXPECT_EQ(SegmentName::containing(timeline_1, name.start(size), size), name);
    EXPECT_EQ(SegmentName::containing(timeline_1, Lsn{name.end(size).value - 1}, size), name);
    EXPECT_EQ(SegmentName::containing(timeline_1, name.end(size), size).number, 6u);
  }
}

TEST(SegmentName, BeforeAPositionIsTheOneThatHoldsTheByteBeforeIt) {
  EXPECT_EQ(SegmentName::before(timeline_1, mib16.start_of(5), mib16).number, 4u);
  EXPECT_EQ(SegmentName::before(timeline_1, Lsn{mib16.start_of(5).value + 1}, mib16).number, 5u);
}

TEST(SegmentName, IsOrderedByTimelineThenByNumber) {
  EXPECT_LT((SegmentName{{1}, 9}), (SegmentName{{2}, 3}));
  EXPECT_LT((SegmentName{{1}, 0xFF}), (SegmentName{{1}, 0x100}));
}

TEST(WalFileName, SaysWhatTheFileIs) {
  EXPECT_EQ(classify_wal_file("000000010000000000000003"), WalFileKind::segment);
  EXPECT_EQ(classify_wal_file("000000010000000000000003.partial"), WalFileKind::partial);
  EXPECT_EQ(classify_wal_file("000000010000000000000003.00000028.backup"),
            WalFileKind::backup_history);
  EXPECT_EQ(classify_wal_file("0000000A.history"), WalFileKind::timeline);
}

TEST(WalFileName, IsNothingElse) {
  for (const char* name : {"",
                           "0",
                           "pg_control",
                           "archive_status",
                           "00000001000000000000000",
                           "0000000100000000000000033",
                           "000000010000000000000003.",
                           "000000010000000000000003.gz",
                           "000000010000000000000003.Partial",
                           "000000010000000000000003.partial2",
                           "000000010000000000000003.ready",
                           "000000010000000000000003.0000028.backup",
                           "000000010000000000000003.00000028.backup2",
                           "000000010000000000000003-00000028.backup",
                           "0000002.history",
                           "000000002.history",
                           "00000002.History",
                           "00000002.history ",
                           "../000000010000000000000003",
                           "000000010000000000000003\n"}) {
    EXPECT_EQ(classify_wal_file(name), std::nullopt) << name;
  }
}

TEST(WalFileName, RefusesLowercaseHex) {
  for (const char* name : {"0000000a0000000000000003", "00000001000000000000000a.partial",
                           "000000010000000000000003.0000002a.backup", "0000000a.history"}) {
    EXPECT_EQ(classify_wal_file(name), std::nullopt) << name;
  }
}

TEST(WalFileName, StartsWithItsTimeline) {
  EXPECT_EQ(timeline_of("0000000A0000000000000003"), TimelineId{10});
  EXPECT_EQ(timeline_of("0000000A0000000000000003.partial"), TimelineId{10});
  EXPECT_EQ(timeline_of("FFFFFFFF.history"), TimelineId{0xFFFFFFFF});
}

TEST(HistoryFileName, HasEightUpperCaseDigits) {
  EXPECT_EQ(history_file_name({2}), "00000002.history");
  EXPECT_EQ(history_file_name({0xABCDEF}), "00ABCDEF.history");
}

}  // namespace
}  // namespace walvault
