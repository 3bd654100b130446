#include "repository/gc.h"

#include <gtest/gtest.h>

#include "repository/pin.h"
#include "repository/root_copy.h"
#include "repository/writer_session.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

using std::chrono::hours;
using Keys = std::vector<std::string>;

std::string root_key_of(const std::string& id) { return "backups/main/" + id + "/1"; }

class GcTest : public testing::Test {
 protected:
  // A backup of one file, borrowing from another.
  void back_up(std::uint8_t writer, const std::string& id, const Bytes& content,
               const std::string& source = "") {
    const WriterSession session(made_.repository, made_.clock, id_of(writer), root_key_of(id),
                                source.empty() ? "" : root_key_of(source));
    TreeWriter tree(session, {});
    write_tree_file(tree, "base/1", content);
    session.commit(encode_root(ObjectCodec(), tree.finish(), root_key_of(id)));
  }
  void remove_backup(const std::string& id) {
    ASSERT_TRUE(
        made_.repository.put_sealed(ObjectKind::deleted, deletion_key(root_key_of(id)), {}));
    made_.storage.remove({root_key_of(id)});
  }
  GcReport collect(const std::function<void()>& while_waiting = [] {}) {
    return collect_garbage(repository_, made_.clock, id_of(++runs_), options_,
                           {.info = [&](const std::string&) { while_waiting(); }});
  }
  [[nodiscard]] Bytes content_of(const std::string& id) {
    TreeReader tree(made_.repository, root_key_of(id));
    Bytes content;
    tree.for_each_entry([&](FileEntry& entry) { content = read_tree_file(tree, entry); });
    return content;
  }
  [[nodiscard]] Keys packs() { return keys_under(made_.storage, "packs/"); }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  GcOptions options_;
  std::uint8_t runs_ = 100;
  int looks_ = 0;  // at the pins
  const Bytes first_ = random_bytes(200'000, 1);
  const Bytes second_ = random_bytes(200'000, 2);
};

TEST_F(GcTest, DeletesWhatNoBackupRefersTo) {
  back_up(1, "a", first_);
  back_up(2, "b", second_);
  const auto all = packs();
  EXPECT_EQ(collect().dead_packs, 0u);
  remove_backup("a");
  const auto found = find_garbage(made_.repository);
  EXPECT_EQ(packs(), all) << "a dry run deletes nothing";
  const auto began = made_.clock.now();
  const auto report = collect();
  EXPECT_GE(made_.clock.now() - began, options_.grace);
  EXPECT_EQ(report.dead_packs, 2u);  // data and metadata
  EXPECT_EQ(found.dead_packs, 2u);
  EXPECT_EQ(report.deleted_packs, 2u);
  EXPECT_EQ(report.packs, all.size());
  EXPECT_EQ(found.dead_bytes, report.deleted_bytes);
  EXPECT_GT(report.deleted_bytes, first_.size());
  EXPECT_EQ(packs().size(), all.size() - 2);
  EXPECT_TRUE(content_of("b") == second_);
  EXPECT_TRUE(keys_under(made_.storage, "plans/").empty());
  EXPECT_TRUE(keys_under(made_.storage, "pins/").empty()) << "both have committed";
  EXPECT_EQ(collect().dead_packs, 0u);
}

TEST_F(GcTest, WhatIsBorrowedStays) {
  back_up(1, "a", first_);
  back_up(2, "b", first_, "a");
  remove_backup("a");
  (void)collect();
  EXPECT_TRUE(content_of("b") == first_);
}

TEST_F(GcTest, ARunningWriterKeepsItsPacksAndWhatItMayBorrow) {
  back_up(1, "a", first_);
  const WriterSession session(made_.repository, made_.clock, id_of(2), root_key_of("b"),
                              root_key_of("a"));
  TreeWriter tree(session, {});
  write_tree_file(tree, "base/1", first_);
  write_tree_file(tree, "base/2", second_);
  const auto root = encode_root(ObjectCodec(), tree.finish(), root_key_of("b"));
  remove_backup("a");
  const auto report = collect();
  EXPECT_EQ(report.dead_packs, 0u);
  EXPECT_EQ(report.running, Keys{root_key_of("b")});
  session.commit(root);
  EXPECT_EQ(collect().deleted_packs, 1u);  // the metadata of the first
  TreeReader reader(made_.repository, root_key_of("b"));
  EXPECT_EQ(read_tree(reader).at("base/1"), first_);
  EXPECT_EQ(read_tree(reader).at("base/2"), second_);
}

TEST_F(GcTest, AWriterThatBeganTooLongAgoCanNotCommitAnyMore) {
  const WriterSession session(made_.repository, made_.clock, id_of(2), root_key_of("b"), "");
  TreeWriter tree(session, {});
  write_tree_file(tree, "base/1", first_);
  const auto root = encode_root(ObjectCodec(), tree.finish(), root_key_of("b"));
  made_.clock.advance(options_.give_up_after - hours(1));
  EXPECT_EQ(collect().dead_packs, 0u);
  made_.clock.advance(hours(2));
  const auto report = collect();
  EXPECT_EQ(report.given_up, Keys{root_key_of("b")});
  EXPECT_EQ(report.deleted_packs, 2u);
  EXPECT_TRUE(packs().empty());
  EXPECT_TRUE(keys_under(made_.storage, "pins/").empty());
  EXPECT_EQ(error_of([&] { session.commit(root); }), "unavailable");
  EXPECT_EQ(collect().dead_packs, 0u) << "a tombstone is no damaged root";
}

// It is committed between the two looks.
TEST_F(GcTest, WhatWasCondemnedButIsNeededStaysAndIsCondemnedNoLonger) {
  back_up(1, "a", first_);
  // A writer that saw no plan, and whose pin the gc did not see.
  std::unique_ptr<WriterSession> late;
  std::string source = "a";
  hooked_.after = [&](std::string_view operation, std::string_view key) {
    if (operation != "list" || key != "pins/" || source.empty() || ++looks_ != 2) return;
    late = std::make_unique<WriterSession>(made_.repository, made_.clock, id_of(2),
                                           root_key_of("b"), root_key_of(source));
    source.clear();
    remove_backup("a");
  };
  const auto report = collect([&] {
    ASSERT_TRUE(late);
    TreeWriter tree(*late, {});
    FileEntry directory;  // so that its list of files is another
    directory.kind = EntryKind::directory;
    directory.path = "base";
    tree.add(directory);
    write_tree_file(tree, "base/1", first_);
    EXPECT_EQ(tree.totals().new_bytes, 0u);
    late->commit(encode_root(ObjectCodec(), tree.finish(), root_key_of("b")));
  });
  EXPECT_EQ(report.dead_packs, 2u);
  EXPECT_EQ(report.deleted_packs, 1u);
  EXPECT_TRUE(content_of("b") == first_);
  EXPECT_TRUE(keys_under(made_.storage, "plans/").empty());
  back_up(3, "c", first_, "b");
  remove_backup("b");
  (void)collect();
  EXPECT_TRUE(content_of("c") == first_);
}

TEST_F(GcTest, WhatItCanNotReadStopsIt) {
  back_up(1, "a", first_);
  back_up(2, "b", second_);
  remove_backup("a");
  const auto before = packs();
  const auto root = made_.storage.find(root_key_of("b"), whole_object).value();
  auto damaged = root;
  damaged[damaged.size() / 2] ^= 1;
  made_.storage.overwrite(root_key_of("b"), damaged);
  EXPECT_EQ(error_of([&] { (void)collect(); }), "corrupt");
  EXPECT_NE(words_of_error([&] { (void)collect(); }).find(root_key_of("b")), std::string::npos);
  made_.storage.overwrite(root_key_of("b"), root);
  ASSERT_TRUE(made_.storage.put_if_absent("pins/" + to_hex(id_of(9)) + "/1", Bytes(100)));
  EXPECT_EQ(error_of([&] { (void)collect(); }), "corrupt");
  EXPECT_EQ(packs(), before);
}

TEST_F(GcTest, ACrashLeavesAPlanThatOnlyARunWhichIsAloneRemoves) {
  back_up(1, "a", first_);
  remove_backup("a");
  hooked_.before = [](std::string_view operation, std::string_view key) {
    if (operation == "remove" && key.starts_with("packs/")) throw std::runtime_error("killed");
  };
  EXPECT_THROW((void)collect(), std::runtime_error);
  hooked_.before = [](std::string_view, std::string_view) {};
  EXPECT_EQ(keys_under(made_.storage, "plans/").size(), 1u);
  EXPECT_EQ(collect().deleted_packs, 2u);
  EXPECT_EQ(keys_under(made_.storage, "plans/").size(), 1u) << "that of the killed run";
  options_.alone = true;
  (void)collect();
  EXPECT_TRUE(keys_under(made_.storage, "plans/").empty());
}

TEST_F(GcTest, LeavesARepositoryToANewerVersionThatAsksForIt) {
  auto payload = made_.repository.find_sealed(ObjectKind::format, "format/1").value();
  payload[payload.size() - 8] = 1;  // the first feature that gc must know
  made_.storage.overwrite("format/1", ObjectCodec().seal(ObjectKind::format, "format/1", payload));
  repository_ = Repository::open(hooked_);
  EXPECT_EQ(error_of([&] { (void)collect(); }), "conflict");
  EXPECT_EQ(error_of([&] { (void)find_garbage(repository_); }), "conflict");
}

TEST_F(GcTest, LeavesWhatIsNoPackAlone) {
  ASSERT_TRUE(made_.storage.put_if_absent("packs/readme", Bytes(3)));
  ASSERT_TRUE(made_.storage.put_if_absent("packs/" + to_hex(id_of(1)) + "/none", Bytes(3)));
  EXPECT_EQ(collect().packs, 0u);
  EXPECT_EQ(packs().size(), 2u);
}

// Its pin stands, as where a writer may not remove anything.
TEST_F(GcTest, GivesUpNoWriterWhoseRootIsLostButForItsCopy) {
  back_up(1, "a", first_);
  const auto key = root_key_of("a");
  ASSERT_TRUE(made_.repository.put_sealed(
      ObjectKind::pin, pin_key(WriterId(id_of(1)), 1),
      encode_pin({.root_key = key, .created = made_.clock.now(), .may_borrow = {}})));
  made_.storage.remove({key});
  made_.clock.advance(hours(1000));
  const auto all = packs();
  (void)collect();
  EXPECT_FALSE(made_.storage.find_size(key)) << "nothing closes its place";
  EXPECT_EQ(packs(), all);
  ASSERT_TRUE(made_.storage.put_if_absent(key, find_root_copy(made_.repository, key).value()));
  EXPECT_TRUE(content_of("a") == first_);
}

}  // namespace
}  // namespace walvault
