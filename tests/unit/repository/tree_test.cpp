#include "repository/tree.h"

#include <gtest/gtest.h>

#include "repository/object_codec.h"
#include "support/deterministic.h"
#include "support/test_data.h"

namespace walvault {
namespace {

PackName pack_named(std::uint8_t number) {
  PackName name{.writer = id_of(1), .digest = {}};
  name.digest.bytes.fill(number);
  return name;
}

ChunkRef ref_to(std::uint32_t pack, std::uint32_t number) {
  ChunkRef ref;
  ByteWriter seed;
  seed.u32(number);
  ref.id = sha256(seed.bytes());
  ref.pack = pack;
  ref.frame = {.offset = 32 + number * 1000, .length = 900 + number, .ordinal = number % 3};
  return ref;
}

ChunkRef zero_ref() {
  ChunkRef ref;
  ref.zero = true;
  return ref;
}

PackTable table_of(std::initializer_list<std::uint8_t> numbers) {
  PackTable table;
  for (const auto number : numbers) table.add(pack_named(number), 100u * number);
  return table;
}

TEST(PackTable, NamesAPackOnce) {
  PackTable table;
  EXPECT_EQ(table.add(pack_named(1), 10), 0u);
  EXPECT_EQ(table.add(pack_named(2), 20), 1u);
  EXPECT_EQ(table.add(pack_named(1), 10), 0u);
  EXPECT_EQ(table.entries().size(), 2u);
}

TEST(PackTable, FindsAReservedPackOnceItIsResolved) {
  PackTable table;
  table.add(pack_named(1), 10);
  const auto index = table.reserve(id_of(1));
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(table.find(pack_named(2)), std::nullopt);
  table.resolve(index, pack_named(2).digest, 77);
  EXPECT_EQ(table.find(pack_named(2)), 1u);
  EXPECT_EQ(table.at(1).size, 77u);
  EXPECT_EQ(table.add(pack_named(2), 77), 1u);
}

TEST(PackTable, IsReadAsItWasWritten) {
  const auto table = table_of({5, 3, 9});
  ByteWriter out;
  table.write(out);
  ByteReader in(out.bytes(), "a test");
  const auto read = PackTable::read(in);
  in.expect_end();
  ASSERT_EQ(read.entries().size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read.at(i).name, table.at(i).name);
    EXPECT_EQ(read.at(i).size, table.at(i).size);
  }
}

TEST(PackTable, RefusesAStoredTableThatNamesAPackTwice) {
  ByteWriter out;
  out.varint(2);
  for (int i = 0; i < 2; ++i) {
    out.raw(pack_named(4).writer.bytes);
    out.raw(pack_named(4).digest.view());
    out.varint(100);
  }
  ByteReader in(out.bytes(), "a test");
  EXPECT_EQ(error_of([&] { (void)PackTable::read(in); }), "corrupt");
}

TEST(PackTable, RefusesAnIndexOutOfRange) {
  const auto table = table_of({1, 2});
  EXPECT_EQ(error_of([&] { (void)table.at(1); }), "nothing");
  EXPECT_EQ(error_of([&] { (void)table.at(2); }), "corrupt");
}

TEST(Map, IsReadAsItWasWritten) {
  const auto table = table_of({1, 2, 3});
  std::vector<ChunkRef> refs;
  for (std::uint32_t i = 0; i < map_chunks_max; ++i) {
    refs.push_back(i % 5 == 0 ? zero_ref() : ref_to(i % 3, i));
  }
  EXPECT_TRUE(decode_map(encode_map(refs, table), table) == refs);
  EXPECT_TRUE(decode_map(encode_map({}, table), table).empty());
}

TEST(Map, ListsTheBasesOfDeltas) {
  const auto table = table_of({1, 2, 3, 4});
  auto delta = ref_to(2, 5);
  delta.bases = {ref_to(1, 6).place(), ref_to(3, 7).place()};
  auto other = ref_to(0, 8);
  other.bases = {ref_to(3, 9).place()};
  const std::vector<ChunkRef> refs = {ref_to(2, 1), delta, zero_ref(), other};
  const auto map = encode_map(refs, table);
  EXPECT_EQ(decode_map(map, table), refs);
  // Its packs are those of the bases too.
  EXPECT_EQ(error_of([&] { (void)decode_map(map, table_of({1, 2, 3})); }), "corrupt");
  for (std::size_t length = 0; length < map.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_map(ByteView(map).first(length), table); }), "corrupt");
  }
}

TEST(ChunkRef, IsReadAsItWasWrittenAndNoDeeperThanAllowed) {
  auto deepest = ref_to(2, 5);
  for (std::uint32_t i = 0; i < delta_bases_max; ++i) deepest.bases.push_back(ref_to(i, i).place());
  for (const auto& ref : {zero_ref(), ref_to(1, 2), deepest}) {
    ByteWriter out;
    write_chunk_ref(out, ref);
    ByteReader in(out.bytes(), "a reference");
    EXPECT_EQ(read_chunk_ref(in), ref);
    in.expect_end();
  }
  deepest.bases.push_back({});
  ByteWriter out;
  write_chunk_ref(out, deepest);
  ByteReader in(out.bytes(), "a reference");
  EXPECT_EQ(error_of([&] { (void)read_chunk_ref(in); }), "corrupt");
}

