// Backups for which the server sends what changed since the parent: they hold what a
// backup of everything would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "basebackup/changes.h"
#include "repository/damaged_packs.h"
#include "support/damage.h"
#include "support/fake_backup.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t page = 8192;

ClusterIdentity cluster_of_17() {
  auto cluster = test_cluster();
  cluster.postgres_major = 17;
  return cluster;
}

// What the server says of relations that were cut short.
class FakeSql final : public SqlConnection {
 public:
  FakeSql(std::function<std::vector<SqlRow>()> cut, std::vector<SqlRow> known)
      : summaries(std::move(known)), cut_(std::move(cut)) {}
  std::vector<SqlRow> query(const std::string& sql) override {
    if (sql.find("set_config") != std::string::npos) return {};
    if (sql.find("ORDER BY start_lsn") != std::string::npos) return summaries;
    EXPECT_THAT(sql, HasSubstr("pg_wal_summary_contents"));
    return cut_();
  }

  std::vector<SqlRow> summaries;  // of what stretches there are

 private:
  std::function<std::vector<SqlRow>()> cut_;
};

class ChangesTest : public testing::Test {
 protected:
  ChangesTest() {
    archive_needed_wal(archive_);
    server_.version = 170010;
    server_.settings["summarize_wal"] = "on";
    server_.settings["data_checksums"] = "on";
    server_.files["base/5/1259"] = random_bytes(100 * page, 2);
    server_.files["base/5/3000"] = Bytes(64 * page);
    server_.files["base/5/9000"] = random_bytes(3 * page, 9);
  }
  BackupInfo back_up(BaseBackupRequest request = {}) {
    request.connect_for_changes = [&] {
      return std::make_unique<FakeSql>([&] { return cut_(); }, summaries_);
    };
    made_.clock.advance(std::chrono::seconds(1));
    Reporter reporter;
    reporter.info = [&](const std::string& text) { notes_ += text + "\n"; };
    return take_base_backup(archive_, server_, id_of(++runs_), made_.clock, request, reporter);
  }
  void change(const std::string& path, std::size_t block) {
    server_.files[path].at(block * page + 77) ^= 1;
  }
  // What an incremental backup has to be like.
  void expect_whole(const BackupInfo& backup) {
    EXPECT_TRUE(server_.last_was_incremental) << notes_;
    TreeReader tree(made_.repository, backup_root_key(backup.cluster, backup.id));
    EXPECT_TRUE(read_tree(tree) == server_.all_files());
    EXPECT_EQ(tree.root().notes.at("backup_label"), bytes_of(server_.label_text()));
    // Its manifest lists the whole files, and no changes.
    std::map<std::string, std::pair<std::uint64_t, std::string>> listed;
    ManifestReader manifest([&](const ManifestFile& file) {
      listed[file.path] = {file.size, file.checksum};
    });
    tree.read_stream(manifest_stream, [&](ByteView bytes) { manifest.feed(bytes); });
    manifest.finish();
    auto expected = server_.all_files();
    expected["backup_label"] = bytes_of(server_.label_text());
    EXPECT_EQ(listed.size(), expected.size());
    for (const auto& [path, content] : expected) {
      EXPECT_EQ(listed[path], std::pair(content.size(), manifest_crc32c_text(crc32c(content))))
          << path;
    }
    for (const auto& [path, entry] : entries_of(tree)) {
      if (entry.kind == EntryKind::file) {
        EXPECT_EQ(entry.crc, crc32c(expected.at(path))) << path;
      }
    }
    std::set<PackName> named;
    for (const auto& pack : tree.root().packs.entries()) named.insert(pack.name);
    EXPECT_EQ(named, packs_reached(tree));
  }

  MemoryRepository made_;
  WalArchive archive_{made_.repository, cluster_of_17()};
  FakeServer server_;
  std::string notes_;
  std::function<std::vector<SqlRow>()> cut_ = [] { return std::vector<SqlRow>(); };
  // Stretches of WAL, from and to so many bytes from where backups start.
  static std::vector<SqlRow> summaries_of(const std::vector<std::pair<int, int>>& stretches) {
    const auto text = [](int bytes) {
      return Lsn{FakeServer().begin.lsn.value + static_cast<std::uint64_t>(bytes)}.text();
    };
    std::vector<SqlRow> rows;
    for (const auto& stretch : stretches)
      rows.push_back({text(stretch.first), text(stretch.second)});
    return rows;
  }
  std::vector<SqlRow> summaries_ = summaries_of({{-0x10, 0x10}, {0x10, 0x1000}});
  std::uint8_t runs_ = 0;
};

