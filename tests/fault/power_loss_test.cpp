// Power loss: a repository on ext4 in a loop device, which is shut down at random
// moments without writing anything back. What was acknowledged before is whole behind
// the next mount. Needs root; a hundred rounds with --long.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "archiving/push.h"
#include "base/file.h"
#include "catalog/records/backup_list.h"
#include "catalog/verification/verification.h"
#include "storage/posix_storage.h"
#include "support/fake_backup.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

constexpr unsigned long ext4_shutdown = 0x8004587d;
constexpr std::uint32_t without_flushing = 2;
// A segment each, and every so many of them a backup.
constexpr int segments_for_a_backup = 6;

bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

// What a writer says when a call has returned.
struct Acknowledged {
  std::uint64_t segment = 0;  // or 0:
  char backup[64] = {};
};

// A file system that can lose power.
class Disk {
 public:
  // Whether this machine lets us; else why not.
  std::string make(const std::string& directory) {
    image_ = directory + "/image";
    path_ = directory + "/disk";
    if (::geteuid() != 0) return "mounting a file system needs root";
    if (!run("command -v mkfs.ext4 >/dev/null")) return "there is no mkfs.ext4";
    std::filesystem::create_directory(path_);
    if (!run("truncate -s 512M " + image_ + " && mkfs.ext4 -q -F " + image_)) return "mkfs fails";
    if (!mount()) return "a loop device cannot be mounted here";
    return "";
  }
  ~Disk() { unmount(); }

  bool mount() {
    mounted_ = run("mount -o loop " + image_ + " " + path_ + " 2>/dev/null");
    return mounted_;
  }
  void unmount() {
    if (!mounted_) return;
    EXPECT_TRUE(run("umount " + path_));
    mounted_ = false;
  }
  void lose_power() {
    const auto root = open_file(path_, O_RDONLY | O_DIRECTORY);
    auto how = without_flushing;
    ASSERT_EQ(::ioctl(root.get(), ext4_shutdown, &how), 0);
  }
  [[nodiscard]] std::string repository() const { return path_ + "/repo"; }

 private:
  std::string image_;
  std::string path_;
  bool mounted_ = false;
};

class PowerLoss : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = disk_.make(directory_.path()); !why.empty()) GTEST_SKIP() << why;
    std::filesystem::create_directory(directory_.path("pg_wal"));
    PosixStorage storage(disk_.repository(), id_of(1));
    storage.prepare();
    CountingRandomness randomness;
    Repository::create(storage, clock_, randomness);
    const auto repository = Repository::open(storage);
    (void)add_cluster(repository, test_cluster());
    archive_needed_wal(WalArchive(repository, test_cluster()));
  }

  static WalSegmentSpec spec_of(std::uint64_t number) { return {.number = number}; }

  void push(const Repository& repository, std::uint64_t number) {
    const auto spec = spec_of(number);
    const auto path = write_test_file(directory_.path("pg_wal"), spec.name(), wal_segment(spec));
    (void)push_wal_file(WalArchive(repository, test_cluster()), path, clock_, {});
  }

  // Writes until it fails, and says what was done.
  void write_on(int pipe, std::uint64_t first, std::uint8_t writer) {
    PosixStorage storage(disk_.repository(), id_of(writer));
    const auto repository = Repository::open(storage);
    FakeServer server;
    for (auto number = first;; ++number) {
      Acknowledged done{.segment = number};
      push(repository, number);
      if (::write(pipe, &done, sizeof done) != sizeof done) return;
      if (number % segments_for_a_backup != 0) continue;
      server.files["base/5/1259"][number % 8000] ^= 1;
      clock_.advance(std::chrono::minutes(static_cast<std::int64_t>(number)));
      const auto taken = back_up(WalArchive(repository, test_cluster()), server, writer, clock_);
      done = {};
      taken.id.copy(done.backup, sizeof done.backup - 1);
      if (::write(pipe, &done, sizeof done) != sizeof done) return;
    }
  }

  void expect_whole(const std::vector<Acknowledged>& acknowledged) {
    // Never the same twice, as of any process: a temporary file that was removed may be
    // back after the power was lost.
    auto id = id_of(250);
    id[0] = ++looks_;
    PosixStorage storage(disk_.repository(), id);
    const auto repository = Repository::open(storage);
    const WalArchive archive(repository, test_cluster());
    std::set<std::string> backups;
    const auto list = list_backups(repository, "main");
    EXPECT_TRUE(list.damaged.empty());
    for (const auto& backup : list.backups) backups.insert(backup.id);
    for (const auto& each : acknowledged) {
      if (each.segment == 0) {
        EXPECT_TRUE(backups.contains(each.backup)) << each.backup;
        continue;
      }
      const auto key = archive.key_of(spec_of(each.segment).name());
      const auto object = storage.find(key, whole_object);
      ASSERT_TRUE(object) << key;
      EXPECT_TRUE(decode_wal_object(ObjectCodec(), *object, key, 1) ==
                  wal_segment(spec_of(each.segment)));
    }
    // And nothing shows that is not.
    VerifyRequest request;
    request.tier = VerifyTier::deep;
    const auto report = verify(repository, clock_, id, request,
                               {.info = [](const std::string&) {},
                                .warn = [](const std::string& text) { ADD_FAILURE() << text; },
                                .check_cancelled = [] {}});
    for (const auto& object : report.objects) ADD_FAILURE() << object.key << ": " << object.why;
    for (const auto& damage : report.damaged_backups) ADD_FAILURE() << damage.id;
  }

  TemporaryDirectory directory_;
  FakeClock clock_;
  Disk disk_;
  std::uint8_t looks_ = 0;
};

