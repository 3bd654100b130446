#include "postgres/wal_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/damage.h"
#include "support/errors.h"
#include "support/wal_files.h"
#include "unit/postgres/server_file.h"

namespace walvault {
namespace {

using testing::HasSubstr;

// Where the fields lie (XLogLongPageHeaderData).
constexpr std::size_t info_offset = 2;
constexpr std::size_t segment_bytes_offset = 32;
constexpr std::size_t page_bytes_offset = 36;

void expect_refused(ByteView segment, const char* because) {
  const auto error =
      expect_error(ErrorKind::corrupt, [&] { (void)parse_wal_segment_header(segment); });
  EXPECT_THAT(error.detail(), HasSubstr(because));
}

TEST(WalPageMagic, IsThatOfEachMajor) {
  EXPECT_EQ(wal_page_magic(13), 0xD106);
  EXPECT_EQ(wal_page_magic(15), 0xD110);
  EXPECT_EQ(wal_page_magic(17), 0xD116);
  EXPECT_EQ(wal_page_magic(18), 0xD118);
  for (int major = postgres_major_min; major <= postgres_major_max; ++major) {
    ASSERT_TRUE(wal_page_magic(major)) << major;
    EXPECT_EQ(postgres_major_of_magic(*wal_page_magic(major)), major);
  }
}

TEST(WalPageMagic, IsNotKnownForOtherMajors) {
  EXPECT_EQ(wal_page_magic(postgres_major_min - 1), std::nullopt);
  EXPECT_EQ(wal_page_magic(postgres_major_max + 1), std::nullopt);
  EXPECT_EQ(postgres_major_of_magic(0), std::nullopt);
  EXPECT_EQ(postgres_major_of_magic(0xD105), std::nullopt);
  EXPECT_EQ(postgres_major_of_magic(0xD119), std::nullopt);
}

TEST(WalSegmentHeader, IsReadFromAServerOf15) {
  const auto header = parse_wal_segment_header(server_file("wal_header_15"));
  EXPECT_EQ(postgres_major_of_magic(header.page.magic), 15);
  EXPECT_EQ(header.page.timeline, TimelineId{1});
  EXPECT_EQ(header.page.page_address, Lsn::parse("0/1000000"));
  EXPECT_EQ(header.page.remaining_bytes, 0u);
  EXPECT_EQ(header.system_identifier, 7710582052478598555u);
  EXPECT_EQ(header.segment_bytes, 16u << 20);
  EXPECT_EQ(header.page_bytes, 8192u);
}

TEST(WalSegmentHeader, IsReadFromAServerOf18) {
  const auto header = parse_wal_segment_header(server_file("wal_header_18"));
  EXPECT_EQ(postgres_major_of_magic(header.page.magic), 18);
  EXPECT_EQ(header.system_identifier, 7710581925044542793u);
  EXPECT_EQ(header.page.page_address, Lsn::parse("0/1000000"));
}

TEST(WalSegmentHeader, TellsOfARecordThatBeganBefore) {
  auto segment = server_file("wal_header_15");
  overwrite(segment, info_offset, std::uint16_t{0x0003});  // and XLP_FIRST_IS_CONTRECORD
  overwrite(segment, 16, std::uint32_t{1234});
  EXPECT_EQ(parse_wal_segment_header(segment).page.remaining_bytes, 1234u);
}

TEST(WalSegmentHeader, NeedsItsFirst40BytesAndNoMore) {
  const auto segment = server_file("wal_header_15");
  const auto header = ByteView(segment).first(wal_segment_header_bytes);
  EXPECT_NO_THROW((void)parse_wal_segment_header(header));
  for_each_truncation(header, [](ByteView cut) { expect_refused(cut, "bytes"); });
}

TEST(WalSegmentHeader, SaysThatASegmentIsZero) { expect_refused(Bytes(8192), "zeros"); }

TEST(WalSegmentHeader, RefusesMagicsOfOtherMajorsAndNamesThem) {
  auto segment = server_file("wal_header_15");
  overwrite(segment, 0, std::uint16_t{0xD101});  // 12
  expect_refused(segment, "D101");
  overwrite(segment, 0, std::uint16_t{0xD119});
  expect_refused(segment, "D119");
}

TEST(WalSegmentHeader, RefusesTheShortFormAndFlagsThatDoNotExist) {
  for (unsigned info = 0; info <= 0xFFFF; ++info) {
    auto segment = server_file("wal_header_15");
    overwrite(segment, info_offset, static_cast<std::uint16_t>(info));
    const bool valid = (info & 0x0002) != 0 && info <= 0x000F;
    bool accepted = true;
    try {
      (void)parse_wal_segment_header(segment);
    } catch (const Error&) {
      accepted = false;
    }
    ASSERT_EQ(accepted, valid) << info;
    if (info == 0x1F) info = 0xFF;  // the rest in larger steps
    if (info > 0xFF) info += 0xFF;
  }
}

TEST(WalSegmentHeader, RefusesSizesThatPostgresDoesNotAllow) {
  for (const std::uint32_t bytes : {0u, 8192u, 1u << 19, (16u << 20) + 1, 3u << 20, 1u << 31}) {
    auto segment = server_file("wal_header_15");
    overwrite(segment, segment_bytes_offset, bytes);
    expect_refused(segment, "sizes");
  }
  for (const std::uint32_t bytes : {0u, 1u, 512u, 8191u, 12288u, 1u << 17, 1u << 31}) {
    auto segment = server_file("wal_header_15");
    overwrite(segment, page_bytes_offset, bytes);
    expect_refused(segment, "sizes");
  }
}

TEST(WalSegmentHeader, AcceptsEverySizeThatPostgresAllows) {
  for (std::uint32_t bytes = 1u << 20; bytes <= 1u << 30; bytes *= 2) {
    auto segment = server_file("wal_header_15");
    overwrite(segment, segment_bytes_offset, bytes);
    EXPECT_EQ(parse_wal_segment_header(segment).segment_bytes, bytes);
  }
  for (std::uint32_t bytes = 1024; bytes <= 65536; bytes *= 2) {
    auto segment = server_file("wal_header_15");
    overwrite(segment, page_bytes_offset, bytes);
    EXPECT_EQ(parse_wal_segment_header(segment).page_bytes, bytes);
  }
}

TEST(WalSegmentHeader, RefusesEverySingleBitFlipOfItsSizes) {
  const auto segment = server_file("wal_header_18");
  const auto header = ByteView(segment).first(wal_segment_header_bytes);
  for_each_bit_flip(header, [](ByteView damaged, std::size_t bit) {
    if (bit >= segment_bytes_offset * 8) expect_refused(damaged, "sizes");
  });
}

TEST(WalSegmentHeader, TakesAFlippedMagicAtMostForThatOfAnotherMajor) {
  const auto segment = server_file("wal_header_15");
  for_each_bit_flip(ByteView(segment).first(wal_segment_header_bytes),
                    [](ByteView damaged, std::size_t bit) {
                      if (bit >= 16) return;
                      try {
                        const auto magic = parse_wal_segment_header(damaged).page.magic;
                        EXPECT_EQ(postgres_major_of_magic(magic), 18) << bit;
                      } catch (const Error& error) {
                        EXPECT_EQ(error.kind(), ErrorKind::corrupt);
                      }
                    });
}

TEST(WalContentEnd, IsBehindTheLastByteOfTheSegmentsOwnPages) {
  const WalSegmentSpec spec{.number = 3, .content_bytes = 20'001, .has_pages = true};
  auto segment = wal_segment(spec);
  segment[40 + 20'000] = 7;  // its last byte is not zero
  const auto start = 3ull * test_segment_bytes;
  EXPECT_EQ(wal_content_end(segment), (Lsn{start + 20'048}));

  // What a recycled file holds behind it does not count.
  const auto old = wal_segment({.number = 1, .content_bytes = 900'000, .has_pages = true});
  auto recycled = segment;
  std::copy(old.begin() + 24576, old.end(), recycled.begin() + 24576);
  EXPECT_EQ(wal_content_end(recycled), (Lsn{start + 20'048}));

  // A full one ends at its end.
  auto full =
      wal_segment({.number = 3, .content_bytes = test_segment_bytes - 40, .has_pages = true});
  full.back() = 1;
  EXPECT_EQ(wal_content_end(full), (Lsn{start + test_segment_bytes}));
}

TEST(WalContentEnd, RefusesWhatIsNoSegmentAndReadsOnlyWhatIsThere) {
  EXPECT_THROW((void)wal_content_end(Bytes(1000)), Error);
  EXPECT_THROW((void)wal_content_end({}), Error);
  const auto segment = wal_segment({.content_bytes = 30'000, .has_pages = true});
  for (const std::size_t length : {40u, 8192u, 8200u, 8216u, 16383u}) {
    const auto end = wal_content_end(ByteView(segment).first(length));
    EXPECT_LE(end.value, test_segment_bytes + (length + 7) / 8 * 8);
  }
}

}  // namespace
}  // namespace walvault