TEST_F(ChangesTest, HoldsTheWholeOfWhatChangedHereAndThere) {
  const auto first = back_up();
  EXPECT_FALSE(server_.last_was_incremental);
  for (const auto block : {0u, 1u, 33u, 34u, 95u, 99u}) change("base/5/1259", block);
  change("base/5/3000", 40);
  const auto second = back_up();
  expect_whole(second);
  EXPECT_EQ(second.parent_id, first.id);
  EXPECT_THAT(server_.uploaded, HasSubstr("base/5/1259"));
  EXPECT_LT(second.stored_bytes, first.stored_bytes / 5);
  // The next goes on from that.
  change("base/5/1259", 50);
  expect_whole(back_up());
  EXPECT_EQ(server_.uploaded.find("INCREMENTAL"), std::string::npos);
}

TEST_F(ChangesTest, TakesOverUnreadWhatDidNotChange) {
  (void)back_up();
  const auto second = back_up();
  expect_whole(second);
  EXPECT_EQ(second.new_bytes, 0u);
}

TEST_F(ChangesTest, AFileGrowsShrinksAndIsTruncatedAndGrows) {
  (void)back_up();
  const auto bytes = random_bytes(300 * page, 5);
  auto& file = server_.files["base/5/1259"];
  file.insert(file.end(), bytes.begin(), bytes.begin() + 7 * page);
  expect_whole(back_up());
  // Over the end of the chunk, with blocks of zeros that are not sent.
  file.insert(file.end(), bytes.begin(), bytes.begin() + 60 * page);
  std::fill(file.begin() + 110 * page, file.begin() + 150 * page, std::uint8_t{0});
  expect_whole(back_up());
  file.resize(41 * page);
  expect_whole(back_up());
  // To nothing: such a file is sent as it is.
  file.clear();
  expect_whole(back_up());
  file = bytes;
  expect_whole(back_up());
}

