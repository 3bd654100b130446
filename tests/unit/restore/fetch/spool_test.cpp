#include "restore/fetch/spool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <sstream>

#include "base/file.h"
#include "datadir/file_tree.h"
#include "support/archived_wal.h"
#include "support/hooked_storage.h"
#include "support/memory_repository.h"
#include "support/small_file_system.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"

namespace walvault {
namespace {

class SpoolTest : public testing::Test {
 protected:
  SpoolTest() { archive_segments(archive_, 1, 1, 12); }

  [[nodiscard]] static SegmentName segment(std::uint64_t number) {
    return {.timeline = {1}, .number = number};
  }
  [[nodiscard]] std::string key(std::uint64_t number) const {
    return archive_.key_of(segment(number).text(test_geometry));
  }
  void fill(std::uint64_t delivered, unsigned count = 4) {
    spool_.fill(archive_, segment(delivered), count, 2);
  }
  [[nodiscard]] bool deliver(std::uint64_t number) {
    return spool_.deliver(archive_, key(number), destination_);
  }
  // Segments, without the lock.
  [[nodiscard]] std::vector<std::string> files() const {
    auto names = names_in(spool_.directory());
    std::erase(names, "lock");
    return names;
  }

  TemporaryDirectory directory_;
  std::string destination_ = directory_.path() + "/RECOVERYXLOG";
  MemoryRepository made_;
  WalArchive archive_{made_.repository, test_cluster()};
  Spool spool_{directory_.path() + "/data.walvault-spool"};
};

TEST_F(SpoolTest, KnowsHowMuchIsReady) {
  EXPECT_EQ(spool_.ready_behind(archive_, segment(1), 4), 0u);
  fill(1);
  EXPECT_EQ(spool_.ready_behind(archive_, segment(1), 4), 4u);
  EXPECT_EQ(spool_.ready_behind(archive_, segment(1), 2), 2u);
  EXPECT_EQ(spool_.ready_behind(archive_, segment(3), 4), 2u);
  EXPECT_EQ(spool_.ready_behind(archive_, segment(9), 4), 0u);
}

// To open it costs an object store's answers.
TEST_F(SpoolTest, AsksForTheArchiveOnlyWhereNobodyFillsIt) {
  fill(1);
  const auto lock = open_file(spool_.directory() + "/lock", O_RDWR);
  ASSERT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  bool asked = false;
  const auto archive = [&]() -> const WalArchive& {
    asked = true;
    return archive_;
  };
  spool_.fill(archive, segment(5), 4, 1);
  EXPECT_FALSE(asked);
  ASSERT_EQ(::flock(lock.get(), LOCK_UN), 0);
  spool_.fill(archive, segment(5), 4, 1);
  EXPECT_TRUE(asked);
}

TEST_F(SpoolTest, GivesWhatItFetchedAhead) {
  EXPECT_FALSE(deliver(2));
  fill(1);
  EXPECT_EQ(files().size(), 4u);
  EXPECT_FALSE(deliver(1));
  ASSERT_TRUE(deliver(3));
  EXPECT_TRUE(read_file(destination_, 2u << 20) == chained_segment(1, 3));
  ASSERT_TRUE(deliver(2));  // over what stands there
  EXPECT_TRUE(read_file(destination_, 2u << 20) == chained_segment(1, 2));
  EXPECT_FALSE(deliver(2));
  EXPECT_EQ(files().size(), 2u);
}

// The parent of whatever loses its own, as PostgreSQL is where it is process 1.
class Reaper {
 public:
  Reaper() { (void)::prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~Reaper() { (void)::prctl(PR_SET_CHILD_SUBREAPER, 0); }
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // Of a process, this one or another.
  [[nodiscard]] static std::vector<pid_t> children_of(pid_t pid) {
    const auto id = std::to_string(pid);
    std::istringstream in{
        std::string(as_text(read_file("/proc/" + id + "/task/" + id + "/children", 1u << 16)))};
    return {std::istream_iterator<pid_t>(in), {}};
  }
  // All there are, and how each ended.
  [[nodiscard]] static std::vector<int> reap() {
    std::vector<int> found;
    int status = 0;
    while (::waitpid(-1, &status, 0) > 0) found.push_back(status);
    return found;
  }
};

TEST_F(SpoolTest, WhoeverReapsWhatFillsItHearsOfNoSignalAndNoFailure) {
  const Reaper reaper;
  // It waits for ever, and is ended from outside.
  const auto hangs = [&]() -> const WalArchive& {
    while (true) ::pause();
  };
  const auto start = [&] {
    spool_.fill_in_background(hangs, segment(1), 4, 1);
    const auto waiting = Reaper::children_of(::getpid());
    EXPECT_EQ(waiting.size(), 1u);
    std::vector<pid_t> filling;
    while (filling.empty()) filling = Reaper::children_of(waiting.at(0));
    return std::pair(waiting.at(0), filling.at(0));
  };
  for (const int signal : {SIGALRM, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGKILL}) {
    SCOPED_TRACE(signal);
    const auto [waiting, filling] = start();
    EXPECT_NE(::getsid(waiting), ::getsid(0));
    ASSERT_EQ(::kill(filling, signal), 0);
    EXPECT_EQ(Reaper::reap(), std::vector<int>{0});
  }
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGIO, SIGPROF, SIGXCPU, SIGRTMIN}) {
    SCOPED_TRACE(signal);
    const auto [waiting, filling] = start();
    ASSERT_EQ(::kill(waiting, signal), 0);
    ASSERT_EQ(::kill(filling, signal), 0);
    EXPECT_EQ(Reaper::reap(), std::vector<int>{0});
  }
  spool_.fill_in_background(
      [&]() -> const WalArchive& { throw Error(ErrorKind::unavailable, "the store is away"); },
      segment(1), 4, 1);
  EXPECT_EQ(Reaper::reap(), std::vector<int>{0});
}

TEST_F(SpoolTest, BehindALinkIsLeftAlone) {
  fill(1);
  const auto elsewhere = directory_.path("elsewhere");
  std::filesystem::rename(spool_.directory(), elsewhere);
  std::filesystem::create_directory_symlink(elsewhere, spool_.directory());
  const auto before = names_in(elsewhere);
  EXPECT_FALSE(deliver(2));
  EXPECT_EQ(spool_.ready_behind(archive_, segment(1), 4), 0u);
  fill(3);
  spool_.remove();
  EXPECT_EQ(names_in(elsewhere), before);
}

// What another user put there while the directory was open to him.
TEST_F(SpoolTest, OfAFileWithAnotherNameNothingIsDelivered) {
  fill(1);
  const auto name = files().front();
  std::filesystem::create_hard_link(spool_.directory() + "/" + name, directory_.path("other"));
  int delivered = 0;
  for (std::uint64_t number = 2; number <= 5; ++number) delivered += deliver(number) ? 1 : 0;
  EXPECT_EQ(delivered, 3);
}

TEST_F(SpoolTest, WhoFillsItStopsWhenItIsRemoved) {
  HookedStorage hooked(made_.storage);
  const auto repository = Repository::open(hooked);
  const WalArchive archive(repository, test_cluster());
  bool is_first = true;
  hooked.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "find" || !key.starts_with("wal/") || !std::exchange(is_first, false)) return;
    spool_.remove();
  };
  spool_.fill(archive, segment(1), 8, 1);
  EXPECT_FALSE(find_status(spool_.directory()));
}

