#include "restore/fetch/fetch.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "support/archived_wal.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class FetchTest : public testing::Test {
 protected:
  // What comes of asking for a file: "delivered", "absent" or an Error's kind.
  // Nothing but a whole file may stand at the destination afterwards.
  std::string fetch(const std::string& name) {
    fs::remove(destination_);
    std::string outcome;
    const auto failure = error_of([&] {
      outcome = fetch_wal_file(archive_, name, destination_, 2) == FetchOutcome::delivered
                    ? "delivered"
                    : "absent";
    });
    if (failure != "nothing") outcome = failure;
    EXPECT_EQ(fs::exists(destination_), outcome == "delivered") << name;
    const auto entries = std::distance(fs::directory_iterator(pg_wal_.path()), {});
    EXPECT_EQ(entries, outcome == "delivered" ? 1 : 0) << name;
    return outcome;
  }
  std::string fetch(std::uint32_t timeline, std::uint64_t number) {
    return fetch(WalSegmentSpec{.timeline = timeline, .number = number}.name());
  }
  [[nodiscard]] Bytes delivered() const { return read_file(destination_, 64u << 20); }
  [[nodiscard]] static Lsn segment_start(std::uint64_t number) {
    return {number * test_segment_bytes};
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{repository_, test_cluster()};
  TemporaryDirectory pg_wal_;
  const std::string destination_ = pg_wal_.path("RECOVERYXLOG");
};