TEST_F(PowerLoss, LosesNothingThatWasAcknowledged) {
  const char* const is_long = std::getenv("WALVAULT_TEST_LONG");
  const int rounds = is_long != nullptr && *is_long == '1' ? 100 : 4;
  std::mt19937 random(test_seed());
  std::vector<Acknowledged> acknowledged;
  std::uint64_t next = 100;
  for (int round = 1; round <= rounds; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const auto child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      try {
        write_on(ends[1], next, static_cast<std::uint8_t>(1 + round));
      } catch (const std::exception&) {
        // The disk is gone.
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    std::uniform_int_distribution<int> moments(30, 400);
    ::usleep(static_cast<useconds_t>(moments(random)) * 1000);
    disk_.lose_power();
    (void)::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    Acknowledged each;
    while (::read(ends[0], &each, sizeof each) == sizeof each) acknowledged.push_back(each);
    ::close(ends[0]);
    disk_.unmount();
    ASSERT_TRUE(disk_.mount());
    expect_whole(acknowledged);
    for (const auto& known : acknowledged) next = std::max(next, known.segment + 1);
    // The one that was not acknowledged may be there.
    next += 1;
    if (HasFailure()) FAIL() << "in round " << round;
  }
  EXPECT_GT(acknowledged.size(), static_cast<std::size_t>(rounds));
  std::printf("%zu acknowledged in %d rounds\n", acknowledged.size(), rounds);
}

// An object that is in the repository and on no disk yet.
class UnsyncedObject : public PowerLoss {
 protected:
  void SetUp() override {
    PowerLoss::SetUp();
    if (IsSkipped()) return;
    const auto spec = spec_of(500);
    MemoryRepository made;
    (void)add_cluster(made.repository, test_cluster());
    const WalArchive archive(made.repository, test_cluster());
    const auto file = write_test_file(directory_.path("pg_wal"), spec.name(), wal_segment(spec));
    (void)push_wal_file(archive, file, clock_, {});
    key_ = archive.key_of(spec.name());
    const auto object = made.storage.find(key_, whole_object).value();
    const auto path = disk_.repository() + "/" + key_;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_all(open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600), object, path);
  }
  void lose_power_and_come_back() {
    disk_.lose_power();
    disk_.unmount();
    ASSERT_TRUE(disk_.mount());
  }

  std::string key_;
};

// A writer that died between giving an object its name and making the name durable;
// another finds it there, acknowledges it, and then the power goes.
TEST_F(UnsyncedObject, IsMadeDurableBeforeItIsAcknowledged) {
  {
    PosixStorage storage(disk_.repository(), id_of(2));
    push(Repository::open(storage), 500);
  }
  lose_power_and_come_back();
  expect_whole({{.segment = 500}});
}

TEST_F(UnsyncedObject, IsMadeDurableBeforeItIsReliedOn) {
  {
    PosixStorage storage(disk_.repository(), id_of(2));
    storage.settle({key_});
  }
  lose_power_and_come_back();
  expect_whole({{.segment = 500}});
}

// Else the two above would prove nothing.
TEST_F(UnsyncedObject, IsLostWhereNobodyDid) {
  {
    PosixStorage storage(disk_.repository(), id_of(2));
    EXPECT_TRUE(storage.find_size(key_));
  }
  lose_power_and_come_back();
  PosixStorage storage(disk_.repository(), id_of(3));
  EXPECT_FALSE(storage.find_size(key_));
}

}  // namespace
}  // namespace walvault
