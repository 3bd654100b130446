// Bytes of every object kind of format version 1, kept for ever: what one
// version of walvault wrote, each later one reads, and while the format version
// is 1 the encoders write it byte for byte. docs/repository-format.md takes its
// examples from these files.
//
// A golden file is never changed. With WALVAULT_WRITE_GOLDEN in the environment
// the test writes those that do not exist yet.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"
#include "catalog/records/backup_list.h"
#include "catalog/records/catalogue_snapshot.h"
#include "catalog/records/timeline_branch.h"
#include "catalog/records/verified.h"
#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_archive.h"
#include "catalog/wal/wal_expiry.h"
#include "catalog/wal/wal_ledger.h"
#include "codec/crc32c.h"
#include "golden/golden_backup_info.h"
#include "repository/damaged_packs.h"
#include "repository/gc_plan.h"
#include "repository/pin.h"
#include "repository/unfinished.h"
#include "storage/memory_storage.h"
#include "storage/posix_storage.h"
#include "support/deterministic.h"
#include "support/golden_files.h"
#include "support/memory_repository.h"
#include "support/summary_example.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

const ObjectCodec codec;

namespace fs = std::filesystem;

constexpr CompressionSetting uncompressed{.algorithm = Compression::none, .level = 0};
constexpr CompressionSetting lz4{.algorithm = Compression::lz4, .level = 0};
constexpr CompressionSetting zstd{.algorithm = Compression::zstd, .level = 3};

// ---- the inputs

[[nodiscard]] PackTable two_packs() {
  PackTable packs;
  (void)packs.add({.writer = id_of(0x0A), .digest = digest_of(0x1A)}, 1000);
  (void)packs.add({.writer = id_of(0x0B), .digest = digest_of(0x1B)}, 67'000'000);
  return packs;
}

void expect_same_packs(const PackTable& packs, const PackTable& wanted) {
  ASSERT_EQ(packs.entries().size(), wanted.entries().size());
  for (std::size_t i = 0; i < packs.entries().size(); ++i) {
    EXPECT_EQ(packs.entries()[i].name, wanted.entries()[i].name);
    EXPECT_EQ(packs.entries()[i].size, wanted.entries()[i].size);
  }
}

[[nodiscard]] ChunkRef stored_chunk(std::uint8_t id, std::uint32_t pack, FrameLocation frame) {
  return {.zero = false, .id = digest_of(id), .pack = pack, .frame = frame};
}

[[nodiscard]] ChunkRef zero_chunk() {
  ChunkRef ref;
  ref.zero = true;
  return ref;
}

// Compresses well with every algorithm.
[[nodiscard]] Bytes repetitive(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(1 + i % 251);
  return bytes;
}

[[nodiscard]] const Bytes& lone_chunk() {
  static const Bytes chunk = bytes_of("walvault stores pages as they are");
  return chunk;
}

[[nodiscard]] const std::vector<Bytes>& small_chunks() {
  static const std::vector<Bytes> chunks{bytes_of("15\n"), bytes_of("a second file"), {0x00, 0x01}};
  return chunks;
}

[[nodiscard]] std::vector<ByteView> views(const std::vector<Bytes>& chunks) {
  return {chunks.begin(), chunks.end()};
}

// The object stored under `key` in a repository that holds nothing else.
[[nodiscard]] std::unique_ptr<MemoryStorage> storage_with(const std::string& key, ByteView object) {
  auto storage = std::make_unique<MemoryStorage>();
  EXPECT_TRUE(storage->put_if_absent("format/1", read_golden("format.bin")));
  EXPECT_TRUE(storage->put_if_absent(key, object));
  return storage;
}

// ---- sealed objects

