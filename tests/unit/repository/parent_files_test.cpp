// What a writer looks at beside the parent's file of the same path: what killed runs
// left, and files of the same name elsewhere.
#include "repository/parent_files.h"

#include <gtest/gtest.h>

#include "repository/gc.h"
#include "repository/pin.h"
#include "repository/unfinished.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

constexpr std::uint64_t kib = 1024;
using Keys = std::vector<std::string>;

std::string root_key_of(int number) { return "backups/main/" + std::to_string(number) + "/1"; }

class ParentFilesTest : public testing::Test {
 protected:
  // Records what is stored after every pack, which hold two chunks.
  static TreeWriter::Options small_steps() {
    TreeWriter::Options options;
    options.data_pack.frames_max = 2;
    options.unfinished_bytes_min = 1;
    return options;
  }

  [[nodiscard]] WriterSession begin(int number, int parent = 0, const Keys& unfinished = {}) {
    made_.clock.advance(std::chrono::seconds(1));
    return {repository_,
            made_.clock,
            id_of(static_cast<std::uint8_t>(number)),
            root_key_of(number),
            parent == 0 ? "" : root_key_of(parent),
            unfinished};
  }
  [[nodiscard]] Keys unfinished() const {
    return find_unfinished(repository_, "backups/main/", "", 2);
  }

  static void write(TreeWriter& tree, const Files& files) {
    for (const auto& [path, content] : files) write_tree_file(tree, path, content);
  }
  TreeWriter::Totals back_up(const Files& files, int number, int parent = 0,
                             const Keys& unfinished = {}) {
    const auto session = begin(number, parent, unfinished);
    TreeWriter tree(session, {});
    write(tree, files);
    session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(number)));
    return tree.totals();
  }
  // One that stores these files and is gone before it has committed.
  void die_with(const Files& files, int number, const Keys& unfinished = {}) {
    const auto session = begin(number, 0, unfinished);
    TreeWriter tree(session, small_steps());
    write(tree, files);
    (void)tree.finish();
  }
  [[nodiscard]] Files read_back(int number) {
    TreeReader tree(made_.repository, root_key_of(number));
    return read_tree(tree);
  }
  void collect(std::uint8_t run, std::chrono::milliseconds give_up_after = std::chrono::hours(48)) {
    (void)collect_garbage(made_.repository, made_.clock, id_of(run),
                          {.give_up_after = give_up_after});
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  const Files files_ = {{"base/1", random_bytes(900 * kib, 1)},
                        {"base/2", random_bytes(700 * kib, 2)},
                        {"base/3", random_bytes(20 * kib, 3)},
                        {"base/4", random_bytes(600 * kib, 4)}};
};

TEST_F(ParentFilesTest, WhatAKilledRunHasStoredIsNotStoredAgain) {
  die_with(files_, 1);
  ASSERT_EQ(unfinished().size(), 1u);
  auto files = files_;
  files["base/5"] = random_bytes(300 * kib, 5);
  const auto totals = back_up(files, 2, 0, unfinished());
  // The last file of the first run had not ended when it was recorded last.
  EXPECT_LT(totals.new_bytes, 1000 * kib);
  EXPECT_GE(totals.new_bytes, 300 * kib);
  EXPECT_TRUE(read_back(2) == files);
  collect(101, std::chrono::milliseconds{0});
  EXPECT_TRUE(read_back(2) == files) << "what is borrowed stays";
  EXPECT_TRUE(keys_under(made_.storage, "unfinished/").empty());
}

TEST_F(ParentFilesTest, TheParentServesBesideWhatAKilledRunLeft) {
  (void)back_up({{"base/1", files_.at("base/1")}}, 1);
  die_with({{"base/2", files_.at("base/2")}, {"base/9", random_bytes(600 * kib, 9)}}, 2);
  const Files both = {{"base/1", files_.at("base/1")}, {"base/2", files_.at("base/2")}};
  EXPECT_EQ(back_up(both, 3, 1, unfinished()).new_bytes, 0u);
  EXPECT_TRUE(read_back(3) == both);
}