// It may be another one of this user's, put in its place.
TEST_F(SpoolTest, DeletesNothingButItsOwn) {
  fill(1);
  const std::vector<std::string> others{"000000010000000000000003", "PG_VERSION", "part-",
                                        "postgresql.conf"};
  for (const auto& name : others) write_test_file(spool_.directory(), name, bytes_of("x"));
  fill(5);
  spool_.remove();
  EXPECT_EQ(names_in(spool_.directory()), others);
}

TEST_F(SpoolTest, InADirectoryThatAGroupMayWriteToIsClosedToIt) {
  fill(1);
  std::filesystem::permissions(spool_.directory(), std::filesystem::perms::group_all,
                               std::filesystem::perm_options::add);
  EXPECT_TRUE(deliver(2));
  EXPECT_EQ(find_status(spool_.directory())->st_mode & 07777u, 0700u);
}

TEST_F(SpoolTest, OfADirectoryThatOthersWriteToNothingIsDelivered) {
  fill(1);
  std::filesystem::permissions(spool_.directory(), std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  EXPECT_FALSE(deliver(2));
}

TEST_F(SpoolTest, HoldsNoMoreThanWhatComesNext) {
  fill(1);
  fill(3);  // 4 to 7; 2 and 3 are not asked for again
  EXPECT_EQ(files().size(), 4u);
  EXPECT_FALSE(deliver(2));
  EXPECT_TRUE(deliver(7));
  fill(10, 8);  // 11 and 12 are the last
  EXPECT_EQ(files().size(), 2u);
  fill(12);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpoolTest, NeverGivesADamagedSegment) {
  fill(1, 1);
  const auto path = spool_.directory() + "/" + files().at(0);
  {
    const auto file = open_file(path, O_WRONLY);
    write_all_at(file, Bytes{1}, 500'000, path);
  }
  EXPECT_FALSE(deliver(2));
  EXPECT_TRUE(files().empty());
  fill(1, 1);
  ASSERT_EQ(::truncate((spool_.directory() + "/" + files().at(0)).c_str(), 1000), 0);
  EXPECT_FALSE(deliver(2));
}

TEST_F(SpoolTest, DoesNotTakeADamagedObject) {
  auto bytes = made_.storage.find(key(3), whole_object).value();
  bytes.at(bytes.size() / 2) ^= 1;
  made_.storage.remove({key(3)});
  ASSERT_TRUE(made_.storage.put_if_absent(key(3), bytes));
  EXPECT_EQ(error_of([&] { fill(1); }), "corrupt");
  EXPECT_FALSE(deliver(3));
}

TEST_F(SpoolTest, KeepsTheSegmentsOfAnotherRepositoryApart) {
  MemoryRepository other;
  const auto repository = [&] {
    other.storage.remove(keys_under(other.storage, ""));
    CountingRandomness randomness;
    (void)randomness.id();
    Repository::create(other.storage, other.clock, randomness);
    return Repository::open(other.storage);
  }();
  ASSERT_NE(repository.id(), made_.repository.id());
  const WalArchive archive(repository, test_cluster());
  archive_segments(archive, 1, 1, 3);
  fill(1);
  EXPECT_FALSE(
      spool_.deliver(archive, archive.key_of(segment(2).text(test_geometry)), destination_));
  EXPECT_TRUE(deliver(2));
}

TEST_F(SpoolTest, IsFilledByOneProcessAtATime) {
  ASSERT_EQ(::mkdir(spool_.directory().c_str(), 0700), 0);
  const auto lock = open_file(spool_.directory() + "/lock", O_RDWR | O_CREAT);
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  fill(1);
  EXPECT_TRUE(files().empty());
  ASSERT_EQ(::flock(lock.get(), LOCK_UN), 0);
  fill(1);
  EXPECT_EQ(files().size(), 4u);
}

TEST_F(SpoolTest, GoesOnForWhoWasTurnedAway) {
  HookedStorage storage(made_.storage);
  const auto repository = Repository::open(storage);
  const WalArchive archive(repository, test_cluster());
  bool asked = false;
  storage.before = [&](std::string_view operation, std::string_view) {
    if (operation != "find" || std::exchange(asked, true)) return;
    fill(5);  // another process, while this one works
    EXPECT_TRUE(files().empty());
  };
  spool_.fill(archive, segment(1), 2, 1);
  EXPECT_TRUE(deliver(6));
  EXPECT_TRUE(deliver(7));
  EXPECT_FALSE(deliver(2));
}

TEST_F(SpoolTest, IsRemovedAsAWhole) {
  fill(1);
  spool_.remove();
  EXPECT_TRUE(names_in(directory_.path()).empty());
  spool_.remove();
}

TEST_F(SpoolTest, ThatCannotBeMadeIsDoneWithout) {
  const Spool nowhere(directory_.path() + "/missing/spool");
  nowhere.fill(archive_, segment(1), 4, 1);
  EXPECT_FALSE(nowhere.deliver(archive_, key(2), destination_));
  nowhere.remove();
}

// Whatever is the matter with it, recovery goes on without.
TEST_F(SpoolTest, IsNoReasonToFail) {
  write_test_file(directory_.path(), "data.walvault-spool", bytes_of("no directory"));
  EXPECT_FALSE(deliver(2));
  EXPECT_EQ(error_of([&] { spool_.remove(); }), "nothing");
}

// The server that recovers writes to the same file system.
TEST_F(SpoolTest, LeavesRoom) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting a small file system needs root";
  const SmallFileSystem file_system(directory_.path() + "/small", "size=4608k");
  const auto& small = file_system.path();
  const Spool spool(small + "/data.walvault-spool");
  const auto target = small + "/RECOVERYXLOG";
  const auto files = [&] {
    auto names = names_in(spool.directory());
    std::erase(names, "lock");
    return names.size();
  };
  // Four and a half segments are free.
  spool.fill(archive_, segment(1), 4, 1);
  EXPECT_EQ(files(), 2u);
  EXPECT_TRUE(spool.deliver(archive_, key(2), target));
  EXPECT_TRUE(spool.deliver(archive_, key(3), target));
  EXPECT_TRUE(read_file(target, 2u << 20) == chained_segment(1, 3));

  // There was room when it was asked, and another took it.
  HookedStorage storage(made_.storage);
  const auto repository = Repository::open(storage);
  storage.before = [&](std::string_view operation, std::string_view key) {
    if (operation != "find" || key != this->key(4)) return;
    write_test_file(small, "filler", Bytes(3u << 20));
  };
  spool.fill(WalArchive(repository, test_cluster()), segment(3), 4, 1);
  EXPECT_EQ(read_file(small + "/filler", 4u << 20).size(), 3u << 20);
  EXPECT_EQ(files(), 0u);
  spool.remove();
}

TEST_F(SpoolTest, BelongsToADataDirectoryOnly) {
  EXPECT_FALSE(Spool::of_current_directory(destination_));
}

}  // namespace
}  // namespace walvault
