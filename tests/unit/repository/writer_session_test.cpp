#include "repository/writer_session.h"
#include "repository/gc_plan.h"
#include "repository/pin.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

const std::string source_key = "backups/main/source/1";
const std::string root_key = "backups/main/new/1";

class WriterSessionTest : public testing::Test {
 protected:
  // A committed root with one file, to borrow from.
  void commit_source() {
    const WriterSession session(made_.repository, made_.clock, id_of(1), source_key, "");
    TreeWriter tree(session, {});
    write_tree_file(tree, "base/1", content_);
    session.commit(encode_root(ObjectCodec(), tree.finish(), source_key));
  }

  // The bytes that a run with this session stores of the same file.
  [[nodiscard]] std::uint64_t new_bytes(const WriterSession& session) const {
    TreeWriter tree(session, {});
    write_tree_file(tree, "base/1", content_);
    (void)tree.finish();
    return tree.totals().new_bytes;
  }

  MemoryRepository made_;
  HookedStorage hooked_{made_.storage};
  Repository repository_ = Repository::open(hooked_);
  const Bytes content_ = random_bytes(600'000, 1);
};

TEST_F(WriterSessionTest, PinsBeforeItLooksAtPlansAndAtTheSourceAgain) {
  commit_source();
  std::vector<std::string> calls;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    calls.push_back(std::string(operation) + " " + std::string(key));
  };
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  ASSERT_NE(session.parent(), nullptr);
  EXPECT_EQ(calls,
            (std::vector<std::string>{"find " + source_key, "put pins/" + to_hex(id_of(2)) + "/1",
                                      "list_names plans/", "find_size " + source_key,
                                      "list damaged/", "list packs/" + to_hex(id_of(1)) + "/"}));
}

// Its pin would hold WAL and space for two days.
TEST_F(WriterSessionTest, GivesItsPlaceUpWhereItCannotBegin) {
  commit_source();
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "list_names" && key == "plans/") {
      throw Error(ErrorKind::unavailable, "the store is gone");
    }
  };
  EXPECT_EQ(error_of([&] {
              const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
            }),
            "unavailable");
  const auto pins = list_pins(made_.repository);
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_FALSE(is_live(made_.repository, pins[0].pin));
}

TEST_F(WriterSessionTest, StoresNothingBeforeItsPin) {
  std::vector<std::string> puts;
  hooked_.before = [&](std::string_view operation, std::string_view key) {
    if (operation == "put") puts.emplace_back(key);
  };
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, "");
  EXPECT_EQ(new_bytes(session), content_.size());
  session.commit(as_bytes("root"));
  ASSERT_EQ(puts.size(), 5u);  // pin, data, maps and file table, root, its copy
  EXPECT_TRUE(puts[0].starts_with("pins/" + to_hex(id_of(2)) + "/"));
  EXPECT_TRUE(puts[1].starts_with("packs/" + to_hex(id_of(2)) + "/"));
  EXPECT_TRUE(puts[2].starts_with("packs/" + to_hex(id_of(2)) + "/"));
  EXPECT_EQ(puts[3], root_key);
  EXPECT_TRUE(puts[4].starts_with("root-copies/"));
}

TEST_F(WriterSessionTest, DoesNotGoOnWithoutItsPin) {
  hooked_.before = [&](std::string_view operation, std::string_view) {
    if (operation == "put") throw Error(ErrorKind::unavailable, "no");
  };
  EXPECT_EQ(error_of([&] {
              const WriterSession session(repository_, made_.clock, id_of(2), root_key, "");
            }),
            "unavailable");
}

TEST_F(WriterSessionTest, PinsTheSourcesPacksAndTheRootThatItWillCommit) {
  commit_source();
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  const auto payload =
      made_.repository.find_sealed(ObjectKind::pin, "pins/" + to_hex(id_of(2)) + "/1");
  ASSERT_TRUE(payload);
  const auto pin = decode_pin(*payload);
  EXPECT_EQ(pin.root_key, root_key);
  EXPECT_EQ(pin.created, made_.clock.now());
  const auto source =
      decode_root(ObjectCodec(), *made_.storage.find(source_key, whole_object), source_key);
  ASSERT_EQ(pin.may_borrow.entries().size(), source.packs.entries().size());
  for (const auto& entry : source.packs.entries()) EXPECT_TRUE(pin.may_borrow.find(entry.name));
}

TEST_F(WriterSessionTest, BorrowsFromItsSource) {
  commit_source();
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  EXPECT_EQ(new_bytes(session), 0u);
}

