// Golden bytes of the catalogue's small records.
#include <gtest/gtest.h>

#include "catalog/records/accepted_gap.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"
#include "catalog/records/catalogue_snapshot.h"
#include "catalog/records/left_timeline.h"
#include "catalog/records/verified.h"
#include "catalog/wal/wal_expiry.h"
#include "repository/damaged_packs.h"
#include "repository/root_copy.h"
#include "repository/tree.h"
#include "support/golden_files.h"
#include "support/memory_repository.h"

namespace walvault {
namespace {

const ObjectCodec codec;

TEST(GoldenV1, AcceptedGap) {
  const AcceptedGap gap{.timeline = {.timeline = {2}, .branch = 1},
                        .from = {0x5000000},
                        .to = {0x7000000},
                        .reason = "the disk is gone",
                        .when = at(300, 9)};
  const std::string key = "accepted-gaps/main/1/1";
  expect_golden("accepted-gap.bin",
                codec.seal(ObjectKind::accepted_gap, key, encode_accepted_gap(gap)));
  const auto read = decode_accepted_gap(
      codec.unseal(ObjectKind::accepted_gap, key, read_golden("accepted-gap.bin")));
  EXPECT_TRUE(read == gap);
}

TEST(GoldenV1, CopyOfARoot) {
  const auto root_key = backup_root_key("main", "20260921T141320Z-0c0c");
  Root content;
  content.head = bytes_of("a head");
  const auto root = encode_root(codec, content, root_key);
  MemoryRepository made;
  ASSERT_TRUE(put_root_copy(made.repository, root_key, root));
  const std::string key = "root-copies/main/20260921T141320Z-0c0c";
  expect_golden("root-copy.bin", made.storage.find(key, whole_object).value());
  EXPECT_EQ(root_key_of_copy(key), root_key);
  made.storage.overwrite(key, read_golden("root-copy.bin"));
  EXPECT_EQ(find_root_copy(made.repository, root_key), root);
}

TEST(GoldenV1, LeftTimeline) {
  LeftTimeline left{.timeline = {.timeline = {2}, .branch = 1},
                    .at = {0x5000028},
                    .for_timeline = {4},
                    .archiver = id_of(5),
                    .is_taken_back = false,
                    .when = at(300, 9),
                    .reason = "restored to 0/5000028"};
  const std::string key = "left/main/1/1";
  expect_golden("left-timeline.bin",
                codec.seal(ObjectKind::left_timeline, key, encode_left_timeline(left)));
  const auto read = [&](const char* name) {
    return decode_left_timeline(codec.unseal(ObjectKind::left_timeline, key, read_golden(name)));
  };
  EXPECT_TRUE(read("left-timeline.bin") == left);
  left.archiver = std::nullopt;
  left.for_timeline = {};
  left.is_taken_back = true;
  expect_golden("left-timeline-taken-back.bin",
                codec.seal(ObjectKind::left_timeline, key, encode_left_timeline(left)));
  EXPECT_TRUE(read("left-timeline-taken-back.bin") == left);
}

TEST(GoldenV1, BackupKeep) {
  const BackupKeep keep{.when = at(300), .until = at(900, 7)};
  const std::string key = "keeps/main/20261121T104100Z-3f9a/1";
  expect_golden("keep.bin", codec.seal(ObjectKind::keep, key, encode_backup_keep(keep)));
  EXPECT_EQ(decode_backup_keep(codec.unseal(ObjectKind::keep, key, read_golden("keep.bin"))), keep);
  const BackupKeep forever{.when = at(300), .until = std::nullopt};
  EXPECT_EQ(decode_backup_keep(encode_backup_keep(forever)), forever);
}

TEST(GoldenV1, WalExpiry) {
  const WalExpiry expiry{.created = at(300),
                         .ranges = {{.identity_number = 1,
                                     .timeline = {.timeline = {2}, .branch = 1},
                                     .first = 5,
                                     .behind = 300},
                                    {.identity_number = 2,
                                     .timeline = {.timeline = {3}, .branch = 0},
                                     .first = 7,
                                     .behind = 8}}};
  const std::string key = "wal-expiry/main/" + std::string(32, 'a');
  expect_golden("wal-expiry.bin",
                codec.seal(ObjectKind::wal_expiry, key, encode_wal_expiry(expiry)));
  const auto read =
      decode_wal_expiry(codec.unseal(ObjectKind::wal_expiry, key, read_golden("wal-expiry.bin")));
  EXPECT_EQ(read.created, expiry.created);
  EXPECT_EQ(read.ranges, expiry.ranges);
}

// Compressed, and so read only.
TEST(GoldenV1, RecordOfVerification) {
  VerifiedRecord record;
  record.note_run({.cluster = "main",
                   .tier = VerifyTier::deep,
                   .partial = true,
                   .started = at(300),
                   .finished = at(400),
                   .whole = false,
                   .damaged = 2});
  record.packs[{.writer = id_of(1), .digest = sha256(as_bytes("pack"))}] = {
      .stored = at(301), .deep = at(302), .damaged = {}};
  record.segments["wal/main/1/00000001-0/"].note(5, 300, {.stored = at(303), .deep = {}});
  record.segments["wal/main/1/00000001-0/"].note(7, 8, {.damaged = at(304)});
  record.trees["backups/main/20261121T104100Z-3f9a/1"] = {.stored = at(305), .deep = at(305)};
  const std::string key = "verified/" + std::string(32, 'b') + "-1";
  expect_golden("verified.bin", codec.seal(ObjectKind::verified, key, encode_verified(record)));
  const auto read =
      decode_verified(codec.unseal(ObjectKind::verified, key, read_golden("verified.bin")));
  EXPECT_EQ(encode_verified(read), encode_verified(record));
}

TEST(GoldenV1, DamagedPack) {
  MemoryRepository made;
  const PackName pack{.writer = id_of(1), .digest = sha256(as_bytes("pack"))};
  mark_damaged(made.repository, pack, PackDamage::content, at(300));
  const auto object = made.storage.find(damaged_pack_key(pack), whole_object).value();
  expect_golden("damaged-pack.bin", object);
}

TEST(GoldenV1, CatalogueSnapshot) {
  CatalogueSnapshot snapshot{.lsn = {0x5000028}, .taken = at(300), .databases = {}};
  auto& database = snapshot.databases.emplace_back();
  database.oid = 5;
  database.name = "app";
  for (std::uint32_t i = 0; i < 20; ++i) {
    database.relations.push_back({.file = {1663, 5, 16384 + i},
                                  .oid = 16384 + i,
                                  .kind = 'r',
                                  .name = "public.orders_" + std::to_string(i)});
  }
  snapshot.databases.push_back(
      {.oid = 4, .name = "template0", .unknown = "no connections", .relations = {}});
  const std::string key = "catalogues/main/1/0000000005000028-0123456789abcdef0123456789abcdef";
  write_if_missing("catalogue.bin",
                   codec.seal(ObjectKind::catalogue, key, encode_catalogue(snapshot)));
  const auto payload = codec.unseal(ObjectKind::catalogue, key, read_golden("catalogue.bin"));
  EXPECT_TRUE(decode_catalogue(payload) == snapshot);
}

}  // namespace
}  // namespace walvault
