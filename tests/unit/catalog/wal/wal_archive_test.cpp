#include "catalog/wal/wal_archive.h"

#include <gtest/gtest.h>

#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_check.h"
#include "codec/crc32c.h"
#include "support/archived_wal.h"
#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/summary_example.h"
#include "support/test_data.h"
#include "support/wal_builder.h"

namespace walvault {
namespace {

WalObjectHeader example_header() {
  WalObjectHeader header;
  header.kind = WalFileKind::segment;
  header.name = "000000010000000000000001";
  header.system_identifier = 77;
  header.page_magic = 0xD110;
  header.start = {0x100000};
  header.plain_bytes = 16u << 20;
  header.content_bytes = 9'000'000;
  header.digest = sha256(as_bytes("x"));
  header.modified = Timestamp(std::chrono::microseconds(123));
  header.archived = Timestamp(std::chrono::microseconds(-5));
  header.frames = {{.length = 1000, .compression = Compression::zstd, .crc = 1},
                   {.length = 4u << 20, .compression = Compression::none, .crc = 2},
                   {.length = 5, .compression = Compression::lz4, .crc = 3}};
  return header;
}

constexpr std::string_view header_key = "wal/main/1/00000001-0/00000000/000000010000000000000001";

TEST(WalObjectHeader, IsReadAsItWasWritten) {
  const auto written = example_header();
  const auto bytes = encode_wal_object_header(ObjectCodec(), written, header_key);
  const auto parsed = parse_wal_object_header(ObjectCodec(), bytes, header_key);
  EXPECT_EQ(parsed.frames_offset, bytes.size());
  const auto& read = parsed.header;
  EXPECT_EQ(read.kind, written.kind);
  EXPECT_EQ(read.name, written.name);
  EXPECT_EQ(read.system_identifier, written.system_identifier);
  EXPECT_EQ(read.page_magic, written.page_magic);
  EXPECT_EQ(read.start, written.start);
  EXPECT_EQ(read.plain_bytes, written.plain_bytes);
  EXPECT_EQ(read.content_bytes, written.content_bytes);
  EXPECT_EQ(read.digest, written.digest);
  EXPECT_EQ(read.modified, written.modified);
  EXPECT_EQ(read.archived, written.archived);
  EXPECT_TRUE(read.frames == written.frames);
}

TEST(WalObjectHeader, NoticesEveryFlippedBit) {
  const auto bytes = encode_wal_object_header(ObjectCodec(), example_header(), header_key);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto damaged = bytes;
    const auto byte = bit / 8;
    damaged[byte] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    EXPECT_EQ(error_of([&] { (void)parse_wal_object_header(ObjectCodec(), damaged, header_key); }),
              "corrupt")
        << byte;
  }
}

TEST(WalObjectHeader, NoticesEveryTruncation) {
  const auto bytes = encode_wal_object_header(ObjectCodec(), example_header(), header_key);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(error_of([&] {
                (void)parse_wal_object_header(ObjectCodec(), ByteView(bytes).first(length),
                                              header_key);
              }),
              "corrupt")
        << length;
  }
}

TEST(WalObjectHeader, NoticesThatTheObjectWasMoved) {
  const auto bytes = encode_wal_object_header(ObjectCodec(), example_header(), header_key);
  EXPECT_EQ(error_of([&] { (void)parse_wal_object_header(ObjectCodec(), bytes, "wal/elsewhere"); }),
            "corrupt");
}

TEST(WalObjectHeader, RefusesSizesThatContradictEachOther) {
  const auto outcome = [](const std::function<void(WalObjectHeader&)>& change) {
    auto header = example_header();
    change(header);
    return error_of([&] {
      (void)parse_wal_object_header(
          ObjectCodec(), encode_wal_object_header(ObjectCodec(), header, header_key), header_key);
    });
  };
  EXPECT_EQ(outcome([](WalObjectHeader&) {}), "nothing");
  EXPECT_EQ(outcome([](WalObjectHeader& h) { h.frames.pop_back(); }), "corrupt");
  EXPECT_EQ(outcome([](WalObjectHeader& h) { h.frames.push_back({}); }), "corrupt");
  EXPECT_EQ(outcome([](WalObjectHeader& h) { h.content_bytes = (16u << 20) + 1; }), "corrupt");
  EXPECT_EQ(outcome([](WalObjectHeader& h) { h.plain_bytes = h.content_bytes - 1; }), "corrupt");
  EXPECT_EQ(outcome([](WalObjectHeader& h) { h.plain_bytes = (1u << 30) + 1; }), "corrupt");
}

TEST(WalObjectHeader, FitsItsPrefixForTheLargestSegment) {
  auto header = example_header();
  header.plain_bytes = 1u << 30;
  header.content_bytes = 1u << 30;
  header.frames.assign(256,
                       {.length = wal_frame_bytes, .compression = Compression::none, .crc = 1});
  EXPECT_LE(encode_wal_object_header(ObjectCodec(), header, header_key).size(),
            wal_object_prefix_bytes);
}

class WalArchiveTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::uint64_t> numbers(std::uint32_t timeline,
                                                   std::uint64_t first = 0) const {
    std::vector<std::uint64_t> found;
    for (const auto& segment : archive_.segments({timeline}, first)) {
      found.push_back(segment.number);
    }
    return found;
  }
  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
};

using Numbers = std::vector<std::uint64_t>;

TEST_F(WalArchiveTest, MakesKeysOfNames) {
  EXPECT_EQ(archive_.key_of("0000000A0000000B0000000C"),
            "wal/main/1/0000000A-0/0000000B/0000000A0000000B0000000C");
  EXPECT_EQ(archive_.key_of("0000000A.history"), "wal/main/1/0000000A-0/0000000A.history");
  EXPECT_EQ(archive_.key_of("0000000A0000000B0000000C.00000028.backup"),
            "wal/main/1/0000000A-0/0000000B/0000000A0000000B0000000C.00000028.backup");
  const auto digest = sha256(as_bytes("x"));
  EXPECT_EQ(archive_.partial_key("0000000A0000000B0000000C.partial", digest),
            "wal/main/1/0000000A-0/0000000B/0000000A0000000B0000000C.partial." +
                digest.hex().substr(0, 32));
  auto upgraded = test_cluster();
  upgraded.number = 2;
  EXPECT_EQ(WalArchive(made_.repository, upgraded).key_of("0000000A.history"),
            "wal/main/2/0000000A-0/0000000A.history");
}

TEST_F(WalArchiveTest, MakesKeysThatStoragesTake) {
  for (const auto* const name : {"0000000A0000000B0000000C", "0000000A.history",
                                 "0000000A0000000B0000000C.00000028.backup"}) {
    EXPECT_EQ(error_of([&] { check_key(archive_.key_of(name)); }), "nothing") << name;
  }
  check_key(archive_.partial_key("0000000A0000000B0000000C.partial", {}));
}

TEST_F(WalArchiveTest, ListsSegmentsByNumberAcrossLogs) {
  for (const auto number : {4094u, 4095u, 4096u, 4097u, 9000u}) {
    archive_segments(archive_, 1, number, number);
  }
  archive_segments(archive_, 2, 1, 2);
  EXPECT_EQ(numbers(1), (Numbers{4094, 4095, 4096, 4097, 9000}));
  EXPECT_EQ(numbers(1, 4095), (Numbers{4095, 4096, 4097, 9000}));
  EXPECT_EQ(numbers(1, 4096), (Numbers{4096, 4097, 9000}));
  EXPECT_EQ(numbers(1, 5000), Numbers{9000});
  EXPECT_EQ(numbers(1, 9001), Numbers{});
  EXPECT_EQ(numbers(2), (Numbers{1, 2}));
  EXPECT_EQ(numbers(3), Numbers{});
}

TEST_F(WalArchiveTest, TellsStoredSizes) {
  const auto key = archive_file(archive_, WalSegmentSpec{}.name(), wal_segment());
  EXPECT_EQ(archive_.segments({1}).at(0).stored_bytes, made_.storage.find_size(key));
}

TEST_F(WalArchiveTest, CountsOnlySegmentsAsSegments) {
  archive_segments(archive_, 1, 1, 1);
  archive_file(archive_, "000000010000000000000002.partial", wal_segment({.number = 2}));
  archive_file(archive_, "000000010000000000000003.00000028.backup", as_bytes("x"));
  EXPECT_EQ(numbers(1), Numbers{1});
  EXPECT_TRUE(archive_.has_segment({.timeline = {1}, .number = 1}));
  EXPECT_FALSE(archive_.has_segment({.timeline = {1}, .number = 2}));
  EXPECT_FALSE(archive_.has_segment({.timeline = {2}, .number = 1}));
}

TEST_F(WalArchiveTest, ListsTimelinesButNotThoseSetAside) {
  archive_segments(archive_, 3, 1, 1);
  archive_segments(archive_, 1, 1, 1);
  archive_history(archive_, 16, {{.timeline = {1}, .end = {100}}});
  ASSERT_TRUE(made_.storage.put_if_absent("wal/main/1/00000002-1/x", as_bytes("set aside")));
  EXPECT_EQ(archive_.timelines(), (std::vector<TimelineId>{{1}, {3}, {16}}));
}

TEST_F(WalArchiveTest, ReadsHistories) {
  archive_history(archive_, 3, {{.timeline = {1}, .end = {100}}, {.timeline = {2}, .end = {200}}});
  const auto history = archive_.history({3});
  ASSERT_EQ(history.ancestors().size(), 2u);
  EXPECT_EQ(history.leaves({2}), Lsn{200});
  EXPECT_TRUE(archive_.history({1}).ancestors().empty());
  EXPECT_TRUE(archive_.history({9}).ancestors().empty());
}

TEST_F(WalArchiveTest, FindsSmallFilesAndNoticesTheirDamage) {
  EXPECT_EQ(archive_.find_file("00000002.history"), std::nullopt);
  const auto key = archive_file(archive_, "00000002.history", as_bytes("1\t0/500000\tx\n"));
  EXPECT_EQ(archive_.find_file("00000002.history"), bytes_of("1\t0/500000\tx\n"));
  damage_object(made_.storage, key, last_frame_byte);
  EXPECT_EQ(error_of([&] { (void)archive_.find_file("00000002.history"); }), "corrupt");
  EXPECT_EQ(error_of([&] { (void)archive_.history({2}); }), "corrupt");
}

