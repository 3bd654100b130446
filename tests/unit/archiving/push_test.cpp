#include "archiving/push.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"
#include "catalog/records/left_timeline.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_builder.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

class PushTest : public testing::Test {
 protected:
  PushResult push(const std::string& name, ByteView content) {
    return push_wal_file(archive_, write_test_file(pg_wal_.path(), name, content), made_.clock,
                         {.compression = {}, .threads = 2});
  }
  PushResult push(const WalSegmentSpec& spec) { return push(spec.name(), wal_segment(spec)); }

  // What the push throws; and it must have stored nothing.
  std::string refusal(const std::string& name, ByteView content) {
    const auto before = everything();
    auto outcome = error_of([&] { (void)push(name, content); });
    EXPECT_TRUE(everything() == before) << name;
    return outcome;
  }
  std::string refusal(const WalSegmentSpec& spec, const std::string& name = "") {
    return refusal(name.empty() ? spec.name() : name, wal_segment(spec));
  }

  [[nodiscard]] Bytes archived(const std::string& key) {
    return decode_wal_object(ObjectCodec(), made_.storage.find(key, whole_object).value(), key, 2);
  }
  [[nodiscard]] std::map<std::string, Bytes> everything() {
    std::map<std::string, Bytes> all;
    for (const auto& key : keys_under(made_.storage, "")) {
      all[key] = *made_.storage.find(key, whole_object);
    }
    return all;
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  TemporaryDirectory pg_wal_;
};

const std::string segment_key = "wal/main/1/00000001-0/00000000/000000010000000000000001";

TEST_F(PushTest, StoresASegmentThatReadsBack) {
  const auto content = wal_segment();
  const auto result = push(WalSegmentSpec{});
  EXPECT_EQ(result.name, "000000010000000000000001");
  EXPECT_FALSE(result.already_there);
  EXPECT_EQ(result.plain_bytes, test_segment_bytes);
  EXPECT_EQ(keys_under(made_.storage, "wal/"), std::vector<std::string>{segment_key});
  EXPECT_EQ(result.stored_bytes, made_.storage.find_size(segment_key));
  EXPECT_TRUE(archived(segment_key) == content);
}

TEST_F(PushTest, StoresASummaryOfTheSegmentsRecords) {
  const Timestamp noon{std::chrono::seconds(1'790'000'000)};
  WalBuilder wal(1);
  const auto first = wal.add_filler(100);
  wal.add_commit(700, noon);
  const auto last = wal.add_switch();
  const auto result = push(WalSegmentSpec{}.name(), wal.pages());
  EXPECT_EQ(result.damage, "");
  const auto found = archive_.find_summary(segment_key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->header.name, result.name);
  EXPECT_EQ(found->summary.first, first);
  EXPECT_EQ(found->summary.last, last);
  EXPECT_EQ(found->summary.commits, 1u);
  EXPECT_EQ(found->summary.latest, noon);
  EXPECT_FALSE(found->summary.stop);
}

// To lose it were worse.
TEST_F(PushTest, StoresADamagedSegmentAndSaysWhereItBreaksOff) {
  WalBuilder wal(1);
  for (int i = 0; i < 20; ++i) wal.add_filler(4000);
  wal.add_switch();
  auto content = wal.pages();
  content[40'000] ^= 1;
  const auto result = push(WalSegmentSpec{}.name(), content);
  EXPECT_NE(result.damage.find("its checksum does not fit"), std::string::npos) << result.damage;
  EXPECT_TRUE(archived(segment_key) == content);
  const auto found = archive_.find_summary(segment_key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->summary.stop->reason, WalStopReason::damage);
  EXPECT_EQ(found->summary.stop->text, result.damage);
}

TEST_F(PushTest, RecordsWhatTheSegmentIs) {
  const auto path = write_test_file(pg_wal_.path(), WalSegmentSpec{.number = 5}.name(),
                                    wal_segment({.number = 5}));
  const timespec times[2] = {{.tv_sec = 1'700'000'000, .tv_nsec = 0},
                             {.tv_sec = 1'700'000'001, .tv_nsec = 250'000'000}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  (void)push_wal_file(archive_, path, made_.clock, {});

  const auto header = archive_.find_header(archive_.key_of("000000010000000000000005"));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->kind, WalFileKind::segment);
  EXPECT_EQ(header->name, "000000010000000000000005");
  EXPECT_EQ(header->system_identifier, test_system_identifier);
  EXPECT_EQ(header->page_magic, 0xD110);
  EXPECT_EQ(header->start, Lsn{5 * test_segment_bytes});
  EXPECT_EQ(header->plain_bytes, test_segment_bytes);
  EXPECT_EQ(header->digest, sha256(wal_segment({.number = 5})));
  EXPECT_EQ(header->modified, Timestamp(std::chrono::milliseconds(1'700'000'001'250)));
  EXPECT_EQ(header->archived, made_.clock.now());
}

TEST_F(PushTest, StoresTheZerosAtASegmentsEndForNothing) {
  const auto result = push(WalSegmentSpec{.content_bytes = 1000});
  EXPECT_LT(result.stored_bytes, 1000u + 40 + 300);
  const auto header = archive_.find_header(segment_key);
  EXPECT_EQ(header->content_bytes, 1040u);
  EXPECT_TRUE(archived(segment_key) == wal_segment({.content_bytes = 1000}));
}

TEST_F(PushTest, KeepsZerosInTheMiddle) {
  auto content = wal_segment({.content_bytes = 100});
  content[700'000] = 1;
  (void)push("000000010000000000000001", content);
  EXPECT_TRUE(archived(segment_key) == content);
}

TEST_F(PushTest, StoresLargeSegmentsInFramesOfFourMebibytes) {
  constexpr std::uint32_t size = 32u << 20;
  auto identity = test_cluster();
  identity.name = "large";
  identity.geometry = {size};
  const WalArchive large(made_.repository, identity);
  const WalSegmentSpec spec{.content_bytes = 5'000'000, .segment_bytes = size};
  auto content = wal_segment(spec);
  // Frame 3 ends with zeros, frames 4 and 5 are zeros, 6 has one byte, the
  // last is zeros.
  content[3 * wal_frame_bytes + 9] = 1;
  content[6 * wal_frame_bytes + 77] = 1;
  const auto path = write_test_file(pg_wal_.path(), spec.name(), content);
  (void)push_wal_file(large, path, made_.clock, {.compression = {}, .threads = 3});

  const auto key = large.key_of(spec.name());
  const auto header = large.find_header(key);
  EXPECT_EQ(header->frames.size(), 7u);
  EXPECT_EQ(header->content_bytes, 6 * std::uint64_t{wal_frame_bytes} + 78);
  EXPECT_TRUE(archived(key) == content);
}

TEST_F(PushTest, TakesTheSameFileTwice) {
  (void)push(WalSegmentSpec{});
  const auto before = everything();
  made_.clock.advance(std::chrono::hours(1));
  const auto again = push(WalSegmentSpec{});
  EXPECT_TRUE(again.already_there);
  EXPECT_TRUE(everything() == before);
}

TEST_F(PushTest, RefusesOtherContentUnderAnArchivedName) {
  (void)push(WalSegmentSpec{});
  EXPECT_EQ(refusal(WalSegmentSpec{.seed = 2}), "conflict");
  EXPECT_TRUE(archived(segment_key) == wal_segment());
}

TEST_F(PushTest, DoesNotTakeADamagedObjectForTheSameFile) {
  (void)push(WalSegmentSpec{});
  auto object = *made_.storage.find(segment_key, whole_object);
  object[50] ^= 1;
  made_.storage.overwrite(segment_key, object);
  EXPECT_EQ(refusal(WalSegmentSpec{}), "corrupt");
}

TEST_F(PushTest, RefusesASegmentOfAnotherCluster) {
  EXPECT_EQ(refusal(WalSegmentSpec{.system_identifier = test_system_identifier + 1}), "conflict");
}

TEST_F(PushTest, RefusesASegmentOfAnotherMajor) {
  for (const auto magic : {std::uint16_t{0xD10D}, std::uint16_t{0xD113}}) {
    EXPECT_EQ(refusal(WalSegmentSpec{.magic = magic}), "conflict") << magic;
  }
}

TEST_F(PushTest, RefusesAFileOfTheWrongSize) {
  const auto content = wal_segment();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{20}, std::size_t{40}, content.size() / 2, content.size() - 1}) {
    EXPECT_EQ(refusal("000000010000000000000001", ByteView(content).first(size)), "corrupt")
        << size;
  }
  auto longer = content;
  longer.push_back(0);
  EXPECT_EQ(refusal("000000010000000000000001", longer), "corrupt");
}

TEST_F(PushTest, RefusesASegmentWhoseHeaderNamesAnotherSize) {
  auto content = wal_segment({.segment_bytes = 2u << 20});
  content.resize(test_segment_bytes);
  EXPECT_EQ(refusal("000000010000000000000000", content), "conflict");
}

TEST_F(PushTest, RefusesASegmentOfZeros) {
  EXPECT_EQ(refusal("000000010000000000000001", Bytes(test_segment_bytes)), "corrupt");
}

TEST_F(PushTest, RefusesADamagedFirstPage) {
  EXPECT_EQ(refusal(WalSegmentSpec{.magic = 0x1234}), "corrupt");
  EXPECT_EQ(refusal(WalSegmentSpec{.info = 0}), "corrupt");     // the short header
  EXPECT_EQ(refusal(WalSegmentSpec{.info = 0x12}), "corrupt");  // an unknown flag
  EXPECT_EQ(refusal(WalSegmentSpec{.page_bytes = 0}), "corrupt");
  EXPECT_EQ(refusal(WalSegmentSpec{.page_bytes = 8191}), "corrupt");
}

TEST_F(PushTest, RefusesTheWalOfAnotherPosition) {
  EXPECT_EQ(refusal(WalSegmentSpec{.number = 1}, "000000010000000000000002"), "corrupt");
  // A recycled file: right in all but its place.
  EXPECT_EQ(refusal(WalSegmentSpec{.number = 9}, "000000010000000000000008"), "corrupt");
}

TEST_F(PushTest, RefusesANewerTimelineThanTheNamesButNotAnOlder) {
  EXPECT_EQ(refusal(WalSegmentSpec{.timeline = 3}, "000000020000000000000001"), "corrupt");
  // The first segment of a timeline begins with its ancestor's pages.
  EXPECT_EQ(error_of([&] { (void)push("000000020000000000000001", wal_segment({.timeline = 1})); }),
            "nothing");
}

TEST_F(PushTest, RefusesANumberThatSegmentsOfThisSizeCannotHave) {
  EXPECT_EQ(refusal("000000010000000000001000", wal_segment()), "usage");
}

TEST_F(PushTest, RefusesWhatIsNoWalFile) {
  const auto content = wal_segment();
  for (const auto* const name :
       {"000000010000000000000001.tmp", "00000001000000000000000", "0000000100000000000000011",
        "00000001000000000000000g", "00000001000000000000000a", "1.history", "0000000A.History",
        "000000010000000000000001.partial.gz", "000000010000000000000001.backup", "postgresql.conf",
        "000000010000000000000001 "}) {
    EXPECT_EQ(refusal(name, content), "usage") << name;
  }
}

TEST_F(PushTest, DoesNotFindAMissingFile) {
  const auto before = everything();
  EXPECT_EQ(error_of([&] {
              (void)push_wal_file(archive_, pg_wal_.path("000000010000000000000001"), made_.clock,
                                  {});
            }),
            "not_found");
  EXPECT_TRUE(everything() == before);
}

TEST_F(PushTest, RefusesADirectoryInPlaceOfAFile) {
  for (const auto* const name : {"000000010000000000000001", "00000002.history"}) {
    std::filesystem::create_directory(pg_wal_.path(name));
    EXPECT_NE(error_of([&] { (void)push_wal_file(archive_, pg_wal_.path(name), made_.clock, {}); }),
              "nothing")
        << name;
  }
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());
}

TEST_F(PushTest, KeepsAHistoryFile) {
  const std::string content = "1\t0/500000\tno recovery target specified\n";
  (void)push("00000002.history", as_bytes(content));
  EXPECT_EQ(archive_.find_file("00000002.history"), bytes_of(content));
  EXPECT_EQ(keys_under(made_.storage, "wal/"),
            std::vector<std::string>{"wal/main/1/00000002-0/00000002.history"});
  EXPECT_TRUE(push("00000002.history", as_bytes(content)).already_there);
  EXPECT_EQ(refusal("00000002.history", as_bytes("1\t0/600000\tother\n")), "conflict");
}

// A standby that was not led to the abandoned one took its number.
TEST_F(PushTest, TheNumberOfAnAbandonedTimelineIsFree) {
  const auto of_the_copy = as_bytes("1\t0/500000\tno recovery target specified\n");
  const auto of_the_standby = as_bytes("1\t0/600000\tno recovery target specified\n");
  (void)push("00000002.history", of_the_copy);
  LeftTimeline left;
  left.timeline = {.timeline = {2}, .branch = 0};
  put_left_timeline(made_.repository, archive_.identity(), left);
  EXPECT_TRUE(push("00000002.history", of_the_copy).already_there);
  (void)push("00000002.history", of_the_standby);
  EXPECT_EQ(keys_under(made_.storage, "wal/"),
            (std::vector<std::string>{"wal/main/1/00000002-0/00000002.history",
                                      "wal/main/1/00000002-1/00000002.history"}));
  // The next one is nobody's that was abandoned.
  const WalArchive now(made_.repository, archive_.identity());
  const auto path = write_test_file(pg_wal_.path(), "00000002.history", of_the_copy);
  EXPECT_EQ(error_of([&] { (void)push_wal_file(now, path, made_.clock, {}); }), "conflict");
}

TEST_F(PushTest, RefusesADamagedHistoryFile) {
  EXPECT_EQ(refusal("00000002.history", as_bytes("gibberish\n")), "corrupt");
  EXPECT_EQ(refusal("00000002.history", as_bytes("2\t0/500000\tnot an ancestor\n")), "corrupt");
  EXPECT_EQ(refusal("00000002.history", Bytes((1u << 20) + 1, 'x')), "corrupt");
}

TEST_F(PushTest, KeepsABackupHistoryFile) {
  const std::string name = "000000010000000000000003.00000028.backup";
  (void)push(name, as_bytes("START WAL LOCATION: 0/300028\n"));
  EXPECT_EQ(archive_.find_file(name), bytes_of("START WAL LOCATION: 0/300028\n"));
  EXPECT_EQ(keys_under(made_.storage, "wal/"),
            std::vector<std::string>{"wal/main/1/00000001-0/00000000/" + name});
}

TEST_F(PushTest, KeepsAPartialSegmentAgainWithOtherContent) {
  const std::string name = "000000010000000000000001.partial";
  (void)push(name, wal_segment({.content_bytes = 1000}));
  const auto first = archive_.find_partial_key(name);
  made_.clock.advance(std::chrono::seconds(1));
  (void)push(name, wal_segment({.content_bytes = 2000}));
  const auto second = archive_.find_partial_key(name);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_TRUE(archived(*first) == wal_segment({.content_bytes = 1000}));
  EXPECT_TRUE(archived(*second) == wal_segment({.content_bytes = 2000}));
  EXPECT_TRUE(push(name, wal_segment({.content_bytes = 1000})).already_there);
  // And none of them stands for the segment.
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 1}));
  EXPECT_TRUE(archive_.segments({1}).empty());
}

TEST_F(PushTest, ChecksAPartialSegmentAsItDoesAWholeOne) {
  const std::string name = "000000010000000000000001.partial";
  EXPECT_EQ(refusal(name, Bytes(test_segment_bytes)), "corrupt");
  EXPECT_EQ(refusal(name, ByteView(wal_segment()).first(5000)), "corrupt");
  EXPECT_EQ(refusal(name, wal_segment({.system_identifier = 1})), "conflict");
}

// It was out of reach when the timeline was set aside.
TEST_F(PushTest, APlaceThatLacksABranchGetsItFirst) {
  MemoryRepository other;
  const WalArchive there(other.repository, test_cluster());
  for (const WalArchive* const archive : {&std::as_const(archive_), &there}) {
    (void)push_wal_segment(*archive, {.timeline = {1}, .number = 1}, wal_segment({.seed = 99}),
                           made_.clock, {});
  }
  (void)archive_.set_aside({1}, made_.clock.now());
  // Of other timelines it may have branches of its own.
  (void)push_timeline_history(there, {2}, as_bytes("1\t0/480000\tx\n"), made_.clock, {});
  (void)there.set_aside({2}, made_.clock.now());
  const WalArchive now(made_.repository, test_cluster());
  PushOptions options;
  options.elsewhere = [&](const PushOptions::DoIn& store) {
    store(there);
    return true;
  };
  const auto path = write_test_file(pg_wal_.path(), WalSegmentSpec{}.name(), wal_segment());
  EXPECT_FALSE(push_wal_file(now, path, made_.clock, options).already_there);
  const std::string key = "wal/main/1/00000001-1/00000000/000000010000000000000001";
  EXPECT_EQ(made_.storage.find(key, whole_object), other.storage.find(key, whole_object));
  EXPECT_TRUE(other.storage.find(segment_key, whole_object));
  EXPECT_EQ(WalArchive(other.repository, test_cluster()).branch_of({1}), 1u);
}

TEST_F(PushTest, PassesOnThatTheStorageFails) {
  HookedStorage hooked(made_.storage);
  const auto repository = Repository::open(hooked);
  const WalArchive archive(repository, test_cluster());
  const auto path = write_test_file(pg_wal_.path(), WalSegmentSpec{}.name(), wal_segment());
  hooked.before = [](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "the disk is full");
  };
  EXPECT_EQ(error_of([&] { (void)push_wal_file(archive, path, made_.clock, {}); }), "unavailable");
  EXPECT_TRUE(keys_under(made_.storage, "wal/").empty());
}

TEST_F(PushTest, DoesNotCallAnObjectArchivedThatCameAndWent) {
  (void)push(WalSegmentSpec{});
  HookedStorage hooked(made_.storage);
  const auto repository = Repository::open(hooked);
  const WalArchive archive(repository, test_cluster());
  hooked.after = [&](std::string_view operation, std::string_view key) {
    if (operation == "put") made_.storage.remove({std::string(key)});
  };
  EXPECT_EQ(error_of([&] {
              (void)push_wal_file(archive, pg_wal_.path(WalSegmentSpec{}.name()), made_.clock, {});
            }),
            "unavailable");
}

}  // namespace
}  // namespace walvault
