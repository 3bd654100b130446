#include "archiving/rescue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "archiving/server_notes.h"
#include "support/catalog_examples.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/process_in.h"
#include "support/stored_backups.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RescueTest : public testing::Test {
 protected:
  RescueTest() { fs::create_directories(pg_wal() + "/archive_status"); }

  [[nodiscard]] std::string pg_wal() const { return directory_.path("pg_wal"); }
  void put(const WalSegmentSpec& spec) {
    write_test_file(pg_wal(), spec.name(), wal_segment(spec));
  }
  // A file of that name with the WAL of another position: recycled.
  void put_recycled(std::uint64_t number) {
    write_test_file(pg_wal(), WalSegmentSpec{.number = number}.name(), wal_segment({.number = 1}));
  }
  void mark(std::uint64_t number, const std::string& suffix) {
    write_test_file(pg_wal() + "/archive_status", WalSegmentSpec{.number = number}.name() + suffix,
                    {});
  }
  RescueResult rescue(RescueOf what = RescueOf::what_follows) {
    return rescue_wal(archive_, directory_.path(), what, made_.clock,
                      {.compression = {}, .threads = 1});
  }
  [[nodiscard]] std::string refusal(RescueOf what = RescueOf::what_follows) {
    return error_of([&] { (void)rescue(what); });
  }
  // As the server did that archived it, of that number or of none.
  void archive(const WalSegmentSpec& spec, std::optional<std::uint8_t> archiver = {}) {
    PushOptions options;
    if (archiver) options.origin.archiver.emplace().fill(*archiver);
    (void)push_wal_segment(archive_, {.timeline = {spec.timeline}, .number = spec.number},
                           wal_segment(spec), made_.clock, options);
  }
  static std::vector<std::string> names_of(const RescueResult& result) {
    std::vector<std::string> names;
    for (const auto& file : result.archived) names.push_back(file.name);
    return names;
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{repository_, test_cluster()};
  TemporaryDirectory directory_;
};

TEST_F(RescueTest, ArchivesWholeSegmentsAndTheLastOneInPart) {
  for (const std::uint64_t number : {3u, 4u, 5u}) put({.number = number});
  put_recycled(6);
  write_test_file(pg_wal(), "000000010000000000000007", Bytes(test_segment_bytes));
  write_test_file(pg_wal(), "xlogtemp.123", {});
  const auto result = rescue();
  EXPECT_THAT(names_of(result), ElementsAre("000000010000000000000003", "000000010000000000000004",
                                            "000000010000000000000005.partial"));
  EXPECT_EQ(result.passed_over, 2u);
  EXPECT_THAT(result.failed, IsEmpty());
  EXPECT_TRUE(archive_.has_segment({.timeline = {1}, .number = 4}));
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 5}));
  EXPECT_TRUE(archive_.find_partial_key("000000010000000000000005.partial"));

  for (const auto& file : rescue().archived) EXPECT_TRUE(file.already_there) << file.name;
}

TEST_F(RescueTest, TakesALastSegmentForWholeThatItsServerMarked) {
  for (const auto* suffix : {".ready", ".done"}) {
    put({.number = 5});
    mark(5, suffix);
    EXPECT_THAT(names_of(rescue()), ElementsAre("000000010000000000000005"));
    fs::remove(pg_wal() + "/archive_status/000000010000000000000005" + suffix);
  }
}

TEST_F(RescueTest, TellsTimelinesApart) {
  put({.number = 3});
  put({.number = 4});
  put({.timeline = 2, .number = 4});
  put({.timeline = 2, .number = 5});
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/480000\tno recovery target\n"));
  EXPECT_THAT(names_of(rescue()),
              ElementsAre("00000002.history", "000000010000000000000003",
                          "000000010000000000000004.partial", "000000020000000000000004",
                          "000000020000000000000005.partial"));
}

// A server that was restored in place uses files of its older timeline again, of the same
// positions.
TEST_F(RescueTest, PassesOverWhatIsOfThePositionOnAnOlderTimeline) {
  put({.timeline = 2, .number = 5});
  const WalSegmentSpec next{.timeline = 2, .number = 6};
  write_test_file(pg_wal(), next.name(), wal_segment({.timeline = 1, .number = 6}));
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/480000\tno recovery target\n"));
  const auto result = rescue(RescueOf::anything);
  EXPECT_THAT(names_of(result),
              ElementsAre("00000002.history", "000000020000000000000005.partial"));
  EXPECT_EQ(result.passed_over, 1u);
}

