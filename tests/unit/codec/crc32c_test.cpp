#include "codec/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "support/damage.h"
#include "support/test_data.h"

namespace walvault {
namespace {

// RFC 3720, section B.4, and the check value of the CRC catalogues.
TEST(Crc32c, GivesThePublishedChecksums) {
  Bytes ascending(32);
  std::iota(ascending.begin(), ascending.end(), std::uint8_t{0});
  const Bytes descending(ascending.rbegin(), ascending.rend());
  for (const auto crc : {&crc32c, &crc32c_portable}) {
    EXPECT_EQ(crc({}, 0), 0u);
    EXPECT_EQ(crc(as_bytes("123456789"), 0), 0xE3069283u);
    EXPECT_EQ(crc(Bytes(32, 0x00), 0), 0x8A9136AAu);
    EXPECT_EQ(crc(Bytes(32, 0xFF), 0), 0x62A8AB43u);
    EXPECT_EQ(crc(ascending, 0), 0x46DD794Eu);
    EXPECT_EQ(crc(descending, 0), 0x113FDB5Cu);
  }
}

TEST(Crc32c, IsTheSameWithAndWithoutTheInstructionAtEveryLengthAndAlignment) {
  const auto bytes = random_bytes(200, 1);
  for (std::size_t offset = 0; offset < 9; ++offset) {
    for (std::size_t length = 0; offset + length <= bytes.size(); ++length) {
      const auto part = ByteView(bytes).subspan(offset, length);
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << offset << "+" << length;
      ASSERT_EQ(crc32c(part, 0x12345678), crc32c_portable(part, 0x12345678));
    }
  }
  const auto large = random_bytes(1'000'003, 1);
  EXPECT_EQ(crc32c(large), crc32c_portable(large));
  // Around where several stretches are gone through at a time.
  for (const std::size_t length : {3071u, 3072u, 3073u, 3080u, 6143u, 6144u, 9999u}) {
    const auto part = ByteView(large).subspan(1, length);
    EXPECT_EQ(crc32c(part, 0x12345678), crc32c_portable(part, 0x12345678)) << length;
  }
}

TEST(Crc32c, ContinuesWhereAnEarlierPieceEnded) {
  const auto bytes = random_bytes(67, 1);
  const ByteView view = bytes;
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(crc32c(view.subspan(cut), crc32c(view.first(cut))), crc32c(view)) << cut;
  }
}

TEST(Crc32c, OfTwoPiecesFollowsFromThoseOfEach) {
  const auto bytes = random_bytes(70'000, 1);
  for (const std::size_t cut : {0u, 1u, 8u, 4096u, 65'536u, 69'999u, 70'000u}) {
    const auto a = crc32c(ByteView(bytes).first(cut));
    const auto b = crc32c(ByteView(bytes).subspan(cut));
    const auto whole = crc32c(bytes);
    EXPECT_EQ(crc32c_combine(a, b, bytes.size() - cut), whole) << cut;
    EXPECT_EQ(crc32c_combine(a, whole, bytes.size() - cut), b) << cut;
  }
}

TEST(Crc32c, ChangesWithEveryBit) {
  const auto bytes = random_bytes(40, 1);
  for_each_bit_flip(bytes, [&](ByteView damaged, std::size_t bit) {
    EXPECT_NE(crc32c(damaged), crc32c(bytes)) << bit;
  });
}

}  // namespace
}  // namespace walvault
