#include "postgres/wal_message.h"

#include <gtest/gtest.h>

#include "support/test_data.h"

namespace walvault {
namespace {

Bytes message(char type, std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  if (!bytes.empty()) bytes[0] = static_cast<std::uint8_t>(type);
  return bytes;
}

TEST(WalMessage, OfDataHasItsPositionAndItsBytes) {
  const auto bytes = message('w', 30);
  const auto parsed = parse_wal_message(bytes);
  EXPECT_EQ(parsed.start, Lsn{0x0102030405060708});
  EXPECT_EQ(Bytes(parsed.data.begin(), parsed.data.end()), (Bytes{25, 26, 27, 28, 29}));
  EXPECT_FALSE(parsed.reply_wanted);
}

TEST(WalMessage, MayBeAKeepaliveThatWantsAnAnswer) {
  auto bytes = message('k', 18);
  const auto parsed = parse_wal_message(bytes);
  EXPECT_EQ(parsed.start, Lsn{0x0102030405060708});
  EXPECT_TRUE(parsed.data.empty());
  EXPECT_TRUE(parsed.reply_wanted);
  bytes.back() = 0;
  EXPECT_FALSE(parse_wal_message(bytes).reply_wanted);
}

TEST(WalMessage, ThatIsCutShortOrUnknownIsRefused) {
  for (const auto& bytes : {message('w', 24), message('k', 17), message('x', 40), Bytes{}}) {
    EXPECT_EQ(error_of([&] { (void)parse_wal_message(bytes); }).substr(0, 7), "corrupt");
  }
}

TEST(StandbyStatus, TellsWhatCameAndWhatIsDurable) {
  const auto bytes = standby_status_message({0x0102030405060708}, {0x1112131415161718});
  ASSERT_EQ(bytes.size(), 34u);
  EXPECT_EQ(bytes[0], 'r');
  EXPECT_EQ(Bytes(bytes.begin() + 1, bytes.begin() + 9), (Bytes{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(Bytes(bytes.begin() + 9, bytes.begin() + 17),
            (Bytes{0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}));
  EXPECT_EQ(bytes[33], 1);
}

}  // namespace
}  // namespace walvault