TEST_F(FetchTest, DeliversASegmentByteForByte) {
  const WalSegmentSpec spec{.number = 3, .content_bytes = 600'000};
  archive_file(archive_, spec.name(), wal_segment(spec));
  ASSERT_EQ(fetch(spec.name()), "delivered");
  EXPECT_TRUE(delivered() == wal_segment(spec));
}

TEST_F(FetchTest, DeliversASegmentOfManyFrames) {
  auto identity = test_cluster();
  identity.geometry = {16u << 20};
  const WalArchive large(repository_, identity);
  const WalSegmentSpec spec{.content_bytes = 13'000'000, .segment_bytes = 16u << 20};
  archive_file(large, spec.name(), wal_segment(spec));
  ASSERT_EQ(fetch_wal_file(large, spec.name(), destination_, 3), FetchOutcome::delivered);
  EXPECT_TRUE(delivered() == wal_segment(spec));
}

TEST_F(FetchTest, ReplacesWhatStandsAtTheDestination) {
  archive_segments(archive_, 1, 1, 1);
  write_test_file(pg_wal_.path(), "RECOVERYXLOG", random_bytes(2u << 20, 1));
  const auto name = WalSegmentSpec{}.name();
  ASSERT_EQ(fetch_wal_file(archive_, name, destination_, 1), FetchOutcome::delivered);
  EXPECT_TRUE(delivered() == chained_segment(1, 1));
}

TEST_F(FetchTest, DeliversTheSmallFiles) {
  const std::string history = "1\t0/500000\tno recovery target specified\n";
  archive_file(archive_, "00000002.history", as_bytes(history));
  archive_file(archive_, "000000010000000000000003.00000028.backup", as_bytes("START"));
  ASSERT_EQ(fetch("00000002.history"), "delivered");
  EXPECT_EQ(delivered(), bytes_of(history));
  ASSERT_EQ(fetch("000000010000000000000003.00000028.backup"), "delivered");
  EXPECT_EQ(delivered(), bytes_of("START"));
}

TEST_F(FetchTest, DeliversTheNewestPartialSegment) {
  const std::string name = "000000010000000000000001.partial";
  EXPECT_EQ(fetch(name), "absent");
  const auto at = [](int second) { return Timestamp(std::chrono::seconds(second)); };
  archive_file(archive_, name, wal_segment({.seed = 1}), at(1), at(5));
  archive_file(archive_, name, wal_segment({.seed = 2}), at(2), at(9));
  archive_file(archive_, name, wal_segment({.seed = 3}), at(3), at(7));
  ASSERT_EQ(fetch(name), "delivered");
  EXPECT_TRUE(delivered() == wal_segment({.seed = 2}));
}

TEST_F(FetchTest, CallsTheEndOfATimelineAbsent) {
  archive_segments(archive_, 1, 1, 4);
  EXPECT_EQ(fetch(1, 4), "delivered");
  EXPECT_EQ(fetch(1, 5), "absent");
  EXPECT_EQ(fetch(1, 6), "absent");
  EXPECT_EQ(fetch(1, 5000), "absent");
}

TEST_F(FetchTest, CallsEverythingAbsentInAnEmptyArchive) {
  EXPECT_EQ(fetch(1, 1), "absent");
  EXPECT_EQ(fetch("00000002.history"), "absent");
  EXPECT_EQ(fetch("00000001.history"), "absent");
}

TEST_F(FetchTest, CallsAHoleInATimelineDamageAndNotItsEnd) {
  archive_segments(archive_, 1, 1, 4);
  archive_segments(archive_, 1, 7, 8);
  EXPECT_EQ(fetch(1, 4), "delivered");
  EXPECT_EQ(fetch(1, 5), "corrupt");
  EXPECT_EQ(fetch(1, 6), "corrupt");
  EXPECT_EQ(fetch(1, 0), "corrupt");
  EXPECT_EQ(fetch(1, 9), "absent");
  const auto words = words_of_error(
      [&] { (void)fetch_wal_file(archive_, "000000010000000000000005", destination_, 1); });
  EXPECT_NE(words.find("000000010000000000000005"), std::string::npos) << words;
  EXPECT_NE(words.find("000000010000000000000007"), std::string::npos) << words;
}

TEST_F(FetchTest, SeesAHoleAcrossTheBorderOfALog) {
  // 4096 segments of 1 MiB make a log.
  archive_segments(archive_, 1, 4094, 4094);
  archive_segments(archive_, 1, 4098, 4098);
  EXPECT_EQ(fetch(1, 4095), "corrupt");
  EXPECT_EQ(fetch(1, 4096), "corrupt");
  EXPECT_EQ(fetch(1, 4099), "absent");
}

TEST_F(FetchTest, LetsATimelineEndWhereADescendantLeftIt) {
  // Timeline 2 leaves within segment 5, of which timeline 1 archived nothing.
  archive_segments(archive_, 1, 1, 4);
  archive_history(archive_, 2, {{.timeline = {1}, .end = {segment_start(5).value + 1000}}});
  archive_segments(archive_, 2, 5, 6);
  EXPECT_EQ(fetch(1, 5), "absent");
  EXPECT_EQ(fetch(1, 6), "absent");
  EXPECT_EQ(fetch(2, 7), "absent");
  EXPECT_EQ(fetch(2, 6), "delivered");
}

TEST_F(FetchTest, CallsAHoleBeforeADescendantsBranchDamage) {
  // Timeline 2 leaves in segment 7: timeline 1 ran through 5 and 6.
  archive_segments(archive_, 1, 1, 4);
  archive_history(archive_, 2, {{.timeline = {1}, .end = {segment_start(7).value + 1000}}});
  EXPECT_EQ(fetch(1, 5), "corrupt");
  EXPECT_EQ(fetch(1, 6), "corrupt");
  EXPECT_EQ(fetch(1, 7), "absent");
}

TEST_F(FetchTest, CountsTheSegmentBeforeABranchAtABorderAsNeeded) {
  archive_segments(archive_, 1, 1, 4);
  archive_history(archive_, 2, {{.timeline = {1}, .end = segment_start(6)}});
  EXPECT_EQ(fetch(1, 5), "corrupt");
  EXPECT_EQ(fetch(1, 6), "absent");
}

TEST_F(FetchTest, LooksAtDescendantsOfDescendants) {
  archive_segments(archive_, 1, 1, 4);
  archive_history(archive_, 3,
                  {{.timeline = {1}, .end = {segment_start(6).value + 8}},
                   {.timeline = {2}, .end = {segment_start(9).value + 8}}});
  EXPECT_EQ(fetch(1, 5), "corrupt");
  EXPECT_EQ(fetch(1, 6), "absent");
  EXPECT_EQ(fetch(2, 8), "corrupt");
  EXPECT_EQ(fetch(2, 9), "absent");
}

TEST_F(FetchTest, IsNotMisledByAnUnrelatedTimeline) {
  // Timeline 4 has no history with 2 in it.
  archive_segments(archive_, 1, 1, 3);
  archive_segments(archive_, 2, 3, 4);
  archive_history(archive_, 2, {{.timeline = {1}, .end = {segment_start(3).value + 8}}});
  archive_history(archive_, 4, {{.timeline = {1}, .end = {segment_start(3).value + 16}}});
  archive_segments(archive_, 4, 3, 90);
  EXPECT_EQ(fetch(2, 5), "absent");
}

TEST_F(FetchTest, DoesNotTakeOtherFilesOfATimelineForLaterSegments) {
  archive_segments(archive_, 1, 1, 2);
  archive_file(archive_, "000000010000000000000008.partial", wal_segment({.number = 8}));
  archive_file(archive_, "000000010000000000000008.00000028.backup", as_bytes("x"));
  EXPECT_EQ(fetch(1, 3), "absent");
}

TEST_F(FetchTest, DoesNotTakeAnotherClustersWalForItsOwn) {
  auto other = test_cluster();
  other.name = "other";
  archive_segments(WalArchive(repository_, other), 1, 1, 9);
  other = test_cluster();
  other.number = 2;
  archive_segments(WalArchive(repository_, other), 1, 1, 9);
  EXPECT_EQ(fetch(1, 5), "absent");
}

TEST_F(FetchTest, DeliversNothingOfADamagedObject) {
  const WalSegmentSpec spec{.content_bytes = 2000};
  const auto key = archive_file(archive_, spec.name(), wal_segment(spec));
  const auto object = *made_.storage.find(key, whole_object);
  const auto prefix = parse_wal_object_header(ObjectCodec(), object, key).frames_offset;
  const auto trailer_at = object.size() - 32;
  for (std::size_t byte = 0; byte < trailer_at; byte += byte < prefix ? 1 : 13) {
    auto damaged = object;
    damaged[byte] ^= 0x10;
    made_.storage.overwrite(key, damaged);
    EXPECT_EQ(fetch(spec.name()), "corrupt") << byte;
  }
}

TEST_F(FetchTest, DeliversNothingOfATruncatedObject) {
  const WalSegmentSpec spec{.content_bytes = 2000};
  const auto key = archive_file(archive_, spec.name(), wal_segment(spec));
  const auto object = *made_.storage.find(key, whole_object);
  for (std::size_t length = 0; length < object.size() - 32; length += 37) {
    made_.storage.overwrite(key, {object.begin(), object.begin() + static_cast<long>(length)});
    EXPECT_EQ(fetch(spec.name()), "corrupt") << length;
  }
}

TEST_F(FetchTest, DeliversNothingOfAnObjectThatBelongsElsewhere) {
  archive_segments(archive_, 1, 1, 2);
  const auto first = archive_.key_of("000000010000000000000001");
  const auto second = archive_.key_of("000000010000000000000002");
  made_.storage.overwrite(first, *made_.storage.find(second, whole_object));
  EXPECT_EQ(fetch(1, 1), "corrupt");
}

TEST_F(FetchTest, DoesNotCallAStorageOutOfReachAnEnd) {
  archive_segments(archive_, 1, 1, 2);
  for (const auto* const failing : {"find", "list_names", "list"}) {
    hooked_.before = [&](std::string_view operation, std::string_view) {
      if (operation == failing) throw Error(ErrorKind::unavailable, "out of reach");
    };
    EXPECT_EQ(fetch(1, 3), "unavailable") << failing;
  }
}

TEST_F(FetchTest, RefusesWhatIsNoNameOfAWalFile) {
  for (const auto* const name : {"", "postgresql.conf", "../../etc/passwd",
                                 "00000001000000000000000a", "000000010000000000000001x"}) {
    EXPECT_EQ(fetch(name), "usage") << name;
  }
}

TEST_F(FetchTest, SaysThatTheDestinationCannotBeWritten) {
  archive_segments(archive_, 1, 1, 1);
  EXPECT_EQ(error_of([&] {
              (void)fetch_wal_file(archive_, "000000010000000000000001",
                                   pg_wal_.path("none/RECOVERYXLOG"), 1);
            }),
            "unavailable");
  fs::create_directory(destination_);
  EXPECT_EQ(error_of([&] {
              (void)fetch_wal_file(archive_, "000000010000000000000001", destination_, 1);
            }),
            "unavailable");
  EXPECT_FALSE(fs::exists(destination_ + ".walvault-part"));
}

TEST_F(FetchTest, DeliversAPartOnlyWhereItWasToldTo) {
  archive_segments(archive_, 1, 2, 3);
  const WalSegmentSpec spec{.number = 4};
  const auto name = spec.name();
  const auto key = archive_file(archive_, name + ".partial", wal_segment(spec));
  const auto partial = key.substr(key.find_last_of('/') + 1);
  const auto fetch_with_partial = [&](const std::string& asked, const std::string& named) {
    fs::remove(destination_);
    RecoveryPin pin;
    pin.partial = named;
    return fetch_wal_file(archive_, asked, destination_, 1, pin);
  };
  EXPECT_EQ(fetch_with_partial(name, ""), FetchOutcome::absent);
  EXPECT_EQ(fetch_with_partial(name, name + ".partial"), FetchOutcome::absent);
  EXPECT_EQ(fetch_with_partial(name, name + ".partial.00"), FetchOutcome::absent);
  EXPECT_EQ(fetch_with_partial(name, name + ".partial./../x"), FetchOutcome::absent);
  EXPECT_EQ(fetch_with_partial(WalSegmentSpec{.number = 5}.name(), partial), FetchOutcome::absent);
  EXPECT_EQ(fetch_with_partial(name, partial), FetchOutcome::delivered);
  EXPECT_TRUE(delivered() == wal_segment(spec));

  // Behind it a gap stays a gap for whoever planned otherwise, and a whole segment wins.
  archive_segments(archive_, 1, 6, 6);
  EXPECT_EQ(error_of([&] { (void)fetch_with_partial(name, ""); }), "corrupt");
  EXPECT_EQ(fetch_with_partial(name, partial), FetchOutcome::delivered);
  const WalSegmentSpec whole{.number = 4, .seed = 9};
  archive_file(archive_, name, wal_segment(whole));
  EXPECT_EQ(fetch_with_partial(name, partial), FetchOutcome::delivered);
  EXPECT_TRUE(delivered() == wal_segment(whole));
}

TEST_F(FetchTest, TakesAnotherBranchsDescendantForNoHint) {
  // 2-0 runs to segment 7, where 3 left it; 2-1 to segment 5.
  archive_segments(archive_, 1, 2, 4);
  archive_history(archive_, 2, {{.timeline = {1}, .end = segment_start(4)}});
  archive_segments(archive_, 2, 4, 7);
  archive_history(archive_, 3,
                  {{.timeline = {1}, .end = segment_start(4)},
                   {.timeline = {2}, .end = {segment_start(9).value}}});
  (void)archive_.set_aside({2}, {});
  const WalArchive now(repository_, test_cluster());
  archive_history(now, 2, {{.timeline = {1}, .end = segment_start(4)}});
  archive_segments(now, 2, 4, 5);
  const auto outcome = [&](const WalArchive& archive, std::uint64_t number) {
    const auto name = WalSegmentSpec{.timeline = 2, .number = number}.name();
    auto failure = error_of([&] { (void)fetch_wal_file(archive, name, destination_, 1); });
    return failure == "nothing" ? std::string("absent") : failure;
  };
  EXPECT_EQ(outcome(now, 6), "absent");
  EXPECT_EQ(outcome(now.with({{{2}, 0}}), 8), "corrupt");  // 3 came from there
}

// What was planned: timeline 1 to segment 3.
TEST_F(FetchTest, OfATimelineThatWasLeftDeliversWhatLiesBefore) {
  const WalSegmentSpec spec{.number = 3, .content_bytes = 600'000};
  archive_file(archive_, spec.name(), wal_segment(spec));
  const auto fetch_left_at = [&](std::uint64_t offset) {
    return fetch_wal_file(archive_, spec.name(), destination_, 1, {},
                          Lsn{segment_start(3).value + offset});
  };
  EXPECT_EQ(fetch_left_at(0), FetchOutcome::absent);
  EXPECT_EQ(fetch_left_at(100'000), FetchOutcome::delivered);
  auto before = wal_segment(spec);
  std::fill(before.begin() + 100'000, before.end(), std::uint8_t{0});
  EXPECT_TRUE(delivered() == before);
  EXPECT_EQ(fetch_left_at(test_segment_bytes), FetchOutcome::delivered);
  EXPECT_TRUE(delivered() == wal_segment(spec));
}

TEST_F(FetchTest, APlanSaysWhatIsNotThere) {
  archive_segments(archive_, 1, 2, 3);
  archive_history(archive_, 2, {{.timeline = {1}, .end = {7 * test_segment_bytes}}});
  EXPECT_EQ(fetch(1, 4), "corrupt");
  RecoveryPin pin;
  pin.timeline = {1};
  EXPECT_EQ(fetch_wal_file(archive_, WalSegmentSpec{.number = 4}.name(), destination_, 1, pin),
            FetchOutcome::absent);
}

TEST_F(FetchTest, WhatAPlanNeedsIsNeverAbsent) {
  archive_segments(archive_, 1, 2, 2);
  RecoveryPin pin;
  pin.timeline = {1};
  pin.runs = {{.timeline = {1}, .first = 2, .segments = 2}};
  const auto fetch = [&](const std::string& name) {
    fs::remove(destination_);
    return fetch_wal_file(archive_, name, destination_, 1, pin);
  };
  EXPECT_EQ(fetch("000000010000000000000002"), FetchOutcome::delivered);
  EXPECT_EQ(error_of([&] { (void)fetch("000000010000000000000003"); }), "corrupt");
  EXPECT_EQ(fetch("000000010000000000000004"), FetchOutcome::absent);
  // Behind the plan, what has come meanwhile.
  archive_segments(archive_, 1, 3, 5);
  EXPECT_EQ(fetch("000000010000000000000005"), FetchOutcome::delivered);
}

TEST_F(FetchTest, APlanIsNotLedToAnotherTimeline) {
  archive_segments(archive_, 1, 2, 3);
  archive_history(archive_, 2, {{.timeline = {1}, .end = {4 * test_segment_bytes}}});
  archive_segments(archive_, 2, 4, 4);
  RecoveryPin pin;
  pin.timeline = {1};
  const std::string of_two = "000000020000000000000004";
  EXPECT_EQ(error_of([&] { (void)fetch_wal_file(archive_, of_two, destination_, 1, pin); }),
            "conflict");
  // Its history tells PostgreSQL that the number is taken.
  EXPECT_EQ(fetch_wal_file(archive_, "00000002.history", destination_, 1, pin),
            FetchOutcome::delivered);
  pin.timeline = {2};
  EXPECT_EQ(fetch_wal_file(archive_, of_two, destination_, 1, pin), FetchOutcome::delivered);
}

}  // namespace
}  // namespace walvault
