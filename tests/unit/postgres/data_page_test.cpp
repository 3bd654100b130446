#include "postgres/data_page.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

constexpr std::uint32_t segment_blocks = 131072;

// The page of which PostgreSQL 15's pageinspect says: page_checksum(page, 0) is 15923.
Bytes pattern_page() {
  Bytes page(data_page_bytes);
  for (std::size_t i = 0; i < page.size(); ++i) {
    page[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  }
  return page;
}

// The same, with its checksum in it as block `block`.
Bytes sealed_page(std::uint32_t block) {
  auto page = pattern_page();
  const auto checksum = page_checksum(page, block);
  page[8] = static_cast<std::uint8_t>(checksum);
  page[9] = static_cast<std::uint8_t>(checksum >> 8);
  return page;
}

constexpr Lsn later{~std::uint64_t{0}};

TEST(DataPage, HasTheChecksumThatTheServerComputes) {
  EXPECT_EQ(page_checksum(pattern_page(), 0), 15923);
  EXPECT_EQ(page_checksum(pattern_page(), 1), 15922);
  EXPECT_EQ(page_checksum(pattern_page(), 131075), 15926);
}

TEST(DataPage, IsWrongAfterAnyFlippedBit) {
  auto page = sealed_page(7);
  ASSERT_EQ(judge_page(page, 7, later), PageVerdict::right);
  EXPECT_EQ(judge_page(page, 8, later), PageVerdict::wrong) << "it is another block";
  for (std::size_t byte = 0; byte < page.size(); byte += 5) {
    // Without these two a page is one that was never written to.
    if (byte == 14 || byte == 15) continue;
    page[byte] ^= 0x10;
    EXPECT_EQ(judge_page(page, 7, later), PageVerdict::wrong) << byte;
    page[byte] ^= 0x10;
  }
}

TEST(DataPage, IsNotJudgedWhereItMayBeTorn) {
  auto page = sealed_page(7);
  // Its LSN: the high half first.
  const Lsn written{std::uint64_t{0x150E0700} << 32 | 0x312A231C};
  page[100] ^= 1;
  EXPECT_EQ(judge_page(page, 7, {written.value + 1}), PageVerdict::wrong);
  EXPECT_EQ(judge_page(page, 7, written), PageVerdict::written_since);
  page[14] = page[15] = 0;
  EXPECT_EQ(judge_page(page, 7, later), PageVerdict::empty);
}

TEST(DataPage, IsFoundInFilesOfRelationsOnly) {
  EXPECT_EQ(first_block_of("base/5/16384", segment_blocks), 0u);
  EXPECT_EQ(first_block_of("base/5/16384.2", segment_blocks), 2 * segment_blocks);
  EXPECT_EQ(first_block_of("base/5/16384_vm", segment_blocks), 0u);
  EXPECT_EQ(first_block_of("base/5/16384_fsm.1", segment_blocks), segment_blocks);
  EXPECT_EQ(first_block_of("base/5/16384_init", segment_blocks), 0u);
  EXPECT_EQ(first_block_of("global/1260", segment_blocks), 0u);
  EXPECT_EQ(first_block_of("pg_tblspc/16400/PG_15_202209061/5/16401", segment_blocks), 0u);
  for (const auto* path : {"global/pg_control", "global/pg_filenode.map", "base/5/PG_VERSION",
                           "base/5/pg_internal.init", "pg_xact/0000", "PG_VERSION",
                           "base/5/16384.x", "base/5/16384_old", "base/5/"}) {
    EXPECT_EQ(first_block_of(path, segment_blocks), std::nullopt) << path;
  }
}

}  // namespace
}  // namespace walvault