TEST_F(RescueTest, WritesNothingWhereTheNewestThatBothHaveDiffers) {
  for (const std::uint64_t number : {2u, 3u, 4u, 5u}) put({.number = number});
  archive({.number = 2});
  // Another server's segment 3 is archived.
  archive({.number = 3, .seed = 99});
  for (const auto what : {RescueOf::what_follows, RescueOf::the_same_server, RescueOf::anything}) {
    EXPECT_EQ(refusal(what), "conflict");
  }
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 4}));
  EXPECT_FALSE(archive_.find_partial_key("000000010000000000000005.partial"));
}

TEST_F(RescueTest, WritesNothingThatSharesNothingWithTheArchiveUnlessItIsAccepted) {
  archive({.number = 2});
  for (const std::uint64_t number : {4u, 5u, 6u}) put({.number = number});
  EXPECT_EQ(refusal(), "conflict");
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 4}));
  EXPECT_THAT(names_of(rescue(RescueOf::anything)),
              ElementsAre("000000010000000000000004", "000000010000000000000005",
                          "000000010000000000000006.partial"));
}

TEST_F(RescueTest, MissesNothingThatNoBackupNeeds) {
  for (std::uint64_t number = 3; number <= 8; ++number) put({.number = number});
  for (std::uint64_t number = 6; number <= 7; ++number) archive({.number = number});
  store_backup(made_.repository, backup_of("a", 1, 6, 6));
  EXPECT_THAT(names_of(rescue()),
              ElementsAre("000000010000000000000006", "000000010000000000000007",
                          "000000010000000000000008.partial"));
}

TEST_F(RescueTest, WritesNothingBehindAHole) {
  archive({.number = 3});
  for (const std::uint64_t number : {3u, 5u, 6u}) put({.number = number});
  EXPECT_EQ(refusal(), "conflict");
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 5}));
}

TEST_F(RescueTest, UnaskedTakesOnlyWhatIsOfTheServerThatWasArchivedFor) {
  for (const std::uint64_t number : {3u, 4u, 5u}) put({.number = number});
  const ServerNotes notes(directory_.path());
  const auto own = notes.archiver(system_randomness()).value();
  // It is not known for whom that was archived: who asks for it has it.
  archive({.number = 3});
  EXPECT_EQ(refusal(RescueOf::the_same_server), "conflict");
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 4}));
  // For another one, or of a copy that has no notes: not even then.
  made_.storage.remove({archive_.key_of("000000010000000000000003")});
  archive({.number = 3}, static_cast<std::uint8_t>(own[0] + 1));
  EXPECT_EQ(refusal(RescueOf::the_same_server), "conflict");
  EXPECT_EQ(refusal(RescueOf::what_follows), "conflict");
  fs::rename(notes_directory(directory_.path()), directory_.path("notes"));
  EXPECT_EQ(refusal(RescueOf::what_follows), "conflict");
  fs::rename(directory_.path("notes"), notes_directory(directory_.path()));
  made_.storage.remove({archive_.key_of("000000010000000000000003")});
  PushOptions options;
  options.origin.archiver = own;
  (void)push_wal_segment(archive_, {.timeline = {1}, .number = 3}, wal_segment({.number = 3}),
                         made_.clock, options);
  EXPECT_EQ(rescue(RescueOf::the_same_server).archived.size(), 3u);
  // Each knows the one before it, and its archiver.
  const auto found = archive_.find_summary(archive_.key_of("000000010000000000000004"));
  EXPECT_EQ(found->origin.before, sha256(wal_segment({.number = 3})));
  EXPECT_EQ(found->origin.archiver, own);
}

// What its history left, another server filled further: that contradicts nothing.
TEST_F(RescueTest, ALeftTimelinesLastSegmentIsNotCompared) {
  archive({.number = 3});
  archive({.number = 4, .seed = 99});
  put({.number = 3});
  put({.number = 4});
  mark(4, ".done");
  put({.timeline = 2, .number = 4});
  put({.timeline = 2, .number = 5});
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/480000\tno recovery target\n"));
  EXPECT_THAT(names_of(rescue()),
              ElementsAre("00000002.history", "000000010000000000000003",
                          "000000020000000000000004", "000000020000000000000005.partial"));
}

// The timeline before, which both share, says nothing of who goes on.
TEST_F(RescueTest, ACopyOnALaterTimelineIsNoBetterThanOneOnTheFirst) {
  archive({.number = 3}, 1);
  archive({.timeline = 2, .number = 4}, 1);
  put({.number = 3});
  for (const std::uint64_t number : {4u, 5u, 6u}) put({.timeline = 2, .number = number});
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/400000\tno recovery target\n"));
  EXPECT_EQ(refusal(RescueOf::the_same_server), "conflict");
  EXPECT_FALSE(archive_.has_segment({.timeline = {2}, .number = 5}));
}

