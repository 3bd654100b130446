#include "postgres/control_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/crc32c.h"
#include "support/damage.h"
#include "support/errors.h"
#include "unit/postgres/server_file.h"

namespace walvault {
namespace {

using testing::HasSubstr;

// What the CRC covers, and where it lies, in majors up to 17 and from 18.
constexpr std::size_t crc_offset_15 = 288;
constexpr std::size_t crc_offset_18 = 292;

// A changed pg_control whose CRC fits.
template <typename Integer>
Bytes changed_15(std::size_t offset, Integer value) {
  auto content = server_file("pg_control_15");
  overwrite(content, offset, value);
  overwrite(content, crc_offset_15, crc32c(ByteView(content).first(crc_offset_15)));
  return content;
}

TEST(ControlFile, IsReadFromAServerOf15) {
  const auto control = parse_control_file(server_file("pg_control_15"));
  EXPECT_EQ(control.system_identifier, 7710582052478598555u);
  EXPECT_EQ(control.control_version, 1300u);
  EXPECT_EQ(control.catalog_version, 202209061u);
  EXPECT_EQ(control.checkpoint, Lsn::parse("0/17414D0"));
  EXPECT_EQ(control.redo, Lsn::parse("0/17414D0"));
  EXPECT_EQ(control.timeline, TimelineId{1});
  EXPECT_EQ(control.next_full_xid, 724u);
  EXPECT_EQ(control.max_connections, 100u);
  EXPECT_EQ(control.max_worker_processes, 8u);
  EXPECT_EQ(control.max_wal_senders, 10u);
  EXPECT_EQ(control.max_prepared_transactions, 0u);
  EXPECT_EQ(control.max_locks_per_transaction, 64u);
  EXPECT_EQ(control.block_bytes, 8192u);
  EXPECT_EQ(control.relation_segment_blocks, 131072u);
  EXPECT_EQ(control.wal_block_bytes, 8192u);
  EXPECT_EQ(control.wal_segment_bytes, 16u << 20);
  EXPECT_EQ(control.data_checksum_version, 1u);
}

TEST(ControlFile, IsReadFromAServerOf18) {
  const auto control = parse_control_file(server_file("pg_control_18"));
  EXPECT_EQ(control.system_identifier, 7710581925044542793u);
  EXPECT_EQ(control.control_version, 1800u);
  EXPECT_EQ(control.catalog_version, 202506291u);
  EXPECT_EQ(control.checkpoint, Lsn::parse("0/1765CE8"));
  EXPECT_EQ(control.timeline, TimelineId{1});
  EXPECT_EQ(control.next_full_xid, 752u);
  EXPECT_EQ(control.max_connections, 100u);
  EXPECT_EQ(control.max_locks_per_transaction, 64u);
  EXPECT_EQ(control.block_bytes, 8192u);
  EXPECT_EQ(control.wal_segment_bytes, 16u << 20);
  EXPECT_EQ(control.data_checksum_version, 1u);
}

TEST(ControlFile, KeepsCheckpointAndRedoApart) {
  const auto control = parse_control_file(changed_15(40, std::uint64_t{0x1700000}));
  EXPECT_EQ(control.checkpoint, Lsn::parse("0/17414D0"));
  EXPECT_EQ(control.redo, Lsn::parse("0/1700000"));
}

TEST(ControlFile, HasTheEpochInTheUpperHalfOfTheNextXid) {
  const auto control = parse_control_file(changed_15(64, std::uint64_t{0x3'00000010}));
  EXPECT_EQ(control.next_full_xid, 0x3'00000010u);
}

TEST(ControlFile, RefusesEverySingleBitFlip) {
  for (const auto& [name, crc_offset] :
       {std::pair{"pg_control_15", crc_offset_15}, std::pair{"pg_control_18", crc_offset_18}}) {
    for_each_bit_flip(
        server_file(name), [&, end = crc_offset + 4](ByteView damaged, std::size_t bit) {
          if (bit >= end * 8) return;
          SCOPED_TRACE(bit);
          expect_error(ErrorKind::corrupt, [&] { (void)parse_control_file(damaged); });
        });
  }
}

TEST(ControlFile, RefusesEveryFileThatIsCutShort) {
  for (const char* name : {"pg_control_15", "pg_control_18"}) {
    const auto content = server_file(name);
    for_each_truncation(ByteView(content).first(crc_offset_18 + 4), [](ByteView cut) {
      expect_error(ErrorKind::corrupt, [&] { (void)parse_control_file(cut); });
    });
  }
}

TEST(ControlFile, RefusesVersionsOfOtherMajorsEvenWhenTheCrcFits) {
  for (const std::uint32_t version : {0u, 1201u, 1301u, 1900u, 0x14050000u}) {
    const auto error =
        expect_error(ErrorKind::corrupt, [&] { (void)parse_control_file(changed_15(8, version)); });
    EXPECT_THAT(error.detail(), HasSubstr(std::to_string(version)));
  }
}

TEST(ControlFile, RefusesAnotherMajorsLayout) {
  // 1800 puts the CRC elsewhere, so one that fits the older layout is none.
  expect_error(ErrorKind::corrupt,
               [] { (void)parse_control_file(changed_15(8, std::uint32_t{1800})); });
  EXPECT_EQ(parse_control_file(changed_15(8, std::uint32_t{1700})).control_version, 1700u);
}

TEST(ControlFile, RefusesAFileOfZeros) {
  expect_error(ErrorKind::corrupt, [] { (void)parse_control_file(Bytes(8192)); });
}

}  // namespace
}  // namespace walvault
