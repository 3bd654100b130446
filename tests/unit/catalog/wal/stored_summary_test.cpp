#include "catalog/wal/stored_summary.h"

#include <gtest/gtest.h>

#include <random>

#include "codec/crc32c.h"
#include "support/summary_example.h"
#include "support/test_data.h"

namespace walvault {
namespace {

TEST(StoredSummary, ComesBackAsItWas) {
  const auto example = example_stored_summary();
  EXPECT_EQ(decode_wal_summary(encode_wal_summary(example), "k"), example);
  EXPECT_EQ(decode_wal_summary(encode_wal_summary({}), "k"), StoredSummary{});
}

TEST(StoredSummary, OfVersion1SaysThatChangesAreNotKnown) {
  const auto first = decode_wal_summary(encode_wal_summary_1(example_summary()), "k", 1);
  auto expected = example_summary();
  expected.knows_changes = false;
  EXPECT_EQ(first, StoredSummary{expected});
  // And still does once it went through a ledger.
  EXPECT_EQ(decode_wal_summary(encode_wal_summary(first), "k"), first);
  // None of its flags has a meaning there.
  auto flagged = encode_wal_summary_1(example_summary());
  flagged[0] |= 16;
  flagged.resize(flagged.size() - 4);
  ByteWriter out;
  out.raw(flagged);
  out.u32(crc32c(flagged));
  EXPECT_EQ(error_of([&] { (void)decode_wal_summary(out.bytes(), "k", 1); }), "corrupt");
}

TEST(StoredSummary, EveryWrongBitAndEveryCutIsDamage) {
  const auto stored = encode_wal_summary(example_stored_summary());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    EXPECT_EQ(error_of([&] { (void)decode_wal_summary(ByteView(stored).first(i), "k"); }),
              "corrupt");
    auto damaged = stored;
    damaged[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
    EXPECT_EQ(error_of([&] { (void)decode_wal_summary(damaged, "k"); }), "corrupt");
  }
}

// With a checksum that fits: no byte makes it fail otherwise, or take memory.
TEST(StoredSummary, TakesArbitraryBytes) {
  const auto stored = encode_wal_summary(example_stored_summary());
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = stored;
    bytes.resize(bytes.size() - 4);
    for (int i = 0; i < 3; ++i)
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    ByteWriter out;
    out.raw(bytes);
    out.u32(crc32c(bytes));
    const auto kind = error_of([&] { (void)decode_wal_summary(out.bytes(), "k"); });
    EXPECT_TRUE(kind == "nothing" || kind == "corrupt") << kind;
  }
}

}  // namespace
}  // namespace walvault