TEST_F(ParentFilesTest, RecordsWithoutChangingWhatIsStored) {
  const auto session = begin(1);
  TreeWriter tree(session, small_steps());
  write(tree, files_);
  session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(1)));
  EXPECT_FALSE(keys_under(made_.storage, "unfinished/").empty());
  EXPECT_TRUE(read_back(1) == files_);
  EXPECT_TRUE(unfinished().empty()) << "it has come to its end";
}

TEST_F(ParentFilesTest, FindsTheNewestOfTheClusterThatDidNotCommit) {
  EXPECT_TRUE(unfinished().empty());
  for (int i = 1; i <= 3; ++i) {
    die_with({{"base/" + std::to_string(i), random_bytes(600 * kib, 10)}}, i);
  }
  (void)back_up(files_, 4);
  const auto found = unfinished();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].starts_with("unfinished/" + to_hex(id_of(3)) + "/")) << found[0];
  EXPECT_TRUE(found[1].starts_with("unfinished/" + to_hex(id_of(2)) + "/")) << found[1];
  EXPECT_TRUE(find_unfinished(made_.repository, "backups/other/", "", 2).empty());
  // Given up: it did not commit either.
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::tombstone, root_key_of(3), {}));
  EXPECT_EQ(unfinished(), found);
  // The parent is newer.
  EXPECT_EQ(find_unfinished(made_.repository, "backups/main/", root_key_of(2), 2), Keys{found[0]});
  EXPECT_TRUE(find_unfinished(made_.repository, "backups/main/", root_key_of(3), 2).empty());
}

TEST_F(ParentFilesTest, ADeletedBackupIsNotUnfinished) {
  const auto session = begin(1);
  TreeWriter tree(session, small_steps());
  write(tree, files_);
  session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(1)));
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::deleted, deletion_key(root_key_of(1)), {}));
  made_.storage.remove({root_key_of(1)});
  EXPECT_FALSE(keys_under(made_.storage, "unfinished/").empty());
  EXPECT_TRUE(unfinished().empty());
}

TEST_F(ParentFilesTest, TheRecordWithTheHighestNumberCounts) {
  Files many;
  for (int i = 0; i < 12; ++i) {
    many["base/" + std::to_string(i)] = random_bytes(2048 * kib, static_cast<std::uint64_t>(i));
  }
  die_with(many, 1);
  const auto all = keys_under(made_.storage, "unfinished/");
  ASSERT_GT(all.size(), 9u) << "so that 10 comes behind 9";
  ASSERT_EQ(unfinished().size(), 1u);
  EXPECT_EQ(unfinished().front(),
            "unfinished/" + to_hex(id_of(1)) + "/" + std::to_string(all.size()));
}

TEST_F(ParentFilesTest, ADamagedRecordCostsSpaceOnly) {
  die_with(files_, 1);
  const auto key = unfinished().at(0);
  auto bytes = *made_.storage.find(key, whole_object);
  bytes.back() ^= 1;
  made_.storage.remove({key});
  ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
  EXPECT_EQ(back_up(files_, 2, 0, {key}).new_bytes, 2220 * kib);
  bytes[40] ^= 1;
  made_.storage.remove({key});
  ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
  EXPECT_TRUE(unfinished().empty());
}

TEST_F(ParentFilesTest, PacksOfAKilledRunThatAreGoneCostSpaceOnly) {
  die_with(files_, 1);
  const auto found = unfinished();
  auto packs = keys_under(made_.storage, "packs/");
  ASSERT_GT(packs.size(), 4u);
  packs.resize(packs.size() / 2);
  made_.storage.remove(packs);
  (void)back_up({{"base/7", random_bytes(300 * kib, 7)}}, 4);
  const auto session = begin(2, 4, found);
  EXPECT_EQ(session.damaged_packs_of_parent(), 0u) << "nobody's backup is damaged";
  TreeWriter tree(session, {});
  write(tree, files_);
  session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(2)));
  EXPECT_EQ(tree.parent_damage(), "");
  EXPECT_TRUE(read_back(2) == files_);
}

