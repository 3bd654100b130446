#include "repository/reader_pin.h"
#include "repository/pin.h"

#include <gtest/gtest.h>

#include "repository/gc.h"
#include "repository/writer_session.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/tree_content.h"

namespace walvault {
namespace {

const std::string root_key = "backups/main/a/1";

class ReaderPinTest : public testing::Test {
 protected:
  ReaderPinTest() {
    const WriterSession session(made_.repository, made_.clock, id_of(1), root_key, "");
    TreeWriter tree(session, {});
    write_tree_file(tree, "base/1", random_bytes(100'000, 1));
    auto root = tree.finish();
    packs_ = root.packs;
    session.commit(encode_root(ObjectCodec(), root, root_key));
  }
  void delete_backup() {
    ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::deleted, deletion_key(root_key), {}));
    made_.storage.remove({root_key});
  }
  GcReport collect() { return collect_garbage(made_.repository, made_.clock, id_of(++runs_), {}); }

  MemoryRepository made_;
  PackTable packs_;
  std::uint8_t runs_ = 100;
};

TEST_F(ReaderPinTest, HoldsWhatIsReadAgainstGc) {
  std::optional<ReaderPin> pin;
  pin.emplace(made_.repository, made_.clock, id_of(2), 1, "main", packs_);
  delete_backup();
  EXPECT_EQ(collect().deleted_packs, 0u);
  pin.reset();
  EXPECT_TRUE(collect().running.empty());
  EXPECT_TRUE(keys_under(made_.storage, "packs/").empty());
}

TEST_F(ReaderPinTest, OfAReaderThatDiedIsGivenUp) {
  delete_backup();
  // As if the process had ended here.
  const Pin pin{.root_key = "readers/main/x/1", .created = made_.clock.now(), .may_borrow = packs_};
  ASSERT_TRUE(made_.repository.put_sealed(ObjectKind::pin, pin_key(id_of(2), 1), encode_pin(pin)));
  EXPECT_EQ(collect().deleted_packs, 0u);
  made_.clock.advance(std::chrono::hours(50));
  EXPECT_EQ(collect().given_up, std::vector<std::string>{"readers/main/x/1"});
  EXPECT_TRUE(keys_under(made_.storage, "packs/").empty());
}

}  // namespace
}  // namespace walvault