TEST(Map, IsTheSameBytesWhateverTheTable) {
  const auto first = table_of({1, 2, 3});
  const auto second = table_of({9, 3, 8, 1});
  // Pack 3 and then pack 1, in terms of either table.
  const auto bytes = encode_map({ref_to(2, 1), zero_ref(), ref_to(0, 2), ref_to(2, 3)}, first);
  EXPECT_TRUE(bytes == encode_map({ref_to(1, 1), zero_ref(), ref_to(3, 2), ref_to(1, 3)}, second));
  const auto decoded = decode_map(bytes, second);
  EXPECT_EQ(second.at(decoded[0].pack).name, pack_named(3));
  EXPECT_EQ(second.at(decoded[2].pack).name, pack_named(1));
}

TEST(Map, RefusesAPackThatTheRootDoesNotName) {
  const auto bytes = encode_map({ref_to(0, 1), ref_to(1, 2)}, table_of({1, 2}));
  EXPECT_EQ(error_of([&] { (void)decode_map(bytes, table_of({1, 3})); }), "corrupt");
}

TEST(Map, RefusesEveryTruncationAndWhatFollowsTheEnd) {
  const auto table = table_of({1, 2});
  auto bytes = encode_map({ref_to(0, 1), zero_ref(), ref_to(1, 2)}, table);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_map(ByteView(bytes).first(length), table); }), "corrupt")
        << length;
  }
  bytes.push_back(0);
  EXPECT_EQ(error_of([&] { (void)decode_map(bytes, table); }), "corrupt");
}

TEST(Map, RefusesMoreChunksThanAMapHolds) {
  const std::vector<ChunkRef> refs(map_chunks_max + 1, zero_ref());
  const PackTable table;
  EXPECT_EQ(error_of([&] { (void)decode_map(encode_map(refs, table), table); }), "corrupt");
}

FileEntry file_of(std::uint64_t size) {
  FileEntry entry;
  entry.path = "base/5/1259";
  entry.mode = 0640;
  entry.mtime = -5;
  entry.size = size;
  entry.crc = 0xDEADBEEF;
  return entry;
}

FileEntry written_and_read(const FileEntry& entry) {
  ByteWriter out;
  write_file_entry(out, entry);
  ByteReader in(out.bytes(), "a test");
  auto read = read_file_entry(in);
  in.expect_end();
  return read;
}

TEST(FileEntry, IsReadAsItWasWritten) {
  EXPECT_EQ(written_and_read(file_of(0)), file_of(0));

  auto small = file_of(chunk_bytes);
  small.chunk = ref_to(3, 1);
  EXPECT_EQ(written_and_read(small), small);
  small.chunk = zero_ref();
  EXPECT_EQ(written_and_read(small), small);

  auto large = file_of(std::uint64_t{chunk_bytes} * map_chunks_max + 1);
  large.maps = {ref_to(1, 1), ref_to(0, 2)};
  EXPECT_EQ(written_and_read(large), large);

  FileEntry directory;
  directory.kind = EntryKind::directory;
  directory.path = std::string("odd \xFF\n name");
  directory.mode = 0700;
  EXPECT_EQ(written_and_read(directory), directory);

  FileEntry link;
  link.kind = EntryKind::symlink;
  link.path = "pg_tblspc/16384";
  link.link_target = "/srv/ts";
  EXPECT_EQ(written_and_read(link), link);
}

TEST(FileEntry, RefusesAChunkListWithAHole) {
  const auto outcome = [](const FileEntry& entry) {
    return error_of([&] { (void)written_and_read(entry); });
  };
  EXPECT_EQ(outcome(file_of(1)), "corrupt");  // no chunk at all

  auto entry = file_of(0);
  entry.chunk = ref_to(0, 1);  // a chunk of an empty file
  EXPECT_EQ(outcome(entry), "corrupt");

  entry = file_of(chunk_bytes + 1);
  entry.chunk = ref_to(0, 1);  // the second is missing
  EXPECT_EQ(outcome(entry), "corrupt");

  entry = file_of(chunk_bytes);
  entry.maps = {ref_to(0, 1)};  // one chunk needs no map
  EXPECT_EQ(outcome(entry), "corrupt");

  constexpr auto map_bytes = std::uint64_t{chunk_bytes} * map_chunks_max;
  for (const auto& [size, maps] : {std::pair(map_bytes, 1), std::pair(map_bytes + 1, 2),
                                   std::pair(2 * map_bytes, 2), std::pair(2 * map_bytes + 1, 3)}) {
    for (int given = 1; given <= 4; ++given) {
      entry = file_of(size);
      entry.maps.assign(static_cast<std::size_t>(given), ref_to(0, 1));
      EXPECT_EQ(outcome(entry), given == maps ? "nothing" : "corrupt") << size << " " << given;
    }
  }
}