// The server of this directory began a timeline and archived its history file, and nothing more.
TEST_F(RescueTest, UnaskedTakesTheBeginningOfATimelineThatThisServerBegan) {
  archive({.number = 3}, 1);
  const auto history = bytes_of("1\t0/400000\tno recovery target\n");
  for (const std::uint64_t number : {4u, 5u}) put({.timeline = 2, .number = number});
  write_test_file(pg_wal(), "00000002.history", history);
  (void)push_timeline_history(archive_, {2}, history, made_.clock, {});
  EXPECT_EQ(refusal(RescueOf::the_same_server), "conflict");
  const ServerNotes notes(directory_.path());
  ASSERT_TRUE(notes.archiver(system_randomness()));
  notes.put_last(
      {.place = "place", .key = archive_.key_of("00000002.history"), .digest = sha256(history)});
  EXPECT_THAT(names_of(rescue(RescueOf::the_same_server)),
              ElementsAre("00000002.history", "000000020000000000000004",
                          "000000020000000000000005.partial"));
}

TEST_F(RescueTest, NamesASegmentThatIsDamaged) {
  put({.number = 3});
  put({.number = 5});
  // Followed by one that is right, or marked: it was never recycled.
  write_test_file(pg_wal(), WalSegmentSpec{.number = 4}.name(), Bytes(test_segment_bytes));
  write_test_file(pg_wal(), WalSegmentSpec{.number = 8}.name(), Bytes(test_segment_bytes));
  mark(8, ".ready");
  const auto result = rescue();
  ASSERT_EQ(result.failed.size(), 2u);
  EXPECT_EQ(result.failed[0].name, WalSegmentSpec{.number = 4}.name());
  EXPECT_EQ(result.failed[1].name, WalSegmentSpec{.number = 8}.name());
  EXPECT_EQ(result.passed_over, 0u);
}

TEST_F(RescueTest, TakesNothingOfAnotherClustersDirectory) {
  put({.number = 3, .system_identifier = 5});
  write_test_file(pg_wal(), "00000002.history", bytes_of("1\t0/480000\tno recovery target\n"));
  EXPECT_TRUE(rescue().archived.empty());
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());
  EXPECT_FALSE(find_identity_of({test_cluster()}, directory_.path()));
  EXPECT_FALSE(newest_timeline_in(test_cluster(), directory_.path()));
}

TEST_F(RescueTest, KnowsADirectoryWithoutPgControlByItsSegments) {
  put({.timeline = 3, .number = 3});
  auto other = test_cluster();
  other.number = 2;
  other.system_identifier = 5;
  const auto found = find_identity_of({test_cluster(), other}, directory_.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->number, 1u);
  EXPECT_EQ(newest_timeline_in(*found, directory_.path()), TimelineId{3});
  // A damaged pg_control is as good as none.
  fs::create_directories(directory_.path("global"));
  write_test_file(directory_.path("global"), "pg_control", Bytes(8192, 7));
  EXPECT_TRUE(find_identity_of({test_cluster(), other}, directory_.path()));
}

TEST_F(RescueTest, DoesNotTakeAFetchedPartForAWholeSegment) {
  put({.number = 5});
  EXPECT_THAT(names_of(rescue()), ElementsAre("000000010000000000000005.partial"));
  // As a server leaves it that recovered to its end.
  mark(5, ".done");
  const auto result = rescue();
  EXPECT_THAT(result.archived, IsEmpty());
  EXPECT_EQ(result.passed_over, 1u);
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 5}));
}

TEST_F(RescueTest, EndsWithTheStorage) {
  put({.number = 3});
  hooked_.before = [](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "the disk is full");
  };
  EXPECT_EQ(error_of([&] { (void)rescue(); }), "unavailable");
}

TEST_F(RescueTest, RefusesARunningServerAndWhatIsNoDataDirectory) {
  put({.number = 3});
  const ProcessIn server(directory_.path());
  write_test_file(directory_.path(), "postmaster.pid",
                  bytes_of(std::to_string(server.pid()) + "\n"));
  EXPECT_EQ(error_of([&] { (void)rescue(); }), "conflict");
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());
  EXPECT_EQ(error_of([&] {
              (void)rescue_wal(archive_, directory_.path("none"), RescueOf::anything, made_.clock,
                               {});
            }),
            "not_found");
}

}  // namespace
}  // namespace walvault