TEST_F(WriterSessionTest, DoesNotBorrowWhatAnyPlanCondemns) {
  commit_source();
  const auto source =
      decode_root(ObjectCodec(), *made_.storage.find(source_key, whole_object), source_key);
  GcPlan plan{.created = made_.clock.now(), .condemned = {}};
  for (const auto& entry : source.packs.entries()) plan.condemned.add(entry.name, entry.size);
  GcPlan other{.created = made_.clock.now(), .condemned = {}};
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::plan, "plans/a", encode_gc_plan(plan)));
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::plan, "plans/b", encode_gc_plan(other)));

  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  for (const auto& entry : source.packs.entries()) EXPECT_FALSE(session.may_borrow(entry.name));
  EXPECT_EQ(new_bytes(session), content_.size());
}

TEST_F(WriterSessionTest, HeedsAPlanThatAppearsTogetherWithItsPin) {
  commit_source();
  const auto source =
      decode_root(ObjectCodec(), *made_.storage.find(source_key, whole_object), source_key);
  GcPlan plan{.created = made_.clock.now(), .condemned = {}};
  plan.condemned.add(source.packs.at(0).name, source.packs.at(0).size);
  hooked_.after = [&](std::string_view operation, std::string_view) {
    if (operation != "put") return;
    (void)made_.repository.put_sealed(ObjectKind::plan, "plans/late", encode_gc_plan(plan));
  };
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  EXPECT_FALSE(session.may_borrow(source.packs.at(0).name));
  EXPECT_TRUE(session.may_borrow(source.packs.at(1).name));
}

TEST_F(WriterSessionTest, BorrowsNothingFromASourceDeletedAfterThePin) {
  commit_source();
  hooked_.after = [&](std::string_view operation, std::string_view) {
    if (operation == "put") made_.storage.remove({source_key});
  };
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  EXPECT_EQ(session.parent(), nullptr);
  hooked_.after = [](std::string_view, std::string_view) {};
  EXPECT_EQ(new_bytes(session), content_.size());
}

TEST_F(WriterSessionTest, BorrowsNothingFromASourceThatIsNotThere) {
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  EXPECT_EQ(session.parent(), nullptr);
}

TEST_F(WriterSessionTest, TakesItsOwnRootForSuccessWhenTheAnswerWasLost) {
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, "");
  session.commit(as_bytes("the root"));
  EXPECT_EQ(error_of([&] { session.commit(as_bytes("the root")); }), "nothing");
  EXPECT_EQ(error_of([&] { session.commit(as_bytes("the roof")); }), "unavailable");
  EXPECT_EQ(error_of([&] { session.commit(as_bytes("the root and more")); }), "unavailable");
  EXPECT_EQ(made_.storage.find(root_key, whole_object), bytes_of("the root"));
}

TEST_F(WriterSessionTest, CannotCommitOverATombstone) {
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, "");
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::tombstone, root_key, {}));
  EXPECT_EQ(error_of([&] { session.commit(as_bytes("the root")); }), "unavailable");
  EXPECT_TRUE(is_of_kind(*made_.storage.find(root_key, whole_object), ObjectKind::tombstone));
}

TEST_F(WriterSessionTest, RemovesNothingButItsPinBehindTheCommit) {
  commit_source();
  hooked_.before = [this](std::string_view operation, std::string_view key) {
    if (operation != "remove") return;
    EXPECT_EQ(key, pin_key(id_of(2), 1));
    EXPECT_TRUE(made_.storage.find_size(root_key));
    throw Error(ErrorKind::unavailable, "that is forbidden");
  };
  const WriterSession session(repository_, made_.clock, id_of(2), root_key, source_key);
  (void)new_bytes(session);
  session.commit(as_bytes("root"));
}

TEST(GcPlan, IsReadAsItWasWritten) {
  GcPlan plan{.created = Timestamp(std::chrono::seconds(5)), .condemned = {}};
  plan.condemned.add({.writer = id_of(1), .digest = sha256(as_bytes("x"))}, 77);
  const auto read = decode_gc_plan(encode_gc_plan(plan));
  EXPECT_EQ(read.created, plan.created);
  EXPECT_EQ(read.condemned.entries().size(), 1u);
  EXPECT_TRUE(read.condemned.find(plan.condemned.at(0).name));
}

TEST(PinAndPlan, RefuseTruncation) {
  Pin pin{.root_key = root_key, .created = {}, .may_borrow = {}};
  pin.may_borrow.add({.writer = id_of(1), .digest = {}}, 1);
  const auto pin_bytes = encode_pin(pin);
  for (std::size_t i = 0; i < pin_bytes.size(); ++i) {
    EXPECT_EQ(error_of([&] { (void)decode_pin(ByteView(pin_bytes).first(i)); }), "corrupt") << i;
  }
  const auto plan_bytes = encode_gc_plan({.created = {}, .condemned = pin.may_borrow});
  for (std::size_t i = 0; i < plan_bytes.size(); ++i) {
    EXPECT_EQ(error_of([&] { (void)decode_gc_plan(ByteView(plan_bytes).first(i)); }), "corrupt");
  }
}

}  // namespace
}  // namespace walvault