TEST_F(WalArchiveTest, FindsStoredSummariesOfAnyLength) {
  EXPECT_FALSE(archive_.find_summary(archive_.key_of("000000010000000000000003")));
  auto summary = example_summary();
  for (const std::uint64_t number : {3u, 4u}) {
    const SegmentName name{.timeline = {1}, .number = number};
    const auto key = archive_file(archive_, name.text(test_geometry), whole_segments(number, 1), {},
                                  {}, encode_wal_summary({summary}));
    const auto found = archive_.find_summary(key);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->summary, summary);
    EXPECT_EQ(found->header.name, name.text(test_geometry));
    // The next one does not fit into one read with its trailer.
    summary.restore_points.resize(2000, summary.restore_points[0]);
  }
}

TEST_F(WalArchiveTest, MakesTheSummaryOfASegmentThatHasNone) {
  const auto key = archive_file(archive_, "000000010000000000000003", whole_segments(3, 1));
  const auto found = archive_.find_summary(key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->summary.records, 4u);
  EXPECT_TRUE(found->summary.switched);
}

// As a later version of this program may write it, and longer than any of this one.
TEST_F(WalArchiveTest, PassesOverASummaryOfALaterVersion) {
  const SegmentName name{.timeline = {1}, .number = 3};
  const auto later = random_bytes(wal_summary_bytes_max + 1000, 1);
  const auto key =
      archive_file(archive_, name.text(test_geometry), whole_segments(3, 1), {}, {}, later);
  auto object = *made_.storage.find(key, whole_object);
  set_summary_version(std::span(object).last(wal_object_trailer_bytes), wal_summary_version + 1);
  made_.storage.overwrite(key, object);

  const auto found = archive_.find_summary(key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->summary.records, 4u);
  EXPECT_TRUE(archive_.find_chain_summary(name, key));
  for (const bool deep : {false, true}) {
    EXPECT_EQ(find_wal_fault(made_.repository, key, deep, [](std::uint64_t) {}), "") << deep;
  }
}

TEST_F(WalArchiveTest, NoticesADamagedSummaryOrTrailer) {
  const auto stored = encode_wal_summary({example_summary()});
  const auto key =
      archive_file(archive_, "000000010000000000000003", whole_segments(3, 1), {}, {}, stored);
  const auto object = *made_.storage.find(key, whole_object);
  for (std::size_t i = object.size() - stored.size() - 32; i < object.size(); ++i) {
    auto damaged = object;
    damaged[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
    made_.storage.overwrite(key, damaged);
    EXPECT_EQ(error_of([&] { (void)archive_.find_summary(key); }), "corrupt") << i;
  }
}

TEST_F(WalArchiveTest, PassesOverAPartWhoseHeaderIsDamaged) {
  const auto name = WalSegmentSpec{.number = 5}.name() + ".partial";
  const auto first = archive_file(archive_, name, Bytes(500), {}, minute_of(1));
  const auto second = archive_file(archive_, name, Bytes(1000), {}, minute_of(2));
  ASSERT_NE(first, second);
  EXPECT_EQ(archive_.find_partial_key(name), second);
  damage_object(made_.storage, second, made_.storage.find_size(second).value() - 20);
  EXPECT_EQ(archive_.find_partial_key(name), first);
  damage_object(made_.storage, first, made_.storage.find_size(first).value() - 20);
  EXPECT_EQ(archive_.find_partial_key(name), std::nullopt);
}

TEST_F(WalArchiveTest, DecodesEmptyFilesAndFilesOfZeros) {
  const auto empty = archive_file(archive_, "00000002.history", {});
  EXPECT_TRUE(
      decode_wal_object(ObjectCodec(), *made_.storage.find(empty, whole_object), empty, 1).empty());
  const auto zeros =
      archive_file(archive_, "000000010000000000000003.00000028.backup", Bytes(1000));
  EXPECT_TRUE(decode_wal_object(ObjectCodec(), *made_.storage.find(zeros, whole_object), zeros,
                                1) == Bytes(1000));
}

TEST_F(WalArchiveTest, ChecksTheDigestOfTheWholeFile) {
  // Frames that decode, but to something else than the header promises.
  const auto content = wal_segment({.content_bytes = 500});
  const auto other = wal_segment({.seed = 2, .content_bytes = 500});
  Compressor compressor;
  Bytes stored;
  auto header = example_header();
  header.plain_bytes = content.size();
  header.content_bytes = 540;
  header.digest = sha256(content);
  header.frames = {encode_wal_frame(compressor, {}, ByteView(other).first(540), stored)};
  auto object = encode_wal_object_header(ObjectCodec(), header, header_key);
  object.insert(object.end(), stored.begin(), stored.end());
  EXPECT_EQ(error_of([&] { (void)decode_wal_object(ObjectCodec(), object, header_key, 1); }),
            "corrupt");
}

}  // namespace
}  // namespace walvault