TEST(GoldenV1, FormatObject) {
  class OneId final : public Randomness {
   public:
    RandomId id() override { return id_of(0xF0); }
  };
  MemoryStorage storage;
  FakeClock clock(at(0, 123'456));
  OneId randomness;
  Repository::create(storage, clock, randomness);
  expect_golden("format.bin", storage.find("format/1", whole_object).value());

  MemoryStorage golden;
  ASSERT_TRUE(golden.put_if_absent("format/1", read_golden("format.bin")));
  EXPECT_EQ(Repository::open(golden).id(), "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0");
}

TEST(GoldenV1, ClusterIdentity) {
  const ClusterIdentity identity{.name = "main",
                                 .number = 2,
                                 .system_identifier = 7'432'101'234'567'890'123u,
                                 .postgres_major = 17,
                                 .geometry = {16u << 20},
                                 .registered = at(60)};
  const std::string key = "clusters/main/2";
  MemoryStorage storage;
  ASSERT_TRUE(storage.put_if_absent("format/1", read_golden("format.bin")));
  auto first = identity;
  first.system_identifier = 1;
  ASSERT_TRUE(add_cluster(Repository::open(storage), first).anew);
  ASSERT_TRUE(upgrade_cluster(Repository::open(storage), identity).anew);
  expect_golden("cluster.bin", storage.find(key, whole_object).value());

  const auto golden = storage_with(key, read_golden("cluster.bin"));
  const auto found = get_cluster(Repository::open(*golden), "main");
  EXPECT_TRUE(found == identity);
}

TEST(GoldenV1, RemovedCluster) {
  const std::string key = "clusters/main/3";
  const auto registered = storage_with("clusters/main/2", read_golden("cluster.bin"));
  remove_cluster(Repository::open(*registered), "main", at(120));
  expect_golden("cluster-removed.bin", registered->find(key, whole_object).value());

  const auto golden = storage_with(key, read_golden("cluster-removed.bin"));
  const auto repository = Repository::open(*golden);
  EXPECT_FALSE(find_cluster(repository, "main"));
  EXPECT_TRUE(list_clusters(repository).empty());
}

TEST(GoldenV1, BranchOpening) {
  const ClusterIdentity identity{.name = "main",
                                 .number = 2,
                                 .system_identifier = 7'432'101'234'567'890'123u,
                                 .postgres_major = 17,
                                 .geometry = {16u << 20},
                                 .registered = at(60)};
  const BranchOpening opening{.opened = {.timeline = {2}, .branch = 1},
                              .when = at(200, 7),
                              .descendants = {{{3}, 0}, {{5}, 2}}};
  const std::string key = "branches/main/2/00000002/1";
  MemoryStorage storage;
  ASSERT_TRUE(storage.put_if_absent("format/1", read_golden("format.bin")));
  ASSERT_TRUE(put_branch_opening(Repository::open(storage), identity, opening));
  expect_golden("branch.bin", storage.find(key, whole_object).value());

  const auto golden = storage_with(key, read_golden("branch.bin"));
  const auto openings = list_branch_openings(Repository::open(*golden), identity);
  ASSERT_EQ(openings.size(), 1u);
  EXPECT_EQ(openings[0].opened, opening.opened);
  EXPECT_EQ(openings[0].when, opening.when);
  EXPECT_EQ(openings[0].descendants, opening.descendants);
}

TEST(GoldenV1, Pin) {
  const std::string key = "pins/" + to_hex(id_of(0x0C)) + "/1";
  const Pin pin{.root_key = "backups/main/20260921T141320Z-0c0c/1",
                .created = at(1, 5),
                .may_borrow = two_packs()};
  expect_golden("pin.bin", codec.seal(ObjectKind::pin, key, encode_pin(pin)));

  const auto decoded = decode_pin(codec.unseal(ObjectKind::pin, key, read_golden("pin.bin")));
  EXPECT_EQ(decoded.root_key, pin.root_key);
  EXPECT_EQ(decoded.created, pin.created);
  expect_same_packs(decoded.may_borrow, pin.may_borrow);
}

TEST(GoldenV1, GcPlan) {
  const std::string key = "plans/" + to_hex(id_of(0x0D));
  const GcPlan plan{.created = at(2, 6), .condemned = two_packs()};
  expect_golden("plan.bin", codec.seal(ObjectKind::plan, key, encode_gc_plan(plan)));

  const auto decoded = decode_gc_plan(codec.unseal(ObjectKind::plan, key, read_golden("plan.bin")));
  EXPECT_EQ(decoded.created, plan.created);
  expect_same_packs(decoded.condemned, plan.condemned);
}

TEST(GoldenV1, Unfinished) {
  MemoryRepository made;
  const WriterSession session(made.repository, made.clock, id_of(0x0E),
                              backup_root_key("main", "20260921T141320Z-0e0e"), "");
  Root so_far;
  so_far.packs = two_packs();
  so_far.streams.push_back({.name = "files", .size = 0, .chunks = {}});
  const auto object = session.unfinished_object(so_far, 3);
  EXPECT_EQ(object.key, "unfinished/" + to_hex(id_of(0x0E)) + "/3");
  expect_golden("unfinished.bin", object.bytes);

  const auto golden = storage_with(object.key, read_golden("unfinished.bin"));
  const auto repository = Repository::open(*golden);
  EXPECT_EQ(find_unfinished(repository, "backups/main/", "", 2), std::vector{object.key});
  FakeClock clock(at(0));
  const WriterSession next(repository, clock, id_of(0x0F), "backups/main/b/1", "", {object.key});
  ASSERT_EQ(next.unfinished().size(), 1u);
  expect_same_packs(next.lenders(), so_far.packs);
}

TEST(GoldenV1, Tombstone) {
  const auto key = backup_root_key("main", "20260921T141320Z-0c0c");
  expect_golden("tombstone.bin", codec.seal(ObjectKind::tombstone, key, {}));

  const auto object = read_golden("tombstone.bin");
  EXPECT_TRUE(is_of_kind(object, ObjectKind::tombstone));
  EXPECT_TRUE(codec.unseal(ObjectKind::tombstone, key, object).empty());
  const auto golden = storage_with(key, object);
  const auto list = list_backups(Repository::open(*golden), "main");
  EXPECT_TRUE(list.backups.empty());
  EXPECT_TRUE(list.damaged.empty());
}

// ---- frames and packs

void expect_full(const std::string& name, const Bytes& chunk, Compression compression) {
  const auto stored = read_golden(name);
  ASSERT_GT(stored.size(), 1u);
  EXPECT_EQ(stored[1], static_cast<std::uint8_t>(compression));
  Compressor compressor;
  const auto frame = decode_frame(compressor, stored);
  ASSERT_EQ(frame.chunks.size(), 1u);
  EXPECT_TRUE(std::ranges::equal(frame.chunks.front(), chunk));
}

void expect_group(const std::string& name, const std::vector<Bytes>& chunks,
                  Compression compression) {
  const auto stored = read_golden(name);
  ASSERT_GT(stored.size(), 1u);
  EXPECT_EQ(stored[1], static_cast<std::uint8_t>(compression));
  Compressor compressor;
  const auto frame = decode_frame(compressor, stored);
  ASSERT_EQ(frame.chunks.size(), chunks.size());
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(frame.chunks[i], chunks[i])) << i;
  }
}