TEST(FileEntry, RefusesAnUnknownKind) {
  ByteWriter out;
  write_file_entry(out, file_of(0));
  auto bytes = out.take();
  bytes[0] = 3;
  ByteReader in(bytes, "a test");
  EXPECT_EQ(error_of([&] { (void)read_file_entry(in); }), "corrupt");
}

// It would be written outside of the directory that is restored.
TEST(FileEntry, RefusesAPathThatLeadsOut) {
  const std::string with_zero("a\0b", 3);
  for (const auto& path : {std::string("../x"), std::string("/etc/x"), std::string("a/../../x"),
                           std::string("a//b"), std::string(), with_zero}) {
    auto entry = file_of(0);
    entry.path = path;
    ByteWriter out;
    write_file_entry(out, entry);
    ByteReader in(out.bytes(), "a test");
    EXPECT_EQ(error_of([&] { (void)read_file_entry(in); }), "corrupt") << path;
  }
}

constexpr std::string_view root_key = "backups/main/20261121T104100Z-3f9a/1";

Root example_root(std::size_t head_bytes = 40) {
  Root root;
  root.head = random_bytes(head_bytes, 1);
  root.packs = table_of({1, 2});
  root.streams.push_back({.name = "files", .size = 123, .chunks = {ref_to(0, 1), ref_to(1, 2)}});
  root.streams.push_back({.name = "manifest", .size = 0, .chunks = {}});
  root.notes["backup_label"] = bytes_of("START WAL LOCATION");
  root.notes["empty"] = {};
  return root;
}

TEST(Root, IsReadAsItWasWritten) {
  const auto root = example_root();
  const auto read =
      decode_root(ObjectCodec(), encode_root(ObjectCodec(), root, root_key), root_key);
  EXPECT_TRUE(read.head == root.head);
  EXPECT_EQ(read.packs.entries().size(), 2u);
  EXPECT_EQ(read.packs.at(1).name, pack_named(2));
  EXPECT_EQ(read.packs.at(1).size, 200u);
  ASSERT_EQ(read.streams.size(), 2u);
  EXPECT_EQ(read.stream("files").size, 123u);
  EXPECT_TRUE(read.stream("files").chunks == root.streams[0].chunks);
  EXPECT_TRUE(read.stream("manifest").chunks.empty());
  EXPECT_EQ(read.notes, root.notes);
  EXPECT_EQ(error_of([&] { (void)read.stream("nothing"); }), "not_found");
}

TEST(Root, GivesItsHeadFromItsFirstBytesAlone) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{40}, root_head_bytes_max}) {
    const auto object = encode_root(ObjectCodec(), example_root(size), root_key);
    const auto prefix = ByteView(object).first(std::min(object.size(), root_prefix_bytes));
    EXPECT_EQ(decode_root_head(ObjectCodec(), prefix, root_key).size(), size);
  }
  EXPECT_EQ(error_of([] {
              (void)encode_root(ObjectCodec(), example_root(root_head_bytes_max + 1), root_key);
            }),
            "internal");
}

TEST(Root, NoticesEveryFlippedBit) {
  const auto object = encode_root(ObjectCodec(), example_root(), root_key);
  const auto head_end = envelope_bytes + 4 + 40 + 32;
  for (std::size_t bit = 0; bit < object.size() * 8; ++bit) {
    auto damaged = object;
    const auto byte = bit / 8;
    damaged[byte] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    EXPECT_EQ(error_of([&] { (void)decode_root(ObjectCodec(), damaged, root_key); }), "corrupt")
        << byte;
    EXPECT_EQ(error_of([&] { (void)decode_root_head(ObjectCodec(), damaged, root_key); }),
              byte < head_end ? "corrupt" : "nothing")
        << byte;
  }
}

TEST(Root, NoticesEveryTruncation) {
  const auto object = encode_root(ObjectCodec(), example_root(), root_key);
  for (std::size_t length = 0; length < object.size(); ++length) {
    EXPECT_EQ(error_of([&] {
                (void)decode_root(ObjectCodec(), ByteView(object).first(length), root_key);
              }),
              "corrupt")
        << length;
  }
}

TEST(Root, NoticesThatItWasMovedToAnotherKey) {
  const auto object = encode_root(ObjectCodec(), example_root(), root_key);
  const std::string_view other = "backups/main/20261121T104100Z-3f9b/1";
  EXPECT_EQ(error_of([&] { (void)decode_root(ObjectCodec(), object, other); }), "corrupt");
  EXPECT_EQ(error_of([&] { (void)decode_root_head(ObjectCodec(), object, other); }), "corrupt");
}

}  // namespace
}  // namespace walvault
