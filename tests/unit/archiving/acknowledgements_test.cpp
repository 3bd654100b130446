#include "archiving/acknowledgements.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "support/push_ahead_fixture.h"

namespace walvault {
namespace {

namespace fs = std::filesystem;

class NoteTest : public PushAheadTest {
 protected:
  void SetUp() override {
    PushAheadTest::SetUp();
    make_ready(1);
    make_ready(2);
    ASSERT_EQ(offer(1).ahead, 1u);
  }
  // Its own call archives it again, which finds it there with the same content; what was
  // noted is gone.
  void expect_not_believed() {
    (void)offer(2);
    EXPECT_EQ(puts_of(2), 2);
    EXPECT_TRUE(notes().empty());
  }
  // Other content in the same file, which keeps its size.
  void change_file() const {
    // A file system's clock may tick as rarely as that.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto content = chained_segment(1, 2);
    content[100] ^= 1;
    const auto file = open_file(path(name(2)), O_WRONLY);
    write_all_at(file, content, 0, path(name(2)));
  }
};

// Beside a data directory others may put something, too.
TEST_F(NoteTest, BehindALinkIsNeitherBelievedNorDeleted) {
  fs::rename(directory_.path("notes"), directory_.path("elsewhere"));
  fs::create_directory_symlink(directory_.path("elsewhere"), directory_.path("notes"));
  const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
  EXPECT_FALSE(notes.can_be_kept());
  EXPECT_FALSE(notes.has(archive_, name(2)));
  EXPECT_FALSE(notes.take(archive_, path(name(2))));
  notes.forget_before(archive_, name(5));
  (void)offer(2);
  EXPECT_TRUE(fs::exists(directory_.path("elsewhere/" + name(2))));
}

// Such as the pg_wal of another server of this user's, put in place of the notes.
TEST_F(NoteTest, NothingElseIsDeletedForOne) {
  const auto segment = directory_.path("notes/" + name(1));
  std::ofstream(segment, std::ios::binary) << as_text(chained_segment(1, 1));
  const auto other = directory_.path("notes/PG_VERSION");
  std::ofstream(other) << "15";
  const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
  notes.forget_before(archive_, name(9));
  EXPECT_FALSE(notes.take(archive_, path(name(1))));
  EXPECT_TRUE(fs::exists(segment));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_FALSE(fs::exists(directory_.path("notes/" + name(2))));
}

TEST_F(NoteTest, InADirectoryThatOthersWriteToIsNotBelieved) {
  fs::permissions(directory_.path("notes"), fs::perms::others_write, fs::perm_options::add);
  const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
  EXPECT_FALSE(notes.can_be_kept());
  EXPECT_FALSE(notes.has(archive_, name(2)));
}

TEST_F(NoteTest, OfAnotherArchiverIsNotBelieved) {
  ++archiver_.started;
  expect_not_believed();
}

TEST_F(NoteTest, ThatIsDamagedIsNotBelieved) {
  const auto note = directory_.path("notes/" + name(2));
  auto bytes = read_file(note, 1u << 20);
  for (const std::size_t at : {std::size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
    auto damaged = bytes;
    damaged[at] ^= 1;
    std::ofstream(note, std::ios::binary | std::ios::trunc) << as_text(damaged);
    const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
    EXPECT_FALSE(notes.has(archive_, name(2))) << at;
  }
  std::ofstream(note, std::ios::trunc) << "x";
  expect_not_believed();
}

TEST_F(NoteTest, ForAFileThatHasChangedIsNotBelieved) {
  change_file();
  EXPECT_EQ(error_of([&] { (void)offer(2); }), "conflict");
}

// A repository that was put back to an older copy of itself.
TEST_F(NoteTest, ForARepositoryThatHasLostItIsNotBelieved) {
  made_.storage.remove({archive_.key_of(name(2))});
  expect_not_believed();
  EXPECT_TRUE(is_archived(2));
}

TEST_F(NoteTest, ForAnObjectOfAnotherSizeIsNotBelieved) {
  made_.storage.overwrite(archive_.key_of(name(2)), Bytes(10));
  EXPECT_EQ(error_of([&] { (void)offer(2); }), "corrupt");
}

TEST_F(NoteTest, OfAnotherRepositoryIsNotBelieved) {
  MemoryRepository other;
  const WalArchive elsewhere(other.repository, test_cluster());
  const Acknowledgements notes(directory_.path("notes"), archiver_, place_);
  EXPECT_TRUE(notes.has(archive_, name(2)));
  // The same id and URL: the test's repositories are alike. The cluster's name differs.
  auto identity = test_cluster();
  identity.name = "other";
  EXPECT_FALSE(notes.has(WalArchive(repository_, identity), name(2)));
}

// Of a repository that is far away, which is not looked at.
class RecentNoteTest : public NoteTest {
 protected:
  [[nodiscard]] bool is_believed(const std::string& cluster = test_cluster().name,
                                 std::chrono::seconds later = std::chrono::seconds(0)) const {
    return Acknowledgements(directory_.path("notes"), archiver_, place_)
        .take_recent(cluster, path(name(2)), system_clock().now() + later)
        .has_value();
  }
};

TEST_F(RecentNoteTest, IsBelievedOnceWithoutALook) {
  hooked_.before = [](std::string_view, std::string_view) { FAIL(); };
  EXPECT_TRUE(is_believed());
  EXPECT_FALSE(is_believed());
}

TEST_F(RecentNoteTest, OfAnotherPlaceClusterOrArchiverIsNotBelieved) {
  EXPECT_FALSE(is_believed("other"));
  place_ = "https://mirror here";
  EXPECT_FALSE(is_believed());
  place_ = "here";
  ++archiver_.started;
  EXPECT_FALSE(is_believed());
}

TEST_F(RecentNoteTest, ThatIsNotRecentIsNotBelieved) {
  EXPECT_FALSE(
      is_believed(test_cluster().name, Acknowledgements::recent + std::chrono::seconds(1)));
  EXPECT_FALSE(is_believed(test_cluster().name, -std::chrono::seconds(5)))
      << "the clock was set back";
  EXPECT_TRUE(is_believed());
}

TEST_F(RecentNoteTest, ForAFileThatHasChangedIsNotBelieved) {
  const auto written = fs::last_write_time(path(name(2)));
  change_file();
  // As who hides it would.
  fs::last_write_time(path(name(2)), written);
  EXPECT_FALSE(is_believed());
  fs::resize_file(path(name(2)), 100);
  EXPECT_FALSE(is_believed());
}

// Of the same content and times, but another file.
TEST_F(RecentNoteTest, ForAFileInItsPlaceIsNotBelieved) {
  const auto written = fs::last_write_time(path(name(2)));
  fs::copy_file(path(name(2)), path("copy"));
  fs::last_write_time(path("copy"), written);
  fs::rename(path("copy"), path(name(2)));
  EXPECT_FALSE(is_believed());
}

TEST_F(NoteTest, ThatIsOldGoes) {
  make_ready(8);
  make_ready(9);
  EXPECT_EQ(offer(8).ahead, 1u);
  EXPECT_EQ(notes(), Names{name(9)});
}

TEST(FindArchiver, IsTheSameForEveryChildAndAnotherForOtherProcesses) {
  const auto here = find_archiver();
  ASSERT_TRUE(here);
  EXPECT_EQ(find_archiver(), here);
  EXPECT_GT(here->pid, 1);
  EXPECT_GT(here->started, 0u);
  EXPECT_FALSE(here->boot.empty());
}

}  // namespace
}  // namespace walvault