TEST(GoldenV1, FullFrame) {
  Compressor compressor;
  expect_golden("frame-full.bin", encode_full_frame(compressor, uncompressed, lone_chunk()));
  expect_full("frame-full.bin", lone_chunk(), Compression::none);
}

TEST(GoldenV1, GroupFrame) {
  Compressor compressor;
  expect_golden("frame-group.bin",
                encode_group_frame(compressor, uncompressed, views(small_chunks())));
  expect_group("frame-group.bin", small_chunks(), Compression::none);
}

// Other versions of the libraries may compress otherwise; what they wrote once
// decodes for ever.
TEST(GoldenV1, CompressedFramesDecode) {
  const auto chunk = repetitive(chunk_bytes);
  const std::vector<Bytes> chunks{repetitive(3000), bytes_of("short"), repetitive(70'000)};
  Compressor compressor;
  write_if_missing("frame-full-zstd.bin", encode_full_frame(compressor, zstd, chunk));
  write_if_missing("frame-full-lz4.bin", encode_full_frame(compressor, lz4, chunk));
  write_if_missing("frame-group-zstd.bin", encode_group_frame(compressor, zstd, views(chunks)));
  write_if_missing("frame-group-lz4.bin", encode_group_frame(compressor, lz4, views(chunks)));

  expect_full("frame-full-zstd.bin", chunk, Compression::zstd);
  expect_full("frame-full-lz4.bin", chunk, Compression::lz4);
  expect_group("frame-group-zstd.bin", chunks, Compression::zstd);
  expect_group("frame-group-lz4.bin", chunks, Compression::lz4);
}

// What zstd makes of it may differ, so only what it gives back is held to.
TEST(GoldenV1, DeltaFrame) {
  const auto base = repetitive(3000);
  auto chunk = base;
  chunk[1000] = 0xFF;
  chunk.push_back(0xFE);
  Compressor compressor;
  write_if_missing("frame-delta.bin", encode_delta_frame(compressor, 1, sha256(base), base, chunk));
  const auto stored = read_golden("frame-delta.bin");
  EXPECT_EQ(base_of_delta_frame(stored), sha256(base));
  Bytes back;
  EXPECT_EQ(decode_delta_frame(compressor, stored, base, back), sha256(base));
  EXPECT_EQ(back, chunk);
}

TEST(GoldenV1, Pack) {
  Compressor compressor;
  const auto full = encode_full_frame(compressor, uncompressed, lone_chunk());
  const auto group = encode_group_frame(compressor, uncompressed, views(small_chunks()));
  const auto large = encode_full_frame(compressor, uncompressed, repetitive(200));
  PackBuilder builder(codec, {});
  const std::vector<FrameLocation> places{builder.append(full), builder.append(group),
                                          builder.append(large)};
  const auto finished = builder.finish(7);
  expect_golden("pack.bin", finished.bytes);

  const auto pack = read_golden("pack.bin");
  EXPECT_EQ(sha256(pack), finished.digest);
  const auto directory = read_pack_directory(codec, pack, "the golden pack");
  EXPECT_EQ(directory, places);
  const auto frame_at = [&](std::size_t i) {
    return decode_frame(compressor,
                        ByteView(pack).subspan(directory.at(i).offset, directory.at(i).length));
  };
  EXPECT_TRUE(std::ranges::equal(frame_at(0).chunks.at(0), lone_chunk()));
  EXPECT_TRUE(std::ranges::equal(frame_at(1).chunks.at(2), small_chunks().at(2)));
  EXPECT_TRUE(std::ranges::equal(frame_at(2).chunks.at(0), repetitive(200)));
}

// ---- trees

TEST(GoldenV1, Map) {
  const auto packs = two_packs();
  const std::vector<ChunkRef> refs{
      stored_chunk(0x21, 1, {.offset = 32, .length = 131'088, .ordinal = 0}),
      zero_chunk(),
      stored_chunk(0x22, 0, {.offset = 300, .length = 400, .ordinal = 2}),
      stored_chunk(0x23, 1, {.offset = 131'120, .length = 262'160, .ordinal = 0}),
      zero_chunk(),
  };
  expect_golden("map.bin", encode_map(refs, packs));
  EXPECT_EQ(decode_map(read_golden("map.bin"), packs), refs);
}

[[nodiscard]] ChunkRef delta_chunk(std::uint8_t id) {
  auto ref = stored_chunk(id, 1, {.offset = 32, .length = 70, .ordinal = 0});
  ref.bases = {{.pack = 1, .frame = {.offset = 102, .length = 80, .ordinal = 0}},
               {.pack = 0, .frame = {.offset = 500, .length = 600, .ordinal = 3}}};
  return ref;
}

TEST(GoldenV1, MapWithDeltas) {
  const auto packs = two_packs();
  const std::vector<ChunkRef> refs{
      delta_chunk(0x24),
      zero_chunk(),
      stored_chunk(0x22, 0, {.offset = 300, .length = 400, .ordinal = 2}),
  };
  expect_golden("map-deltas.bin", encode_map(refs, packs));
  EXPECT_EQ(decode_map(read_golden("map-deltas.bin"), packs), refs);
}

TEST(GoldenV1, ReferenceOfADelta) {
  ByteWriter out;
  write_chunk_ref(out, delta_chunk(0x25));
  expect_golden("reference-delta.bin", out.bytes());
  const auto golden = read_golden("reference-delta.bin");
  ByteReader in(golden, "the golden reference");
  EXPECT_EQ(read_chunk_ref(in), delta_chunk(0x25));
  EXPECT_EQ(in.left(), 0u);
}

[[nodiscard]] std::vector<FileEntry> all_entries() {
  constexpr std::uint64_t gib = 1u << 30;
  std::vector<FileEntry> entries(6);
  entries[0].kind = EntryKind::directory;
  entries[0].path = "base/5";
  entries[0].mode = 0700;
  entries[0].mtime = 1'790'000'001;

  entries[1].kind = EntryKind::symlink;
  entries[1].path = "pg_tblspc/16400";
  entries[1].link_target = "/mnt/fast";
  entries[1].mode = 0777;
  entries[1].mtime = -1;

  entries[2].path = "base/5/empty";
  entries[2].mode = 0600;

  entries[3].path = "base/5/PG_VERSION";
  entries[3].mode = 0640;
  entries[3].mtime = 1'790'000'003;
  entries[3].size = 3;
  entries[3].crc = 0x01020304;
  entries[3].chunk = stored_chunk(0x31, 0, {.offset = 32, .length = 60, .ordinal = 1});

  entries[4].path = "base/5/zeros";
  entries[4].mode = 0600;
  entries[4].size = 8192;
  entries[4].crc = 0x05060708;
  entries[4].chunk = zero_chunk();

  entries[5].path = "base/5/large \xC3\xA9\xFF";  // paths are bytes, not text
  entries[5].mode = 0600;
  entries[5].mtime = 1'790'000'005;
  entries[5].size = gib + 1;
  entries[5].crc = 0xFFFFFFFE;
  entries[5].maps = {stored_chunk(0x41, 1, {.offset = 32, .length = 140'000, .ordinal = 0}),
                     stored_chunk(0x42, 1, {.offset = 140'032, .length = 98, .ordinal = 0})};
  return entries;
}

TEST(GoldenV1, FileTable) {
  ByteWriter out;
  for (const auto& entry : all_entries()) write_file_entry(out, entry);
  expect_golden("file-table.bin", out.bytes());

  const auto golden = read_golden("file-table.bin");
  ByteReader in(golden, "the golden file table");
  for (const auto& entry : all_entries()) EXPECT_EQ(read_file_entry(in), entry) << entry.path;
  EXPECT_EQ(in.left(), 0u);
}

TEST(GoldenV1, Root) {
  const auto key = backup_root_key("main", "20260921T141320Z-3f9a");
  EXPECT_EQ(key, "backups/main/20260921T141320Z-3f9a/1");
  Root root;
  root.head = encode_backup_info(golden_backup_info());
  root.packs = two_packs();
  root.streams = {
      {.name = "files",
       .size = 300'000,
       .chunks = {stored_chunk(0x51, 1, {.offset = 32, .length = 90'000, .ordinal = 0}),
                  stored_chunk(0x52, 1, {.offset = 90'032, .length = 12'000, .ordinal = 0})}},
      {.name = "manifest",
       .size = 200'000,
       .chunks = {stored_chunk(0x53, 0, {.offset = 32, .length = 900, .ordinal = 0})}}};
  root.notes["backup_label"] = bytes_of("START WAL LOCATION: 2/3000028\n");
  root.notes["tablespace_map"] = bytes_of("16400 /mnt/fast\n");
  expect_golden("root.bin", encode_root(codec, root, key));

  const auto golden = read_golden("root.bin");
  const auto decoded = decode_root(codec, golden, key);
  EXPECT_EQ(decoded.head, root.head);
  expect_same_packs(decoded.packs, root.packs);
  ASSERT_EQ(decoded.streams.size(), root.streams.size());
  for (std::size_t i = 0; i < root.streams.size(); ++i) {
    EXPECT_EQ(decoded.streams[i].name, root.streams[i].name);
    EXPECT_EQ(decoded.streams[i].size, root.streams[i].size);
    EXPECT_EQ(decoded.streams[i].chunks, root.streams[i].chunks);
  }
  EXPECT_EQ(decoded.notes, root.notes);

  // The encoding is fixed by the bytes above and gives no two infos the same
  // bytes, so that what encodes to them again is the input.
  const auto info = decode_backup_info(decode_root_head(codec, golden, key));
  EXPECT_EQ(encode_backup_info(info), root.head);
  EXPECT_EQ(info.stop, golden_backup_info().stop);
  EXPECT_EQ(info.control.wal_segment_bytes, golden_backup_info().control.wal_segment_bytes);
  EXPECT_EQ(info.duration, golden_backup_info().duration);
}

// ---- WAL objects

const std::string segment_name = "000000030000000200000004";
const std::string segment_key = "wal/main/2/00000003-0/00000002/" + segment_name;

struct WalFile {
  WalObjectHeader header;
  std::string key;
  Bytes content;  // without the zeros at its end
};

// A segment of 1 MiB of which only the first bytes are not zeros.
[[nodiscard]] WalFile wal_segment(const Bytes& content) {
  WalFile file;
  file.key = segment_key;
  file.content = content;
  auto& header = file.header;
  header.kind = WalFileKind::segment;
  header.name = segment_name;
  header.system_identifier = 7'432'101'234'567'890'123u;
  header.page_magic = 0xD116;
  header.start = {0x2'0040'0000};
  header.plain_bytes = 1u << 20;
  header.content_bytes = content.size();
  Bytes plain = content;
  plain.resize(header.plain_bytes);
  header.digest = sha256(plain);
  header.modified = at(30, 31);
  header.archived = at(32, 33);
  return file;
}

[[nodiscard]] WalFile timeline_history() {
  WalFile file;
  file.key = "wal/main/2/00000003-0/00000003.history";
  file.content = bytes_of("1\t0/3000000\tno recovery target specified\n2\t2/400000\tbefore DROP\n");
  auto& header = file.header;
  header.kind = WalFileKind::timeline;
  header.name = "00000003.history";
  header.system_identifier = 7'432'101'234'567'890'123u;
  header.plain_bytes = file.content.size();
  header.content_bytes = file.content.size();
  header.digest = sha256(file.content);
  header.modified = at(34);
  header.archived = at(35);
  return file;
}

// The whole object; the header gets its frames. For content of one frame.
[[nodiscard]] Bytes wal_object(WalFile& file, CompressionSetting setting) {
  Compressor compressor;
  Bytes stored;
  file.header.frames = {encode_wal_frame(compressor, setting, file.content, stored)};
  auto object = encode_wal_object_header(codec, file.header, file.key);
  const auto trailer = encode_wal_object_trailer(file.header, object.size(), 0);
  object.insert(object.end(), stored.begin(), stored.end());
  object.insert(object.end(), trailer.begin(), trailer.end());
  return object;
}

void expect_header(const ParsedWalObject& parsed, const WalObjectHeader& wanted) {
  const auto& header = parsed.header;
  EXPECT_EQ(header.kind, wanted.kind);
  EXPECT_EQ(header.name, wanted.name);
  EXPECT_EQ(header.system_identifier, wanted.system_identifier);
  EXPECT_EQ(header.page_magic, wanted.page_magic);
  EXPECT_EQ(header.start, wanted.start);
  EXPECT_EQ(header.plain_bytes, wanted.plain_bytes);
  EXPECT_EQ(header.content_bytes, wanted.content_bytes);
  EXPECT_EQ(header.digest, wanted.digest);
  EXPECT_EQ(header.modified, wanted.modified);
  EXPECT_EQ(header.archived, wanted.archived);
  EXPECT_EQ(header.frames, wanted.frames);
}

void expect_wal_object(const std::string& name, const WalFile& file) {
  const auto object = read_golden(name);
  Bytes plain = file.content;
  plain.resize(file.header.plain_bytes);
  EXPECT_TRUE(decode_wal_object(codec, object, file.key, 1) == plain) << name;
}

TEST(GoldenV1, WalSegment) {
  auto file = wal_segment(bytes_of("the first bytes of a segment"));
  expect_golden("wal-segment.bin", wal_object(file, uncompressed));

  expect_header(parse_wal_object_header(codec, read_golden("wal-segment.bin"), file.key),
                file.header);
  expect_wal_object("wal-segment.bin", file);
}

TEST(GoldenV1, WalSummary) {
  const auto example = example_stored_summary();
  expect_golden("wal-summary-2.bin", encode_wal_summary(example));
  EXPECT_EQ(decode_wal_summary(read_golden("wal-summary-2.bin"), "k"), example);
  const auto file = wal_segment({});
  const auto trailer = encode_wal_object_trailer(file.header, 200, 300);
  expect_golden("wal-trailer-with-summary-2.bin", trailer);
  const auto place = parse_wal_object_trailer(read_golden("wal-trailer-with-summary-2.bin"), "k");
  EXPECT_EQ(std::tuple(place.offset, place.length), std::tuple(200u, 300u));
}

TEST(GoldenV1, WalLedger) {
  WalLedger ledger;
  const auto stored = example_stored_summary();
  const ChainSummary chain{
      .summary = stored.summary, .origin = stored.origin, .digest = digest_of(9)};
  ledger.entries = {{.number = 3, .chain = chain}, {.number = 260, .chain = chain}};
  trim_for_ledger(ledger.entries);
  const std::string key = "wal-ledger/main/1/00000001-0/00000000/0123456789abcdef";
  expect_golden("wal-ledger-2.bin", codec.seal(ObjectKind::ledger, key, encode_wal_ledger(ledger)));
  const auto payload = codec.unseal(ObjectKind::ledger, key, read_golden("wal-ledger-2.bin"));
  EXPECT_TRUE(decode_wal_ledger(payload, key).entries == ledger.entries);
}

TEST(GoldenV1, TimelineHistory) {
  auto file = timeline_history();
  expect_golden("wal-history.bin", wal_object(file, uncompressed));

  expect_header(parse_wal_object_header(codec, read_golden("wal-history.bin"), file.key),
                file.header);
  expect_wal_object("wal-history.bin", file);
}

// Of an object of several frames the header and the trailer alone: its frames
// are four million bytes each.
TEST(GoldenV1, WalHeaderAndTrailerOfSeveralFrames) {
  auto file = wal_segment({});
  auto& header = file.header;
  header.plain_bytes = 16u << 20;
  header.start = {0x2'0400'0000};
  header.content_bytes = 2 * std::uint64_t{wal_frame_bytes} + 1;
  header.frames = {{.length = 0x00123456, .compression = Compression::zstd, .crc = 0xA1A2A3A4},
                   {.length = 0x00234567, .compression = Compression::lz4, .crc = 0xB1B2B3B4},
                   {.length = 1, .compression = Compression::none, .crc = 0xC1C2C3C4}};
  const auto encoded = encode_wal_object_header(codec, header, file.key);
  expect_golden("wal-header-of-three-frames.bin", encoded);
  expect_golden("wal-trailer-of-three-frames.bin",
                encode_wal_object_trailer(header, encoded.size(), 0));

  const auto golden = read_golden("wal-header-of-three-frames.bin");
  const auto parsed = parse_wal_object_header(codec, golden, file.key);
  expect_header(parsed, header);
  EXPECT_EQ(parsed.frames_offset, golden.size());
}

TEST(GoldenV1, CompressedWalObjectsDecode) {
  auto file = wal_segment(repetitive(300'000));
  write_if_missing("wal-segment-zstd.bin", wal_object(file, zstd));
  write_if_missing("wal-segment-lz4.bin", wal_object(file, lz4));

  for (const auto& [name, compression] : {std::pair("wal-segment-zstd.bin", Compression::zstd),
                                          std::pair("wal-segment-lz4.bin", Compression::lz4)}) {
    const auto parsed = parse_wal_object_header(codec, read_golden(name), file.key);
    ASSERT_EQ(parsed.header.frames.size(), 1u);
    EXPECT_EQ(parsed.header.frames.front().compression, compression);
    expect_wal_object(name, file);
  }
}

// ---- a whole repository, as files

constexpr auto first_backup = "20260921T141320Z-0100";
constexpr auto second_backup = "20260921T151320Z-0200";

[[nodiscard]] Files first_files() {
  Bytes with_hole = repetitive(700'000);
  std::fill(with_hole.begin() + chunk_bytes, with_hole.begin() + 2 * chunk_bytes, std::uint8_t{0});
  return {{"PG_VERSION", bytes_of("17\n")},
          {"base/5/16384", with_hole},
          {"base/5/empty", {}},
          {"base/5/zeros", Bytes(8192)},
          {"global/pg_filenode.map", repetitive(512)}};
}

[[nodiscard]] Files second_files() {
  auto files = first_files();
  files["global/pg_filenode.map"] = bytes_of("changed");
  return files;
}

void write_backup(const Repository& repository, const std::string& id, std::uint8_t writer,
                  const std::string& parent, const Files& files, Timestamp time) {
  FakeClock clock(time);
  const auto key = backup_root_key("main", id);
  const WriterSession session(repository, clock, id_of(writer), key,
                              parent.empty() ? "" : backup_root_key("main", parent));
  TreeWriter tree(session, {.compression = zstd, .jobs = 1});
  FileEntry directory;
  directory.kind = EntryKind::directory;
  directory.path = "base/5";
  directory.mode = 0700;
  tree.add(directory);
  FileEntry link;
  link.kind = EntryKind::symlink;
  link.path = "pg_tblspc/16400";
  link.link_target = "/mnt/fast";
  link.mode = 0777;
  tree.add(link);
  for (const auto& [path, content] : files) write_tree_file(tree, path, content);
  tree.begin_stream("manifest");
  tree.append_to_stream("manifest", as_bytes("{ \"the server's manifest\": " + id + " }\n"));
  tree.end_stream("manifest");
  auto root = tree.finish();
  auto info = golden_backup_info();
  info.id = id;
  info.identity_number = 1;
  info.parent_id = parent;
  info.sequence = parent.empty() ? 1 : 2;
  info.start_time = time;
  info.stop_time = time + std::chrono::seconds(9);
  root.head = encode_backup_info(info);
  root.notes["backup_label"] = bytes_of("START WAL LOCATION: 2/3000028\n");
  session.commit(encode_root(codec, root, key));
}

void write_repository(const fs::path& directory) {
  PosixStorage storage(directory.string(), id_of(0xEE));
  storage.prepare();
  FakeClock clock(at(0));
  CountingRandomness randomness;
  Repository::create(storage, clock, randomness);
  const auto repository = Repository::open(storage);
  const ClusterIdentity identity{.name = "main",
                                 .number = 1,
                                 .system_identifier = 7'432'101'234'567'890'123u,
                                 .postgres_major = 17,
                                 .geometry = {1u << 20},
                                 .registered = at(1)};
  ASSERT_TRUE(add_cluster(repository, identity).anew);
  write_backup(repository, first_backup, 0x01, "", first_files(), at(0));
  write_backup(repository, second_backup, 0x02, first_backup, second_files(), at(3600));
  auto history = timeline_history();
  history.key = WalArchive(repository, identity).key_of(history.header.name);
  ASSERT_TRUE(storage.put_if_absent(history.key, wal_object(history, zstd)));
}

class GoldenRepository : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto directory = golden_directory / "repository";
    if (!may_write_golden() || fs::exists(directory)) return;
    write_repository(directory);
    fs::remove(directory / "tmp");
  }

  [[nodiscard]] static std::string path() { return (golden_directory / "repository").string(); }

  PosixStorage storage_{path(), id_of(0xEF)};
  Repository repository_ = Repository::open(storage_);
};

TEST_F(GoldenRepository, HasTheKeysOfTheDocument) {
  std::vector<std::string> keys;
  storage_.list("", [&](const ObjectInfo& object) { keys.push_back(object.key); });
  std::erase_if(keys, [](const std::string& key) { return key.starts_with("packs/"); });
  EXPECT_EQ(keys, (std::vector<std::string>{
                      "backups/main/20260921T141320Z-0100/1",
                      "backups/main/20260921T151320Z-0200/1",
                      "clusters/main/1",
                      "format/1",
                      "pins/01010101010101010101010101010101/1",
                      "pins/02020202020202020202020202020202/1",
                      "wal/main/1/00000003-0/00000003.history",
                  }));
}

TEST_F(GoldenRepository, ListsItsClustersAndBackups) {
  EXPECT_EQ(repository_.id(), "01000000000000000000000000000000");
  const auto clusters = list_clusters(repository_);
  ASSERT_EQ(clusters.size(), 1u);
  EXPECT_EQ(clusters.front().name, "main");
  EXPECT_EQ(clusters.front().postgres_major, 17);

  const auto list = list_backups(repository_, "main");
  EXPECT_TRUE(list.damaged.empty());
  ASSERT_EQ(list.backups.size(), 2u);
  EXPECT_EQ(list.backups[0].id, first_backup);
  EXPECT_EQ(list.backups[0].parent_id, "");
  EXPECT_EQ(list.backups[1].id, second_backup);
  EXPECT_EQ(list.backups[1].parent_id, first_backup);
}

TEST_F(GoldenRepository, GivesItsTreesBack) {
  for (const auto& [id, files] :
       {std::pair(first_backup, first_files()), std::pair(second_backup, second_files())}) {
    TreeReader tree(repository_, backup_root_key("main", id));
    EXPECT_TRUE(read_tree(tree) == files) << id;
    for (const auto& [path, entry] : entries_of(tree)) {
      if (entry.kind != EntryKind::file) continue;
      EXPECT_EQ(entry.crc, crc32c(files.at(path))) << path;
    }
    const auto entries = entries_of(tree);
    EXPECT_EQ(entries.size(), files.size() + 2);
    EXPECT_EQ(entries.at("base/5").kind, EntryKind::directory);
    EXPECT_EQ(entries.at("base/5").mode, 0700u);
    EXPECT_EQ(entries.at("base/5/16384").maps.size(), 1u);
    EXPECT_EQ(entries.at("pg_tblspc/16400").link_target, "/mnt/fast");
    std::string manifest;
    tree.read_stream("manifest", [&](ByteView bytes) { manifest += as_text(bytes); });
    EXPECT_EQ(manifest, "{ \"the server's manifest\": " + std::string(id) + " }\n");
    EXPECT_EQ(as_text(tree.root().notes.at("backup_label")), "START WAL LOCATION: 2/3000028\n");
  }
}

TEST_F(GoldenRepository, BorrowsInItsSecondBackupWhatTheFirstOneStored) {
  const TreeReader first(repository_, backup_root_key("main", first_backup));
  const TreeReader second(repository_, backup_root_key("main", second_backup));
  std::size_t borrowed = 0;
  for (const auto& entry : second.root().packs.entries()) {
    if (first.root().packs.find(entry.name)) ++borrowed;
  }
  EXPECT_GE(borrowed, 1u);
  EXPECT_LT(borrowed, second.root().packs.entries().size());
}

TEST_F(GoldenRepository, NamesItsPacksByTheirDigests) {
  std::size_t packs = 0;
  storage_.list("packs/", [&](const ObjectInfo& object) {
    ++packs;
    const auto pack = storage_.find(object.key, whole_object).value();
    EXPECT_EQ(sha256(pack).hex(), object.key.substr(object.key.find_last_of('/') + 1));
    EXPECT_FALSE(read_pack_directory(codec, pack, object.key).empty());
  });
  EXPECT_EQ(packs, 4u);
}

TEST_F(GoldenRepository, HoldsPinsThatNameTheirRoots) {
  const auto pin_of = [&](std::uint8_t writer) {
    const auto key = "pins/" + to_hex(id_of(writer)) + "/1";
    return decode_pin(repository_.find_sealed(ObjectKind::pin, key).value());
  };
  EXPECT_EQ(pin_of(1).root_key, backup_root_key("main", first_backup));
  EXPECT_TRUE(pin_of(1).may_borrow.entries().empty());
  EXPECT_EQ(pin_of(2).root_key, backup_root_key("main", second_backup));
  EXPECT_EQ(pin_of(2).may_borrow.entries().size(), 2u);
}

TEST_F(GoldenRepository, HoldsAnArchivedHistory) {
  const WalArchive archive(repository_, get_cluster(repository_, "main"));
  EXPECT_EQ(archive.find_file("00000003.history"), timeline_history().content);
  EXPECT_EQ(archive.timelines(), std::vector<TimelineId>{{3}});
}

}  // namespace
}  // namespace walvault
