#include "catalog/records/verified.h"

#include <gtest/gtest.h>

#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

Timestamp day(int number) { return Timestamp(std::chrono::days(number)); }

VerifyTimes times_of(VerifyTier tier, int when) {
  VerifyTimes times;
  times.note(tier, day(when));
  return times;
}

TEST(VerifiedNumbers, KeepTheLatestOfEveryNumber) {
  VerifiedNumbers numbers;
  numbers.note(10, 20, times_of(VerifyTier::stored, 1));
  numbers.note(15, 30, times_of(VerifyTier::deep, 2));
  numbers.note(12, 13, times_of(VerifyTier::stored, 5));
  EXPECT_EQ(numbers.of(9), VerifyTimes{});
  EXPECT_EQ(numbers.of(10).stored, day(1));
  EXPECT_EQ(numbers.of(12).stored, day(5));
  EXPECT_EQ(numbers.of(13).stored, day(1));
  EXPECT_EQ(numbers.of(15), (VerifyTimes{.stored = day(2), .deep = day(2)}));
  EXPECT_EQ(numbers.of(29).deep, day(2));
  EXPECT_EQ(numbers.of(30), VerifyTimes{});
  numbers.note(0, 40, times_of(VerifyTier::stored, 2));
  EXPECT_EQ(numbers.of(12).stored, day(5)) << "an older look takes nothing away";
}

TEST(VerifiedNumbers, KnowWhatWasFoundDamagedSince) {
  auto times = times_of(VerifyTier::deep, 10);
  EXPECT_TRUE(times.is_right_since(VerifyTier::stored, day(10)));
  EXPECT_FALSE(times.is_right_since(VerifyTier::stored, day(11)));
  VerifyTimes damaged;
  damaged.damaged = day(12);
  times.merge(damaged);
  EXPECT_FALSE(times.is_right_since(VerifyTier::stored, day(1)));
  times.note(VerifyTier::stored, day(13));
  EXPECT_TRUE(times.is_right_since(VerifyTier::stored, day(1)));
  EXPECT_FALSE(times.is_right_since(VerifyTier::deep, day(1))) << "it was not decoded since";
  // Whatever is asked for, what was never found right is not.
  EXPECT_FALSE(VerifyTimes{}.is_right_since(VerifyTier::stored, day(-100'000)));
}

TEST(VerifiedNumbers, AreFewStretchesWhereTheyAreAlike) {
  VerifiedNumbers numbers;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    numbers.note(i, i + 1, times_of(VerifyTier::stored, 1));
  }
  ASSERT_EQ(numbers.stretches().size(), 1u);
  EXPECT_EQ(numbers.stretches()[0].behind, 1000u);
  numbers.forget(500, 501);
  EXPECT_EQ(numbers.of(500), VerifyTimes{});
  ASSERT_EQ(numbers.stretches().size(), 2u);
  EXPECT_EQ(numbers.stretches()[1].first, 501u);
  numbers.forget(0, 2000);
  EXPECT_TRUE(numbers.stretches().empty());
}

VerifiedRecord example() {
  VerifiedRecord record;
  record.note_run({.cluster = "main",
                   .tier = VerifyTier::deep,
                   .partial = true,
                   .started = day(1),
                   .finished = day(2),
                   .damaged = 3});
  record.packs[{.writer = id_of(1), .digest = sha256(as_bytes("a"))}] =
      times_of(VerifyTier::stored, 4);
  record.segments["wal/main/1/00000001-0/"].note(5, 9, times_of(VerifyTier::deep, 6));
  record.segments["wal/main/1/00000001-0/"].note(9, 12, times_of(VerifyTier::stored, 7));
  record.trees["backups/main/a/1"].damaged = day(8);
  return record;
}

void expect_equal(const VerifiedRecord& a, const VerifiedRecord& b) {
  EXPECT_EQ(encode_verified(a), encode_verified(b));
}

TEST(VerifiedRecord, ComesBackAsItWas) {
  const auto stored = encode_verified(example());
  expect_equal(decode_verified(stored), example());
  const auto decoded = decode_verified(stored);
  EXPECT_EQ(decoded.runs, example().runs);
  EXPECT_EQ(decoded.segments.at("wal/main/1/00000001-0/").of(8).deep, day(6));
  for_each_truncation(stored, [&](ByteView cut) {
    EXPECT_EQ(error_of([&] { (void)decode_verified(cut); }), "corrupt") << cut.size();
  });
}

TEST(VerifiedRecord, KeepsTheLastRunOfEachExtent) {
  VerifiedRecord record;
  record.note_run({.tier = VerifyTier::deep, .started = day(1), .finished = day(2)});
  record.note_run({.tier = VerifyTier::deep, .started = day(3), .finished = day(4), .damaged = 1});
  record.note_run({.tier = VerifyTier::deep, .started = day(2), .finished = day(3)});
  record.note_run({.cluster = "b", .tier = VerifyTier::deep, .finished = day(1)});
  ASSERT_EQ(record.runs.size(), 2u);
  EXPECT_EQ(record.runs[0].started, day(3));
}

TEST(VerifiedRecord, IsMadeOfAllThatIsStored) {
  MemoryRepository made;
  put_verified(made.repository, id_of(1), 1, example());
  VerifiedRecord other;
  other.segments["wal/main/1/00000001-0/"].note(20, 21, times_of(VerifyTier::deep, 9));
  put_verified(made.repository, id_of(2), 1, other);
  (void)made.storage.put_if_absent("verified/damaged", as_bytes("no record"));
  const auto stored = load_verified(made.repository);
  EXPECT_EQ(stored.keys.size(), 3u);
  const auto& numbers = stored.record.segments.at("wal/main/1/00000001-0/");
  EXPECT_EQ(numbers.of(5).deep, day(6));
  EXPECT_EQ(numbers.of(20).deep, day(9));
}

}  // namespace
}  // namespace walvault
