#include "catalog/verification/verification.h"
#include "catalog/records/backup_list.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "catalog/wal/stored_summary.h"
#include "postgres/data_page.h"
#include "postgres/wal_page.h"
#include "repository/damaged_packs.h"
#include "support/catalog_examples.h"
#include "support/damage.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

using std::chrono::days;

Bytes summary_of(ByteView wal, std::uint32_t timeline) {
  const auto first = parse_wal_segment_header(wal);
  WalSummarizer summarizer(first, first.page.page_address, {timeline});
  summarizer.read(wal);
  return encode_wal_summary({summarizer.finish()});
}

// Blocks of a relation, each with the checksum of its place.
Bytes relation_of(std::uint32_t blocks) {
  Bytes file;
  for (std::uint32_t block = 0; block < blocks; ++block) {
    auto page = random_bytes(data_page_bytes, block + 1);
    std::fill_n(page.begin(), 8, std::uint8_t{0});  // written long ago
    const auto checksum = page_checksum(page, block);
    page[8] = static_cast<std::uint8_t>(checksum);
    page[9] = static_cast<std::uint8_t>(checksum >> 8);
    file.insert(file.end(), page.begin(), page.end());
  }
  return file;
}

class VerificationTest : public testing::Test {
 protected:
  VerificationTest() {
    auto identity = test_cluster();
    (void)add_cluster(made_.repository, identity);
    for (std::uint64_t number = 1; number <= 12; ++number) {
      const auto wal = chained_segment(1, number);
      archive_file(archive_, SegmentName{.timeline = {1}, .number = number}.text(test_geometry),
                   wal, minute_of(number), {}, summary_of(wal, 1));
    }
    files_ = {{"base/5/16384", relation_of(40)},
              {"pg_xact/0001", random_bytes(600'000, 7)},
              {"global/pg_filenode.map", bytes_of("small")}};
    back_up(1, "a", 2, 3, "");
    files_["pg_xact/0001"][500'000] ^= 1;
    back_up(2, "b", 7, 8, "a");
  }

  void back_up(std::uint8_t writer, const std::string& id, std::uint64_t first, std::uint64_t last,
               const std::string& parent, const std::string& cluster = "main") {
    auto info = backup_of(id, 1, first, last);
    info.cluster = cluster;
    info.control.data_checksum_version = 1;
    info.control.block_bytes = data_page_bytes;
    info.control.relation_segment_blocks = 131072;
    const auto key = backup_root_key(cluster, id);
    const WriterSession session(made_.repository, made_.clock, id_of(writer), key,
                                parent.empty() ? "" : backup_root_key("main", parent));
    TreeWriter tree(session, {});
    for (const auto& [path, content] : files_) write_tree_file(tree, path, content);
    auto root = tree.finish();
    root.head = encode_backup_info(info);
    session.commit(encode_root(ObjectCodec(), root, key));
    // As when gc has come by.
    made_.storage.remove(keys_under(made_.storage, "pins/"));
  }

  VerifyReport run(VerifyRequest request) {
    request.jobs = 2;
    return verify(repository_, made_.clock, id_of(++runs_), request,
                  {.info = [](const std::string&) {},
                   .warn = [this](const std::string& text) { warnings_.push_back(text); },
                   .check_cancelled = [this] { check_cancelled_(); }});
  }
  VerifyReport run(VerifyTier tier) {
    VerifyRequest request;
    request.tier = tier;
    return run(request);
  }

  void replace(const std::string& key, ByteView bytes) {
    made_.storage.remove({key});
    ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
  }
  void flip(const std::string& key, std::size_t byte) {
    auto bytes = made_.storage.find(key, whole_object).value();
    bytes.at(byte) ^= 0x20;
    replace(key, bytes);
  }
  // Gives a pack other bytes, and the roots its new name. Maps name it too: no file may
  // have one.
  void rename_pack(const std::string& key, const Bytes& bytes) {
    const auto old = PackName::parse(key).value();
    const PackName name{.writer = old.writer, .digest = sha256(bytes)};
    made_.storage.remove({key});
    ASSERT_TRUE(made_.storage.put_if_absent(name.key(), bytes));
    for (const auto& root_key : root_keys(made_.storage)) {
      auto root =
          decode_root(ObjectCodec(), made_.storage.find(root_key, whole_object).value(), root_key);
      PackTable table;
      for (const auto& entry : root.packs.entries()) {
        table.add(entry.name == old ? name : entry.name,
                  entry.name == old ? bytes.size() : entry.size);
      }
      root.packs = table;
      replace(root_key, encode_root(ObjectCodec(), root, root_key));
    }
  }
  // As many objects as are under way at once lie between the first and this one, so the
  // first have been dealt with.
  void end_run_at_the_last_segment() {
    hooked_.before = [last = segment(12)](std::string_view operation, std::string_view key) {
      if (operation == "find" && key == last) throw std::runtime_error("ended");
    };
    EXPECT_THROW(run(VerifyTier::stored), std::runtime_error);
    hooked_.before = [](std::string_view, std::string_view) {};
  }
  // What verify itself leaves.
  void forget_runs() {
    for (const auto* prefix : {"verified/", "damaged/"}) {
      made_.storage.remove(keys_under(made_.storage, prefix));
    }
  }

  // The pack of a backup in which the chunk of a file lies.
  [[nodiscard]] std::string pack_of(const std::string& id, const std::string& path,
                                    std::size_t chunk = 0) {
    TreeReader tree(made_.repository, backup_root_key("main", id));
    const auto entry = entries_of(tree).at(path);
    return tree.root().packs.at(chunks_of(tree, entry).at(chunk).pack).name.key();
  }
  [[nodiscard]] std::string segment(std::uint64_t number) const {
    return archive_.key_of(SegmentName{.timeline = {1}, .number = number}.text(test_geometry));
  }
  static bool is_damaged(const VerifyReport& report, const std::string& id) {
    return std::ranges::find(report.damaged_backups, id, &BackupDamage::id) !=
           report.damaged_backups.end();
  }
  // One that is; else a failure, and nothing that is damaged.
  static BackupDamage damage_of(const VerifyReport& report, const std::string& id) {
    for (const auto& damage : report.damaged_backups) {
      if (damage.id == id) return damage;
    }
    ADD_FAILURE() << id << " is not damaged";
    BackupDamage none;
    none.lost.resize(1);
    none.wrong_pages.resize(1);
    return none;
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  WalArchive archive_{made_.repository, test_cluster()};
  Files files_;
  std::vector<std::string> warnings_;
  std::function<void()> check_cancelled_ = [] {};
  std::uint8_t runs_ = 100;
};

TEST_F(VerificationTest, FindsNothingWhereNothingIsWrong) {
  for (const auto tier : {VerifyTier::present, VerifyTier::stored, VerifyTier::deep}) {
    const auto report = run(tier);
    EXPECT_TRUE(report.is_whole()) << tier_name(tier);
    EXPECT_EQ(report.backups, 2u);
    EXPECT_EQ(report.packs, keys_under(made_.storage, "packs/").size());
    ASSERT_EQ(report.windows.size(), 1u);
    ASSERT_EQ(report.windows[0].after.size(), 1u);
    EXPECT_EQ(report.windows[0].after[0].earliest, backup_of("a", 1, 2, 3).stop);
  }
  const auto report = run(VerifyTier::deep);
  EXPECT_EQ(report.wal_files_read, 12u);
  // The chunks that both backups have are decoded once.
  EXPECT_EQ(report.plain_bytes_read, 40 * data_page_bytes + 600'000 + 5 + 262'144);
  EXPECT_TRUE(keys_under(made_.storage, "pins/").empty()) << "the reader's pins are taken away";
  EXPECT_TRUE(warnings_.empty());
}

// A bit anywhere in anything that is stored.
TEST_F(VerificationTest, DeepFindsABitInEveryObject) {
  run(VerifyTier::deep);
  const auto keys = keys_under(made_.storage, "");
  std::set<std::string> kinds;
  for (const auto& key : keys) {
    if (key.starts_with("verified/") || key.starts_with("damaged/")) continue;
    kinds.insert(key.substr(0, key.find('/')));
    const auto whole = made_.storage.find(key, whole_object).value();
    const auto step = std::max<std::size_t>(1, whole.size() / 12);
    for (std::size_t byte = runs_ % step; byte < whole.size(); byte += step) {
      flip(key, byte);
      bool found = false;
      try {
        found = !run(VerifyTier::deep).is_whole();
      } catch (const Error& error) {
        // Without them there is nothing to look at.
        found = (key.starts_with("format/") || key.starts_with("clusters/")) &&
                (error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::conflict);
      }
      EXPECT_TRUE(found) << key << " " << byte;
      replace(key, whole);
      forget_runs();
    }
  }
  EXPECT_TRUE(run(VerifyTier::deep).is_whole());
  EXPECT_EQ(kinds, (std::set<std::string>{"backups", "clusters", "format", "packs", "root-copies",
                                          "wal", "wal-ledger"}));
}

TEST_F(VerificationTest, SaysWhatAMissingPackCosts) {
  const auto pack = pack_of("b", "pg_xact/0001", 1);
  ASSERT_NE(pack, pack_of("a", "pg_xact/0001", 1));
  made_.storage.remove({pack});
  for (const auto tier : {VerifyTier::present, VerifyTier::stored, VerifyTier::deep}) {
    const auto report = run(tier);
    EXPECT_FALSE(report.is_whole());
    ASSERT_EQ(report.objects.size(), 1u) << tier_name(tier);
    EXPECT_EQ(report.objects[0].key, pack);
    EXPECT_EQ(report.objects[0].kind, DamageKind::missing);
    EXPECT_FALSE(is_damaged(report, "a")) << "it has its own content";
    const auto damage = damage_of(report, "b");
    EXPECT_FALSE(damage.is_restorable());
    ASSERT_EQ(damage.lost.size(), 1u);
    EXPECT_EQ(damage.lost[0].path, "pg_xact/0001");
    EXPECT_EQ(damage.lost[0].offset, 262'144u);
    EXPECT_EQ(damage.lost[0].length, 262'144u);
    // From the other backup every moment can be had still.
    ASSERT_EQ(report.windows[0].after.size(), 1u);
    EXPECT_EQ(report.windows[0].after[0].earliest, backup_of("a", 1, 2, 3).stop);
  }
}

TEST_F(VerificationTest, SaysThatABackupWithoutItsListOfFilesIsLost) {
  const TreeReader tree(made_.repository, backup_root_key("main", "a"));
  const auto ref = tree.root().stream("files").chunks.at(0);
  made_.storage.remove({tree.root().packs.at(ref.pack).name.key()});
  const auto report = run(VerifyTier::present);
  const auto damage = damage_of(report, "a");
  ASSERT_EQ(damage.lost.size(), 1u);
  EXPECT_EQ(damage.lost[0].path, "");
  EXPECT_THAT(damage.lost[0].why, testing::HasSubstr("list of files"));
}

TEST_F(VerificationTest, ADamagedPackIsStoredAnewByTheNextBackup) {
  const auto pack = pack_of("a", "base/5/16384");
  const auto whole = made_.storage.find(pack, whole_object).value();
  flip(pack, 100);
  const auto report = run(VerifyTier::stored);
  EXPECT_TRUE(is_damaged(report, "a"));
  EXPECT_TRUE(is_damaged(report, "b")) << "it borrows from it";
  EXPECT_EQ(damage_of(report, "a").lost[0].path, "base/5/16384");
  EXPECT_EQ(list_damaged_packs(made_.repository).size(), 1u);
  EXPECT_TRUE(report.windows[0].after.empty());
  EXPECT_EQ(report.windows[0].before.size(), 1u);
  // What was found stays known until it is mended.
  EXPECT_FALSE(run(VerifyTier::present).is_whole());

  back_up(3, "c", 9, 10, "b");
  const auto next = run(VerifyTier::deep);
  EXPECT_FALSE(is_damaged(next, "c"));
  ASSERT_EQ(next.windows[0].after.size(), 1u);
  EXPECT_EQ(next.windows[0].after[0].earliest, backup_of("c", 1, 9, 10).stop);

  replace(pack, whole);
  EXPECT_TRUE(run(VerifyTier::stored).is_whole());
  EXPECT_TRUE(list_damaged_packs(made_.repository).empty());
  EXPECT_TRUE(run(VerifyTier::present).is_whole());
}

TEST_F(VerificationTest, ABackupBorrowsNothingFromAPackThatIsGoneOrCutShort) {
  const auto pack = pack_of("a", "base/5/16384");
  const auto bytes = made_.storage.find(pack, whole_object).value();
  made_.storage.remove({pack});
  back_up(3, "c", 9, 10, "b");
  EXPECT_FALSE(is_damaged(run(VerifyTier::deep), "c"));
  const auto second = pack_of("c", "base/5/16384");
  const auto half = made_.storage.find(second, whole_object).value();
  replace(second, ByteView(half).first(half.size() / 2));
  back_up(4, "d", 9, 10, "c");
  const auto report = run(VerifyTier::deep);
  // Though the pack of the other has the same content.
  EXPECT_TRUE(is_damaged(report, "c"));
  EXPECT_FALSE(is_damaged(report, "d"));
}

TEST_F(VerificationTest, AMissingSegmentBreaksAWindow) {
  made_.storage.remove({segment(5)});
  for (const auto tier : {VerifyTier::present, VerifyTier::stored, VerifyTier::deep}) {
    const auto report = run(tier);
    EXPECT_FALSE(report.is_whole()) << tier_name(tier);
    ASSERT_EQ(report.windows[0].gaps.size(), 1u);
    EXPECT_EQ(report.windows[0].gaps[0].from.value, 5 * test_segment_bytes);
    EXPECT_TRUE(report.damaged_backups.empty()) << "either has what it needs itself";
    EXPECT_EQ(report.windows[0].after.size(), 2u);
  }
  made_.storage.remove({segment(1)});
  EXPECT_EQ(run(VerifyTier::present).windows[0].gaps.size(), 1u) << "no backup leads there";
}

TEST_F(VerificationTest, ABackupWithoutItsOwnWalIsLost) {
  made_.storage.remove({segment(7)});
  const auto report = run(VerifyTier::present);
  const auto damage = damage_of(report, "b");
  EXPECT_TRUE(damage.wal_incomplete);
  EXPECT_FALSE(is_damaged(report, "a"));
}

TEST_F(VerificationTest, ADamagedSegmentEndsWhatCanBeRecovered) {
  flip(segment(5), 200);
  const auto report = run(VerifyTier::stored);
  ASSERT_EQ(report.objects.size(), 1u);
  EXPECT_EQ(report.objects[0].key, segment(5));
  ASSERT_EQ(report.windows[0].after.size(), 2u);
  EXPECT_EQ(report.windows[0].after[0].latest.value, 5 * test_segment_bytes);
  EXPECT_EQ(report.windows[0].before.size(), 1u);
}

// Its frames are right by their checksums, and its content is not that of its name.
TEST_F(VerificationTest, DeepFindsASegmentThatWasStoredWrong) {
  const auto key = segment(5);
  auto wal = chained_segment(1, 5);
  const auto summary = summary_of(wal, 1);
  wal[test_checkpoint_offset + 40] ^= 1;
  made_.storage.remove({key});
  archive_file(archive_, key.substr(key.rfind('/') + 1), wal, minute_of(5), {}, summary);
  EXPECT_TRUE(run(VerifyTier::stored).is_whole());
  const auto report = run(VerifyTier::deep);
  ASSERT_EQ(report.objects.size(), 1u);
  EXPECT_EQ(report.objects[0].key, key);
}

TEST_F(VerificationTest, DeepReadsThePagesAsTheServerWould) {
  files_["base/5/16384"][3 * data_page_bytes + 1000] ^= 1;
  back_up(3, "c", 9, 10, "b");
  EXPECT_TRUE(run(VerifyTier::stored).is_whole());
  const auto report = run(VerifyTier::deep);
  EXPECT_FALSE(report.is_whole());
  const auto damage = damage_of(report, "c");
  ASSERT_EQ(damage.wrong_pages.size(), 1u);
  EXPECT_EQ(damage.wrong_pages[0].path, "base/5/16384");
  EXPECT_EQ(damage.wrong_pages[0].block, 3u);
  EXPECT_TRUE(damage.is_restorable()) << "it is what the server sent";
}

TEST_F(VerificationTest, ReadsAgainOnlyWhatIsOld) {
  VerifyRequest lately{.tier = VerifyTier::deep, .max_age = days(30)};
  EXPECT_GT(run(lately).packs_read, 0u);
  made_.clock.advance(days(20));
  auto report = run(lately);
  EXPECT_EQ(report.packs_read, 0u);
  EXPECT_EQ(report.wal_files_read, 0u);
  EXPECT_EQ(report.plain_bytes_read, 0u);
  // What came meanwhile is new, and the rest is not read with it.
  files_["base/5/16390"] = random_bytes(5000, 9);
  back_up(3, "c", 9, 10, "b");
  report = run(lately);
  EXPECT_EQ(report.packs_read, 2u);
  EXPECT_LT(report.plain_bytes_read, 300'000u);
  made_.clock.advance(days(15));
  report = run(lately);
  EXPECT_EQ(report.wal_files_read, 12u);
  EXPECT_GT(report.packs_read, 2u);
  // Of a lower tier, what a higher one has read is right too; not the other way round.
  forget_runs();
  run({.tier = VerifyTier::stored, .max_age = days(30)});
  EXPECT_GT(run(lately).plain_bytes_read, 0u);
  EXPECT_EQ(run({.tier = VerifyTier::stored, .max_age = days(30)}).wal_files_read, 0u);
  EXPECT_EQ(keys_under(made_.storage, "verified/").size(), 1u) << "one record is enough";
}

TEST_F(VerificationTest, WhatWasFoundDamagedIsAlwaysReadAgain) {
  VerifyRequest lately{.max_age = days(30)};
  EXPECT_TRUE(run(lately).is_whole());
  flip(segment(5), 200);
  flip(pack_of("a", "base/5/16384"), 100);
  EXPECT_TRUE(run(lately).is_whole()) << "what is on record counts";
  EXPECT_EQ(run(VerifyTier::stored).object_count, 2u);
  EXPECT_EQ(run(lately).object_count, 2u);
}

TEST_F(VerificationTest, ReadsAShareOfItAtRandom) {
  std::uint64_t read = 0;
  for (int i = 0; i < 40; ++i) read += run({.sample = 0.25}).wal_files_read;
  // 120 of 480 are to be expected.
  EXPECT_GT(read, 60u);
  EXPECT_LT(read, 200u);
}

TEST_F(VerificationTest, ARunThatWasEndedLeavesOnRecordWhatItHadRead) {
  end_run_at_the_last_segment();
  const auto report = run({.max_age = days(1)});
  EXPECT_LT(report.packs_read + report.wal_files_read, report.packs + report.wal_files);
  EXPECT_TRUE(keys_under(made_.storage, "pins/").empty());
}

TEST_F(VerificationTest, OfOneBackupReadsWhatThatNeeds) {
  flip(segment(5), 200);
  flip(pack_of("b", "pg_xact/0001", 1), 100);
  const auto report = run({.cluster = "main", .backup = "a"});
  EXPECT_TRUE(report.is_whole());
  EXPECT_EQ(report.backups, 1u);
  EXPECT_EQ(report.wal_files_read, 2u);
  EXPECT_FALSE(run({.cluster = "main", .backup = "b"}).is_whole());
  EXPECT_EQ(error_of([&] { run({.cluster = "main", .backup = "x"}); }), "not_found");
  EXPECT_EQ(error_of([&] { run({.cluster = "other"}); }), "not_found");
}

TEST_F(VerificationTest, ReportsWhatIsOfTheRepositoryFirst) {
  (void)run(VerifyTier::deep);
  const auto record = keys_under(made_.storage, "verified/").at(0);
  put_accepted_gap(made_.repository, test_cluster(),
                   {.timeline = {}, .from = {}, .to = {}, .reason = "x", .when = {}});
  const auto gap = keys_under(made_.storage, "accepted-gaps/").at(0);
  for (const auto& key : {gap, record}) flip(key, made_.storage.find_size(key).value() - 40);
  const auto report = run(VerifyTier::deep);
  ASSERT_EQ(report.objects.size(), 2u);
  EXPECT_EQ(report.objects[0].key, record);
  EXPECT_EQ(report.objects[1].key, gap);
}

TEST_F(VerificationTest, GoesOnBehindAnObjectThatCannotBeRead) {
  const auto pack = pack_of("a", "base/5/16384");
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "find" && (key == pack || key == segment(5))) {
      throw Error(ErrorKind::unavailable, "cannot read", "Input/output error.");
    }
  };
  const auto report = run(VerifyTier::deep);
  ASSERT_EQ(report.objects.size(), 2u);
  EXPECT_EQ(report.objects[0].kind, DamageKind::unreadable);
  EXPECT_EQ(report.objects[1].kind, DamageKind::unreadable);
  EXPECT_TRUE(is_damaged(report, "a"));
  // Where nothing can be read, that is no damage.
  hooked_.before = [](std::string_view, std::string_view) {
    throw Error(ErrorKind::unavailable, "cannot read", "The network is gone.");
  };
  EXPECT_EQ(error_of([&] { run(VerifyTier::deep); }), "unavailable");
}

TEST_F(VerificationTest, ADamagedRootHidesNoOther) {
  const auto key = backup_root_key("main", "a");
  flip(key, made_.storage.find_size(key).value() - 40);
  flip(backup_root_key("main", "b"), 40);
  const auto report = run(VerifyTier::present);
  EXPECT_TRUE(is_damaged(report, "a"));
  EXPECT_TRUE(is_damaged(report, "b"));
  EXPECT_TRUE(damage_of(report, "a").whole);
  EXPECT_TRUE(damage_of(report, "b").whole);
  EXPECT_TRUE(report.windows[0].after.empty());
}

// What was stored was wrong already: its digest says nothing.
TEST_F(VerificationTest, APackWithWrongContentIsStoredAnewByTheNextBackup) {
  const std::string path = "pg_xact/0002";
  files_ = {{path, random_bytes(200'000, 5)}};
  back_up(3, "s", 9, 10, "");
  // Another chunk at the same place, whole by all of its checksums.
  TreeReader tree(made_.repository, backup_root_key("main", "s"));
  const auto ref = chunks_of(tree, entries_of(tree).at(path)).front();
  const auto pack = pack_of("s", path);
  auto bytes = made_.storage.find(pack, whole_object).value();
  auto plain = files_.at(path);
  plain[100'000] ^= 1;
  Compressor compressor;
  const auto frame = encode_full_frame(compressor, {.algorithm = Compression::none}, plain);
  ASSERT_EQ(frame.size(), ref.frame.length);
  std::ranges::copy(frame, bytes.begin() + ref.frame.offset);
  rename_pack(pack, bytes);

  EXPECT_TRUE(run(VerifyTier::stored).is_whole());
  auto report = run(VerifyTier::deep);
  EXPECT_EQ(report.object_count, 1u);
  EXPECT_EQ(damage_of(report, "s").lost[0].path, path);
  EXPECT_EQ(list_damaged_packs(made_.repository).size(), 1u);
  // What decoding found, reading does not take back.
  for (const auto tier : {VerifyTier::present, VerifyTier::stored, VerifyTier::deep}) {
    EXPECT_FALSE(run(tier).is_whole()) << tier_name(tier);
  }
  EXPECT_FALSE(run({.max_age = days(30)}).is_whole());
  back_up(4, "t", 9, 10, "s");
  report = run(VerifyTier::deep);
  EXPECT_FALSE(is_damaged(report, "t"));
  EXPECT_TRUE(is_damaged(report, "s"));
}

TEST_F(VerificationTest, WrongPagesAreFoundAgain) {
  files_["base/5/16384"][3 * data_page_bytes + 1000] ^= 1;
  back_up(3, "c", 9, 10, "b");
  const VerifyRequest lately{.tier = VerifyTier::deep, .max_age = days(30)};
  EXPECT_FALSE(run(lately).is_whole());
  EXPECT_FALSE(run(lately).is_whole());
}

TEST_F(VerificationTest, WhatAnEndedRunFoundDamagedIsReadAgain) {
  const VerifyRequest lately{.max_age = days(30)};
  EXPECT_TRUE(run(lately).is_whole());
  made_.clock.advance(std::chrono::hours(1));
  flip(segment(2), 200);
  end_run_at_the_last_segment();
  EXPECT_FALSE(run(lately).is_whole());
}

TEST_F(VerificationTest, NoAgeIsOldEnoughForWhatWasNeverRead) {
  const auto report = run({.max_age = std::chrono::days(365 * 900)});
  EXPECT_EQ(report.wal_files_read, 12u);
  EXPECT_EQ(report.packs_read, report.packs);
}

TEST_F(VerificationTest, RecordsThatARunFoundDamageWithoutADamagedObject) {
  made_.storage.remove({segment(5)});
  EXPECT_FALSE(run(VerifyTier::present).is_whole());
  const auto runs = load_verified(made_.repository).record.runs;
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_FALSE(runs[0].whole);
}

TEST_F(VerificationTest, ABitOfOneEnvelopeDoesNotEndTheRun) {
  for (const std::size_t byte : {9u, 10u, 12u}) {
    flip(segment(5), byte);
    const auto report = run(VerifyTier::stored);
    ASSERT_EQ(report.objects.size(), 1u);
    EXPECT_EQ(report.objects[0].key, segment(5));
    flip(segment(5), byte);
  }
  flip(keys_under(made_.storage, "verified/").front(), 10);
  EXPECT_EQ(run(VerifyTier::stored).object_count, 1u);
}

TEST_F(VerificationTest, AnUnreadableListOfFilesStopsNoBackup) {
  const TreeReader tree(made_.repository, backup_root_key("main", "b"));
  const auto pack = tree.root().packs.at(tree.root().stream("files").chunks.at(0).pack).name.key();
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "find" && key == pack) {
      throw Error(ErrorKind::unavailable, "cannot read", "Input/output error.");
    }
  };
  EXPECT_TRUE(is_damaged(run(VerifyTier::stored), "b"));
  const auto key = backup_root_key("main", "c");
  const WriterSession session(repository_, made_.clock, id_of(9), key,
                              backup_root_key("main", "b"));
  TreeWriter next(session, {});
  write_tree_file(next, "base/1", random_bytes(1000, 1));
  EXPECT_EQ(error_of([&] { (void)next.finish(); }), "nothing");
}

TEST_F(VerificationTest, OfABackupWithADamagedHeadSaysSo) {
  flip(backup_root_key("main", "b"), 40);
  const auto report = run({.cluster = "main", .backup = "b"});
  EXPECT_TRUE(damage_of(report, "b").whole);
  EXPECT_TRUE(run({.cluster = "main", .backup = "a"}).is_whole());
}

TEST_F(VerificationTest, ABackupThatIsDeletedMeanwhileIsNoDamage) {
  hooked_.before = [&, pack = pack_of("b", "pg_xact/0001", 1)](std::string_view operation,
                                                               std::string_view key) {
    if (operation == "find" && key == pack) {
      delete_backup(made_.repository, "main", "b", {});
      made_.storage.remove({pack});
    }
  };
  EXPECT_TRUE(run(VerifyTier::stored).is_whole());
}

class VerifiedTimelines : public VerificationTest {
 protected:
  // The timeline leaves in segment 10; it goes on to 14.
  VerifiedTimelines() {
    archive_history(archive_, 2, {{.timeline = {1}, .end = lsn_in(10, 0x200)}});
    archive_segments(archive_, 2, 10, 14);
  }
  [[nodiscard]] std::string second(std::uint64_t number) const {
    return archive_.key_of(SegmentName{.timeline = {2}, .number = number}.text(test_geometry));
  }
};

TEST_F(VerifiedTimelines, AMissingHistoryFileIsFound) {
  EXPECT_TRUE(run(VerifyTier::present).is_whole());
  const auto key = archive_.key_of("00000002.history");
  made_.storage.remove({key});
  const auto report = run(VerifyTier::present);
  EXPECT_EQ(report.objects.at(0).key, key);
}

TEST_F(VerifiedTimelines, AMissingFirstSegmentOfATimelineIsFound) {
  made_.storage.remove({second(10)});
  const auto report = run(VerifyTier::present);
  ASSERT_EQ(report.windows[0].gaps.size(), 1u);
  EXPECT_EQ(report.windows[0].gaps[0].timeline.timeline.value, 2u);
  EXPECT_EQ(report.windows[0].gaps[0].from.value, 10 * test_segment_bytes);
}

TEST_F(VerifiedTimelines, AHoleToWhichNoBackupLeadsCostsNothing) {
  // The old primary went on, with a hole, behind the only backups' departure.
  back_up(3, "c", 12, 13, "");
  for (const auto* id : {"a", "b", "c"}) delete_backup(made_.repository, "main", id, {});
  auto info = backup_of("d", 2, 12, 13);
  Root root;
  root.head = encode_backup_info(info);
  const auto key = backup_root_key("main", "d");
  ASSERT_TRUE(made_.storage.put_if_absent(key, encode_root(ObjectCodec(), root, key)));
  archive_segments(archive_, 1, 16, 16);
  EXPECT_TRUE(run(VerifyTier::present).is_whole());
}

TEST_F(VerificationTest, WarnsWhereItCannotWrite) {
  hooked_.before = [](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "read-only");
  };
  EXPECT_TRUE(run(VerifyTier::deep).is_whole());
  EXPECT_EQ(warnings_.size(), 2u) << "the pin and the record";
}

// A clone's backup shares packs with those of its original, and need not use what is
// damaged in them.
TEST_F(VerificationTest, OneClusterAloneDoesNotTellThatAPackIsRight) {
  const auto key = pack_of("b", "pg_xact/0001");
  const auto pack = PackName::parse(key).value();
  auto other = test_cluster();
  other.name = "clone";
  (void)add_cluster(made_.repository, other);
  files_.erase("base/5/16384");
  back_up(3, "c", 9, 10, "b", "clone");
  mark_damaged(made_.repository, pack, PackDamage::content, made_.clock.now());
  VerifyRequest request;
  request.tier = VerifyTier::deep;
  request.cluster = "clone";
  (void)run(request);
  EXPECT_TRUE(list_damaged_packs(made_.repository).contains(pack));
  // Everything that needs it is right.
  (void)run(VerifyTier::deep);
  EXPECT_FALSE(list_damaged_packs(made_.repository).contains(pack));
}

}  // namespace
}  // namespace walvault
