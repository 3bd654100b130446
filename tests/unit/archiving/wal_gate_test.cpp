#include "archiving/wal_gate.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "archiving/push.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_builder.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

class WalGateTest : public testing::Test {
 protected:
  WalGateTest() { std::filesystem::create_directories(pg_wal()); }

  [[nodiscard]] std::string pg_wal() const { return directory_.path("pg_wal"); }
  void put(const WalSegmentSpec& spec) {
    write_test_file(pg_wal(), spec.name(), wal_segment(spec));
  }
  void archive(const WalSegmentSpec& spec) {
    (void)push_wal_segment(archive_, {.timeline = {spec.timeline}, .number = spec.number},
                           wal_segment(spec), made_.clock, {});
  }
  [[nodiscard]] std::optional<Digest> before(const WalSegmentSpec& spec,
                                             const std::optional<LastArchived>& last = {}) {
    return expect_follows_archived(archive_, pg_wal() + "/" + spec.name(),
                                   {.timeline = {spec.timeline}, .number = spec.number}, "place",
                                   last);
  }
  [[nodiscard]] std::string refusal(const WalSegmentSpec& spec) {
    return error_of([&] { (void)before(spec); });
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  TemporaryDirectory directory_;
};

TEST_F(WalGateTest, WhatIsNotKnownIsLetThrough) {
  EXPECT_EQ(before({.number = 4}), std::nullopt);
  // One that is not archived, and one that is used again.
  put({.number = 3});
  EXPECT_EQ(before({.number = 4}), sha256(wal_segment({.number = 3})));
  write_test_file(pg_wal(), WalSegmentSpec{.number = 3}.name(), wal_segment({.number = 1}));
  archive({.number = 3});
  EXPECT_EQ(before({.number = 4}), std::nullopt);
}

TEST_F(WalGateTest, TheSegmentBeforeHasToBeTheArchivedOne) {
  archive({.number = 3});
  put({.number = 3});
  EXPECT_EQ(before({.number = 4}), sha256(wal_segment({.number = 3})));
  put({.number = 3, .seed = 99});
  EXPECT_EQ(refusal({.number = 4}), "conflict");
}

// A standby that was promoted right behind the switch has what the file held before.
TEST_F(WalGateTest, WhatLiesBehindASwitchContradictsNothing) {
  WalBuilder wal(3);
  wal.add_filler(300);
  wal.add_switch();
  const auto primary = wal.segment(0);
  auto standby = primary;
  std::fill(standby.begin() + test_segment_bytes / 2, standby.end(), std::uint8_t{7});
  const auto name = WalSegmentSpec{.number = 3}.name();
  const SegmentName segment{.timeline = {1}, .number = 3};
  write_test_file(pg_wal(), name, standby);
  (void)push_wal_segment(archive_, segment, primary, made_.clock, {});
  EXPECT_EQ(before({.number = 4}), std::nullopt);
  // The other way round it is the archive that does not tell.
  made_.storage.remove({archive_.key_of(name)});
  const auto pushed = push_wal_segment(archive_, segment, standby, made_.clock, {});
  EXPECT_EQ(pushed.digest, std::nullopt);
  write_test_file(pg_wal(), name, primary);
  EXPECT_EQ(before({.number = 4}), sha256(primary));
  EXPECT_EQ(archive_.find_chain_summary(segment, archive_.key_of(name))->digest, std::nullopt);
}

// A copy that goes on with a number which another promotion has by now.
TEST_F(WalGateTest, WhereNothingIsSharedTheHistoryHasToBeTheArchivedOne) {
  const auto own = bytes_of("1\t0/480000\tno recovery target\n");
  write_test_file(pg_wal(), "00000002.history", own);
  EXPECT_EQ(before({.timeline = 2, .number = 6}), std::nullopt);
  (void)push_timeline_history(archive_, {2}, own, made_.clock, {});
  EXPECT_EQ(before({.timeline = 2, .number = 6}), std::nullopt);
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/400000\tno recovery target\n"));
  EXPECT_EQ(refusal({.timeline = 2, .number = 6}), "conflict");
  // What is shared says more.
  archive({.timeline = 2, .number = 5});
  put({.timeline = 2, .number = 5});
  EXPECT_NE(before({.timeline = 2, .number = 6}), std::nullopt);
}

TEST_F(WalGateTest, WhatCannotBeReadContradictsNothing) {
  archive({.number = 3});
  put({.number = 3, .seed = 99});
  auto object = *made_.storage.find(archive_.key_of(WalSegmentSpec{.number = 3}.name()), {});
  made_.storage.overwrite(archive_.key_of(WalSegmentSpec{.number = 3}.name()),
                          Bytes(object.begin(), object.begin() + 40));
  EXPECT_EQ(refusal({.number = 4}), "nothing");
}

TEST_F(WalGateTest, OfATimelinesFirstItIsThatOfTheTimelineBefore) {
  archive({.number = 3});
  put({.number = 3, .seed = 99});
  EXPECT_EQ(refusal({.timeline = 2, .number = 4}), "nothing");
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/480000\tno recovery target\n"));
  EXPECT_EQ(refusal({.timeline = 2, .number = 4}), "conflict");
  put({.number = 3});
  EXPECT_EQ(before({.timeline = 2, .number = 4}), sha256(wal_segment({.number = 3})));
}

TEST_F(WalGateTest, TheServersOwnNoteOfTheSegmentBeforeIsEnough) {
  const LastArchived last{.place = "place",
                          .key = archive_.key_of(WalSegmentSpec{.number = 3}.name()),
                          .digest = sha256(as_bytes("3"))};
  EXPECT_EQ(before({.number = 4}, last), last.digest);
  // Of another segment, and of another repository, it says nothing.
  EXPECT_EQ(before({.number = 5}, last), std::nullopt);
  auto elsewhere = last;
  elsewhere.place = "another";
  EXPECT_EQ(before({.number = 4}, elsewhere), std::nullopt);
}

TEST(ServerNotesTest, AreOfOneDataDirectory) {
  TemporaryDirectory directory;
  const auto data = directory.path("data");
  std::filesystem::create_directories(data);
  const auto id = ServerNotes(data).archiver(system_randomness());
  ASSERT_TRUE(id);
  EXPECT_EQ(ServerNotes(data).archiver(system_randomness()), id);
  EXPECT_EQ(find_archiver_id(data), id);
  const ServerNotes notes(data);
  (void)notes.archiver(system_randomness());
  const LastArchived last{.place = "p", .key = "k", .digest = sha256(as_bytes("x"))};
  notes.put_last(last);
  EXPECT_EQ(notes.last(), last);

  // A copy, notes and all, is another one, and does not believe what it finds.
  const auto copy = directory.path("copy");
  std::filesystem::copy(data, copy);
  std::filesystem::copy(notes_directory(data), notes_directory(copy));
  EXPECT_EQ(find_archiver_id(copy), std::nullopt);
  EXPECT_TRUE(find_archiver_note(copy));
  const ServerNotes of_copy(copy);
  const auto other = of_copy.archiver(system_randomness());
  ASSERT_TRUE(other);
  EXPECT_NE(other, id);
  EXPECT_EQ(of_copy.last(), std::nullopt);
  EXPECT_EQ(find_archiver_id(data), id);
}

TEST(ServerNotesTest, ThatOthersMayWriteToAreNotBelieved) {
  TemporaryDirectory directory;
  const auto data = directory.path("data");
  std::filesystem::create_directories(data);
  ASSERT_TRUE(ServerNotes(data).archiver(system_randomness()));
  std::filesystem::permissions(notes_directory(data), std::filesystem::perms::all);
  EXPECT_EQ(find_archiver_id(data), std::nullopt);
}

}  // namespace
}  // namespace walvault