TEST_F(ChangesTest, RandomChangesOverManyBackups) {
  std::mt19937 random(7);
  const auto any = [&](std::size_t below) { return random() % below; };
  for (int round = 0; round < 25; ++round) {
    auto& file = server_.files["base/5/1259"];
    server_.piece_bytes = 1 + any(20'000);
    switch (any(4)) {
      case 0: break;
      case 1: file.resize(any(130) * page); break;
      case 2: {
        const auto bytes = random_bytes(any(130) * page, random());
        file.insert(file.end(), bytes.begin(), bytes.end());
        if (file.size() > 400 * page) file.resize(400 * page);
        break;
      }
      default: {
        const auto kept = any(file.size() / page + 1);
        std::fill(file.begin() + static_cast<std::ptrdiff_t>(kept * page), file.end(),
                  std::uint8_t{0});
        break;
      }
    }
    for (auto changes = any(40); changes > 0 && !file.empty(); --changes) {
      change("base/5/1259", any(file.size() / page));
    }
    const auto backup = back_up();
    if (round > 0) expect_whole(backup);
  }
}

TEST_F(ChangesTest, SaysWhyTheServerSendsEverything) {
  (void)back_up();
  const auto expect_everything = [&](const std::string& why) {
    notes_.clear();
    const auto backup = back_up();
    EXPECT_FALSE(server_.last_was_incremental) << why;
    EXPECT_THAT(notes_, HasSubstr(why));
    expect_whole_backup(made_.repository, backup, server_);
  };
  server_.settings["summarize_wal"] = "off";
  expect_everything("summarize_wal is off");
  server_.settings["summarize_wal"] = "on";
  server_.settings["data_checksums"] = "off";
  expect_everything("checksums of pages were switched");
  server_.settings["data_checksums"] = "on";
  server_.refuses_manifest = "manifest system identifier does not match";
  expect_everything("manifest system identifier does not match");
  server_.refuses_manifest.clear();
  server_.refuses_changes = "WAL summaries are required";
  expect_everything("WAL summaries are required");
  server_.refuses_changes.clear();
  cut_ = []() -> std::vector<SqlRow> {
    throw Error(ErrorKind::unavailable, "no", "permission denied for function");
  };
  expect_everything("permission denied for function");
  cut_ = [] { return std::vector<SqlRow>(); };
  server_.has_damaged_pages = true;
  (void)back_up();
  EXPECT_TRUE(server_.last_was_incremental);
  server_.has_damaged_pages = false;
  expect_everything("it holds damaged pages");
  (void)back_up();
  EXPECT_TRUE(server_.last_was_incremental);
}

TEST_F(ChangesTest, IsNotAskedForFromAServerThatCannot) {
  const WalArchive of_15(made_.repository, test_cluster());
  server_.version = 150018;
  server_.settings.erase("summarize_wal");
  Reporter reporter;
  reporter.info = [](const std::string& text) { ADD_FAILURE() << text; };
  for (std::uint8_t run = 1; run <= 2; ++run) {
    made_.clock.advance(std::chrono::seconds(1));
    (void)take_base_backup(of_15, server_, id_of(run), made_.clock, {}, reporter);
    EXPECT_FALSE(server_.last_was_incremental);
  }
}

TEST_F(ChangesTest, WhenAllIsToBeReadAllIsSent) {
  (void)back_up();
  BaseBackupRequest request;
  request.reads_all_files = true;
  const auto backup = back_up(request);
  EXPECT_FALSE(server_.last_was_incremental);
  expect_whole_backup(made_.repository, backup, server_);
}

TEST_F(ChangesTest, WhatAPackIsKnownToHaveLostIsSent) {
  (void)back_up();
  TreeReader tree(made_.repository, root_keys(made_.storage).at(0));
  const auto pack = tree.root().packs.at(0).name;
  mark_damaged(made_.repository, pack, PackDamage::content, made_.clock.now());
  const auto backup = back_up();
  EXPECT_FALSE(server_.last_was_incremental);
  EXPECT_THAT(notes_, ::testing::AnyOf(HasSubstr("not all that it needs may be relied upon"),
                                       HasSubstr("it is damaged")));
  expect_whole_backup(made_.repository, backup, server_);
}

TEST_F(ChangesTest, DamageThatNobodyKnewOfIsToldApart) {
  (void)back_up();
  change("base/5/1259", 3);
  for (const auto& key : keys_under(made_.storage, "packs/")) {
    auto bytes = *made_.storage.find(key, whole_object);
    if (bytes.size() < 500'000) continue;
    for (std::size_t at = 1000; at < bytes.size() - 1000; at += 50'000) bytes[at] ^= 1;
    made_.storage.remove({key});
    ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
  }
  EXPECT_THROW((void)back_up(), UnusableParent);
  EXPECT_EQ(root_keys(made_.storage).size(), 1u);
  BaseBackupRequest request;
  request.reads_all_files = true;
  expect_whole_backup(made_.repository, back_up(request), server_);
}

TEST_F(ChangesTest, RefusesWhatIsNotWhatTheManifestLists) {
  (void)back_up();
  change("base/5/1259", 3);
  server_.tamper_tar = [](Bytes& tar) {
    // In the block that is sent.
    const auto text = as_text(tar);
    const auto at = text.find("INCREMENTAL.1259");
    ASSERT_NE(at, std::string_view::npos);
    tar.at(at + 512 + 8192 + 100) ^= 1;
  };
  EXPECT_EQ(error_of([&] { (void)back_up(); }), "corrupt");
}

// Cut to ten blocks, and grown again by more than WAL tells of.
TEST_F(ChangesTest, WhatWasCutShortIsSentWhole) {
  (void)back_up();
  cut_ = [] { return std::vector<SqlRow>{{"1663", "5", "1259"}}; };
  auto& file = server_.files["base/5/1259"];
  std::fill(file.begin() + 10 * page, file.end(), std::uint8_t{0});
  for (std::uint32_t block = 50; block < 100; ++block)
    server_.unlogged.insert({"base/5/1259", block});
  change("base/5/9000", 1);
  expect_whole(back_up());
  EXPECT_EQ(server_.uploaded.find("base/5/1259"), std::string::npos);
  EXPECT_THAT(server_.uploaded, HasSubstr("base/5/9000"));
}

TEST_F(ChangesTest, WhatIsCutShortWhileItBeginsMakesItBeginAgain) {
  (void)back_up();
  int asked = 0;
  cut_ = [&] {
    return ++asked == 1 ? std::vector<SqlRow>() : std::vector<SqlRow>{{"1663", "5", "1259"}};
  };
  EXPECT_THROW((void)back_up(), ChangesOutdated);
  EXPECT_EQ(root_keys(made_.storage).size(), 1u);
  expect_whole(back_up());
}

// Another server was asked, which does not know all of the WAL.
TEST_F(ChangesTest, SummariesWithAGapTellNothing) {
  (void)back_up();
  // The server is further when it begins again.
  server_.begin.lsn.value += 0x100;
  for (const auto& stretches : std::vector<std::vector<std::pair<int, int>>>{
           {}, {{-0x10, 0xff}}, {{1, 0x1000}}, {{-0x10, 0x20}, {0x21, 0x1000}}}) {
    summaries_ = summaries_of(stretches);
    EXPECT_THROW((void)back_up(), ChangesOutdated);
  }
  summaries_ = {{"x", "0/7000000"}};
  EXPECT_THROW((void)back_up(), ChangesOutdated);
  summaries_ = summaries_of({{0, 0x20}, {0x10, 0x100}});
  expect_whole(back_up());
}

TEST_F(ChangesTest, WhatCanNotBeAskedTheSecondTimeMakesItBeginAgain) {
  (void)back_up();
  int asked = 0;
  cut_ = [&]() -> std::vector<SqlRow> {
    if (++asked > 1) throw Error(ErrorKind::unavailable, "no", "the session is gone");
    return {};
  };
  EXPECT_THROW((void)back_up(), ChangesOutdated);
}

// A refusal ends the server's session with its slot.
TEST_F(ChangesTest, TheServerIsClaimedAgainBehindARefusal) {
  (void)back_up();
  int claims = 0;
  server_.before_claim = [&](const std::string&) {
    ++claims;
    return true;
  };
  (void)back_up();
  EXPECT_EQ(claims, 1);
  server_.refuses_changes = "WAL summaries are required";
  (void)back_up();
  EXPECT_EQ(claims, 3);
  server_.refuses_changes.clear();
  server_.refuses_manifest = "no";
  (void)back_up();
  EXPECT_EQ(claims, 5);
}

TEST_F(ChangesTest, VisibilityMapsAreSentWhole) {
  server_.files["base/5/1259_vm"] = random_bytes(page, 1);
  (void)back_up();
  change("base/5/1259_vm", 0);
  server_.unlogged.insert({"base/5/1259_vm", 0});
  expect_whole(back_up());
  EXPECT_EQ(server_.uploaded.find("_vm"), std::string::npos);
}

// The list of the files alone: its pack is known to nobody as damaged.
TEST_F(ChangesTest, ADamagedListOfFilesHasEverythingSent) {
  (void)back_up();
  TreeReader tree(made_.repository, root_keys(made_.storage).at(0));
  const auto key = tree.root().packs.at(tree.root().stream("files").chunks.at(0).pack).name.key();
  auto bytes = *made_.storage.find(key, whole_object);
  for (std::size_t at = 100; at + 100 < bytes.size(); at += 50) bytes[at] ^= 1;
  made_.storage.remove({key});
  ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
  const auto backup = back_up();
  EXPECT_FALSE(server_.last_was_incremental);
  EXPECT_THAT(notes_, HasSubstr("it is damaged"));
  expect_whole_backup(made_.repository, backup, server_);
}

TEST_F(ChangesTest, AFileOfAUserMayHaveAnyName) {
  server_.files["base/INCREMENTAL.txt"] = bytes_of("mine");
  server_.files["INCREMENTAL.7"] = bytes_of("mine too");
  (void)back_up();
  expect_whole(back_up());
}

TEST_F(ChangesTest, RefusesChangesOfAFileThatTheParentDoesNotHave) {
  (void)back_up();
  server_.tamper_tar = [](Bytes& tar) {
    const std::string_view name = "base/5/INCREMENTAL.9000";
    const auto at = as_text(tar).find(name);
    ASSERT_NE(at, std::string_view::npos);
    // Another digit, and the header's checksum, which is a sum.
    tar.at(at + name.size() - 1) += 1;
    tar.at(at + 148 + 5) += 1;
  };
  EXPECT_THROW((void)back_up(), UnusableParent);
}

}  // namespace
}  // namespace walvault
