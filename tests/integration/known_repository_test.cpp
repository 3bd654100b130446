// A place where another repository lies than before, or none: as beneath a file system that is
// not mounted. Nothing is written there, and nothing acknowledged, until an operator says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/filesystem.hpp>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;

class KnownRepositoryTest : public ::testing::Test {
 protected:
  KnownRepositoryTest() : job_(usual_major) {}

  // The repository goes away, and something else lies at its place.
  void put_another_in_place() {
    const auto other = job_.directory().path("other");
    EXPECT_EQ(job_.walvault({"init", "--repo", other}).exit_code, 0);
    const auto registered = job_.walvault(
        {"--repo", other, "cluster", "add", "main", "--pg", job_.server().conninfo()});
    EXPECT_EQ(registered.exit_code, 0) << registered.text();
    fs::rename(job_.repository(), away_);
    fs::rename(other, job_.repository());
  }
  void bring_it_back() {
    fs::remove_all(job_.repository());
    fs::rename(away_, job_.repository());
  }

  [[nodiscard]] std::size_t files_there() const {
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(job_.repository())) {
      if (fs::is_regular_file(entry)) ++files;
    }
    return files;
  }

  void expect_refused(int exit_code, const std::string& words) {
    const auto before = files_there();
    const auto segment = job_.server().data() + "/pg_wal/" +
                         job_.server().sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    for (const auto& command : std::vector<std::vector<std::string>>{
             {"walvault-archive", "--repo", job_.repository(), "--cluster", "main", segment},
             {"walvault", "--repo", job_.repository(), "--cluster", "main", "backup", "--pg",
              job_.server().conninfo()},
             {"walvault", "--repo", job_.repository(), "gc", "--grace", "0s"},
             {"walvault", "--repo", job_.repository(), "info"}}) {
      const auto done = job_.start(command)->wait();
      EXPECT_EQ(done.exit_code, exit_code) << done.text();
      EXPECT_THAT(done.err, HasSubstr(words));
      EXPECT_THAT(done.err, HasSubstr("check --accept-repository"));
    }
    EXPECT_EQ(files_there(), before);
  }

  MainJob job_;
  std::string away_ = job_.directory().path("away");
};

TEST_F(KnownRepositoryTest, AnotherOneAtItsPlaceIsRefused) {
  (void)job_.backup();
  put_another_in_place();
  expect_refused(4, "another repository is at");
  // Nobody's word was needed for the one that is known.
  bring_it_back();
  (void)job_.backup();
}

TEST_F(KnownRepositoryTest, AnOperatorsWordMakesAnotherOneTheKnownOne) {
  put_another_in_place();
  const auto accepted = job_.walvault({"check", "--accept-repository"});
  EXPECT_EQ(accepted.exit_code, 0) << accepted.text();
  EXPECT_THAT(accepted.out, HasSubstr("Accepted: at " + job_.repository() + " is repository"));
  EXPECT_EQ(job_.walvault({"backup", "--pg", job_.server().conninfo()}).exit_code, 0);
  // Then the former one is another.
  bring_it_back();
  expect_refused(4, "another repository is at");
  EXPECT_EQ(job_.walvault({"check", "--accept-repository"}).exit_code, 0);
}

TEST_F(KnownRepositoryTest, NoneAtItsPlaceIsNotAnEmptyOne) {
  fs::rename(job_.repository(), away_);
  fs::create_directory(job_.repository());
  give_to_server_user(job_.repository());
  ASSERT_EQ(::chmod(job_.repository().c_str(), 0700), 0);
  expect_refused(6, "that this machine knows at");
  // A new one is made where it is asked for, and used only when it is said to be the one.
  const auto made = job_.walvault({"init"});
  EXPECT_EQ(made.exit_code, 0) << made.text();
  EXPECT_THAT(made.err, HasSubstr("this machine knows another repository"));
  expect_refused(4, "another repository is at");
  bring_it_back();
}

TEST_F(KnownRepositoryTest, AbsenceOfTheMemoryIsNoConflict) {
  put_another_in_place();
  fs::remove_all(job_.directory().path("state"));
  EXPECT_EQ(job_.walvault({"info"}).exit_code, 0);
  bring_it_back();
  EXPECT_EQ(job_.walvault({"info"}).exit_code, 4);
  fs::remove_all(job_.directory().path("state"));
}

TEST_F(KnownRepositoryTest, CheckSaysWhereItCannotBeRemembered) {
  const auto known = job_.walvault({"check", "--pg", job_.server().conninfo()});
  EXPECT_THAT(known.out, HasSubstr("as this machine knows it"));
  fs::remove_all(job_.directory().path("state"));
  write_text(job_.directory().path("state"), "no directory");
  const auto unknown = job_.walvault({"check", "--pg", job_.server().conninfo()});
  EXPECT_EQ(unknown.exit_code, 0) << unknown.text();
  EXPECT_THAT(unknown.out, HasSubstr("cannot remember which repository it found"));
}

}  // namespace
}  // namespace walvault