// Every byte of a record, and a disk that does not answer.
TEST_F(ParentFilesTest, NoRecordStopsABackup) {
  die_with(files_, 1);
  const auto key = unfinished().at(0);
  const auto original = *made_.storage.find(key, whole_object);
  for (std::size_t at = 0; at < original.size(); at += at < 200 ? 1 : 17) {
    auto bytes = original;
    bytes[at] ^= 0x81;
    made_.storage.remove({key});
    ASSERT_TRUE(made_.storage.put_if_absent(key, bytes));
    (void)unfinished();
    const WriterSession session(repository_, made_.clock,
                                id_of(static_cast<std::uint8_t>(10 + at % 200)), root_key_of(2), "",
                                {key});
    EXPECT_TRUE(session.unfinished().empty()) << at;
  }
  made_.storage.remove({key});
  ASSERT_TRUE(made_.storage.put_if_absent(key, original));
  hooked_.before = [&](std::string_view operation, std::string_view name) {
    if (operation == "find" && name.starts_with("unfinished/")) {
      throw Error(ErrorKind::unavailable, "it does not answer");
    }
  };
  EXPECT_TRUE(unfinished().empty());
  EXPECT_TRUE(begin(3, 0, {key}).unfinished().empty());
  // Nor its packs.
  hooked_.before = [&](std::string_view operation, std::string_view name) {
    if (operation == "find" && name.starts_with("packs/" + to_hex(id_of(1)))) {
      throw Error(ErrorKind::unavailable, "it does not answer");
    }
  };
  EXPECT_EQ(back_up(files_, 4, 0, {key}).new_bytes, 2220 * kib);
}

TEST_F(ParentFilesTest, WhereAKilledRunCannotLendTheParentDoes) {
  (void)back_up(files_, 1);
  const auto before = keys_under(made_.storage, "packs/");
  auto changed = files_;
  for (auto& [path, content] : changed) content[content.size() / 2] ^= 1;
  die_with(changed, 2);
  auto gone = keys_under(made_.storage, "packs/");
  std::erase_if(
      gone, [&](const std::string& key) { return std::ranges::find(before, key) != before.end(); });
  made_.storage.remove(gone);
  EXPECT_EQ(back_up(files_, 3, 1, unfinished()).new_bytes, 0u);
}

TEST_F(ParentFilesTest, WhatAKilledRunLeftIsPinnedBeforeThePlansAreRead) {
  die_with(files_, 1);
  const auto key = unfinished().at(0);
  Keys calls;
  hooked_.before = [&](std::string_view operation, std::string_view name) {
    calls.push_back(std::string(operation) + " " + std::string(name));
  };
  const auto session = begin(2, 0, {key});
  EXPECT_EQ(calls,
            (Keys{"find " + key, "put pins/" + to_hex(id_of(2)) + "/1", "list_names plans/",
                  "find_size " + key, "list damaged/", "list packs/" + to_hex(id_of(1)) + "/"}));
  const auto pin =
      decode_pin(*made_.repository.find_sealed(ObjectKind::pin, "pins/" + to_hex(id_of(2)) + "/1"));
  EXPECT_EQ(pin.may_borrow.entries().size(), session.lenders().entries().size());
  EXPECT_GT(session.lenders().entries().size(), 4u);
}

TEST_F(ParentFilesTest, WhatIsGoneOnceItIsPinnedLendsNothing) {
  die_with(files_, 1);
  const auto key = unfinished().at(0);
  hooked_.after = [&](std::string_view operation, std::string_view) {
    if (operation == "put") made_.storage.remove({key});
  };
  const auto session = begin(2, 0, {key});
  EXPECT_TRUE(session.unfinished().empty());
}

TEST_F(ParentFilesTest, GcKeepsTheRecordsOfLiveWriters) {
  die_with(files_, 1);
  const auto all = keys_under(made_.storage, "unfinished/");
  collect(101);
  EXPECT_EQ(keys_under(made_.storage, "unfinished/"), all);
  EXPECT_LT(back_up(files_, 2, 0, unfinished()).new_bytes, 700 * kib);
  made_.clock.advance(std::chrono::hours(49));
  collect(102);
  EXPECT_TRUE(keys_under(made_.storage, "unfinished/").empty());
  EXPECT_TRUE(read_back(2) == files_);
}

// CREATE DATABASE: the files of the template under their own names, each page with a
// log position of its own.
TEST_F(ParentFilesTest, AFileOfTheSameNameElsewhereServes) {
  const auto original = random_bytes(900 * kib, 1);
  (void)back_up({{"base/5/16384", original}, {"base/5/1", random_bytes(900 * kib, 2)}}, 1);
  auto copy = original;
  for (std::size_t page = 0; page < copy.size(); page += 8192) copy[page] ^= 1;
  const Files files = {{"base/5/16384", original},
                       {"base/9/16384", copy},
                       {"base/9/1.1", random_bytes(900 * kib, 2)}};
  const auto totals = back_up(files, 2, 1);
  EXPECT_LT(totals.stored_bytes, 920 * kib) << "the one with a name of its own, and little more";
  EXPECT_GT(totals.stored_bytes, 900 * kib);
  EXPECT_TRUE(read_back(2) == files);
}

TEST_F(ParentFilesTest, OfSeveralFilesOfANameTheNearestInSizeServes) {
  (void)back_up({{"base/0/7", {}},
                 {"base/1/7", random_bytes(300 * kib, 1)},
                 {"base/2/7", random_bytes(600 * kib, 2)},
                 {"base/3/7", random_bytes(900 * kib, 3)}},
                1);
  const auto session = begin(2, 1);
  ParentFiles files(session);
  const auto path_for = [&](std::uint64_t size) {
    const auto file = files.find("base/9/7", size);
    return file ? file->entry().path : "none";
  };
  EXPECT_EQ(path_for(1), "base/1/7");
  EXPECT_EQ(path_for(300 * kib), "base/1/7");
  EXPECT_EQ(path_for(460 * kib), "base/2/7");
  EXPECT_EQ(path_for(700 * kib), "base/2/7");
  EXPECT_EQ(path_for(800 * kib), "base/3/7");
  EXPECT_EQ(path_for(5000 * kib), "base/3/7");
  EXPECT_FALSE(files.find("base/9/8", 300 * kib));
  EXPECT_FALSE(files.find_in_parent("base/9/7")) << "known to be unchanged is another thing";
}

TEST_F(ParentFilesTest, AnUnreadFileIsTheParentsOwn) {
  (void)back_up({{"base/1", random_bytes(300 * kib, 1)}}, 1);
  die_with({{"base/1", random_bytes(300 * kib, 2)}, {"base/2", random_bytes(600 * kib, 3)}}, 2);
  const auto session = begin(3, 1, unfinished());
  ASSERT_EQ(session.unfinished().size(), 1u);
  TreeWriter tree(session, {});
  FileEntry entry;
  entry.path = "base/1";
  entry.size = 300 * kib;
  EXPECT_TRUE(tree.reuse_file(entry));
  entry.path = "base/2";
  entry.size = 600 * kib;
  EXPECT_FALSE(tree.reuse_file(entry));
  session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(3)));
  EXPECT_TRUE(read_back(3).at("base/1") == random_bytes(300 * kib, 1));
}

}  // namespace
}  // namespace walvault
