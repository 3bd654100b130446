// Backups of which something is lost: what counts them, shows them, chooses them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <chrono>
#include <fstream>
#include <thread>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

enum class Loss { pack_missing, pack_damaged, wal_damaged };

class LostBackup : public ::testing::TestWithParam<Loss> {
 protected:
  [[nodiscard]] std::vector<std::string> files_in(const std::string& directory) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(job_.repository() + directory)) {
      if (fs::is_regular_file(entry)) files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  static void damage(const std::string& path) {
    auto content = read_text(path);
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    fs::permissions(path, fs::owner_read | fs::owner_write);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  void lose();
  void expect_shown();
  void expect_not_counted();
  void expect_not_chosen();

  MainJob job_{usual_major};
  std::string older_;
  std::string newer_;
};
INSTANTIATE_TEST_SUITE_P(By, LostBackup,
                         ::testing::Values(Loss::pack_missing, Loss::pack_damaged,
                                           Loss::wal_damaged),
                         [](const auto& loss) {
                           return loss.param == Loss::pack_missing   ? "AMissingPack"
                                  : loss.param == Loss::pack_damaged ? "ADamagedPack"
                                                                     : "DamagedWal";
                         });

// Two backups, of which the newer one loses something.
void LostBackup::lose() {
  auto& server = job_.server();
  (void)server.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 5000) g");
  older_ = job_.backup()["id"].get<std::string>();
  (void)server.sql("INSERT INTO t SELECT g FROM generate_series(5001, 10000) g");
  job_.archive_everything();
  const auto packs_before = files_in("/packs");
  const auto wal_before = files_in("/wal");
  newer_ = job_.backup()["id"].get<std::string>();
  const auto fresh = [&](const std::string& directory, const std::vector<std::string>& before) {
    for (const auto& file : files_in(directory)) {
      const auto name = fs::path(file).filename().string();
      if (!std::binary_search(before.begin(), before.end(), file) &&
          name.find('.') == std::string::npos) {
        return file;
      }
    }
    return std::string();
  };
  // The history of its WAL goes on, so that older backups reach as far.
  (void)server.sql("INSERT INTO t VALUES (0)");
  job_.archive_everything();
  EXPECT_EQ(job_.walvault({"verify"}).exit_code, 0);
  const auto pack = fresh("/packs", packs_before);
  const auto segment = fresh("/wal", wal_before);
  ASSERT_FALSE(pack.empty());
  ASSERT_FALSE(segment.empty());
  switch (GetParam()) {
    case Loss::pack_missing: fs::remove(pack); break;
    case Loss::pack_damaged: damage(pack); break;
    case Loss::wal_damaged: damage(segment); break;
  }
  if (GetParam() != Loss::pack_missing) {
    EXPECT_EQ(job_.walvault({"verify"}).exit_code, 5);
  }
}

void LostBackup::expect_shown() {
  const auto cluster = job_.walvault_json({"info"})["clusters"][0];
  ASSERT_EQ(cluster["backups"].size(), 2u);
  EXPECT_EQ(cluster["backups"][0]["restorable"], true);
  EXPECT_EQ(cluster["backups"][0]["fault"], nullptr);
  EXPECT_EQ(cluster["backups"][1]["restorable"], false);
  EXPECT_FALSE(cluster["backups"][1]["fault"].get<std::string>().empty());
  EXPECT_THAT(job_.walvault({"info"}).out, HasSubstr("CANNOT BE RESTORED WHOLE"));
  const auto check = job_.walvault({"check", "--pg", job_.server().conninfo()});
  EXPECT_EQ(check.exit_code, 8) << check.text();
  EXPECT_THAT(check.out, HasSubstr(newer_ + " cannot be restored whole"));
}

void LostBackup::expect_not_counted() {
  for (const auto& policy : std::vector<std::vector<std::string>>{
           {"expire", "--keep-last", "1"}, {"expire", "--keep-last", "1", "--window", "1s"}}) {
    const auto expired = job_.walvault(policy);
    EXPECT_EQ(expired.exit_code, 0) << expired.text();
    EXPECT_THAT(expired.out, HasSubstr(older_ + "  "));
    EXPECT_THAT(expired.out, Not(HasSubstr(older_ + "  deleted")));
  }
  ASSERT_EQ(job_.walvault_json({"info"})["clusters"][0]["backups"].size(), 2u);
}

void LostBackup::expect_not_chosen() {
  // Where its WAL is damaged, no backup gets past that.
  const auto data = job_.directory().path("restored");
  const auto by_itself = job_.walvault({"restore", "--pgdata", data});
  if (GetParam() == Loss::wal_damaged) {
    EXPECT_EQ(by_itself.exit_code, 7) << by_itself.text();
    EXPECT_FALSE(fs::exists(data + "/PG_VERSION"));
    return;
  }
  EXPECT_THAT(by_itself.err, HasSubstr("backup " + newer_ + " is passed over"));
  ASSERT_EQ(by_itself.exit_code, 0) << by_itself.text();
  auto restored = job_.server_in("restored");
  ASSERT_TRUE(restored->start()) << restored->log();
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "10001");
  restored->stop();

  // What goes to make way for it stays where it is known that it would not come.
  const auto named =
      job_.walvault({"restore", "--pgdata", data, "--force", "--backup", newer_, "--discard-wal"});
  EXPECT_EQ(named.exit_code, 5) << named.text();
  EXPECT_TRUE(restored->start()) << "it was touched: " << restored->log();

  // All are lost: then nothing can be had, and that is said.
  for (const auto& file : files_in("/packs")) fs::remove(file);
  const auto none = job_.walvault({"restore", "--pgdata", job_.directory().path("none")});
  EXPECT_EQ(none.exit_code, 5) << none.text();
  EXPECT_THAT(none.err, HasSubstr("Passed over"));
}

TEST_P(LostBackup, IsNeitherCountedNorChosen) {
  lose();
  expect_shown();
  expect_not_counted();
  expect_not_chosen();
}

// A fault may be mended: what gives the moments of the window stays, though it counts for nothing.
TEST(Conditions, ADamagedPackCostsNoMomentOfTheWindow) {
  MainJob job(usual_major);
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 5000) g");
  const auto first = job.backup()["id"].get<std::string>();
  (void)server.sql("INSERT INTO t VALUES (0)");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto moment = server.sql("SELECT clock_timestamp()");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  (void)server.sql("INSERT INTO t VALUES (0)");
  job.archive_everything();
  std::string largest;
  for (const auto& entry : fs::recursive_directory_iterator(job.repository() + "/packs")) {
    if (fs::is_regular_file(entry) &&
        (largest.empty() || fs::file_size(entry) > fs::file_size(largest))) {
      largest = entry.path().string();
    }
  }
  const auto good = read_text(largest);
  auto bad = good;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  const auto overwrite = [&](const std::string& content) {
    std::ofstream(largest, std::ios::binary | std::ios::trunc) << content;
  };
  overwrite(bad);
  EXPECT_EQ(job.walvault({"verify"}).exit_code, 5);
  // As the runbook says: a new backup first.
  (void)job.backup();
  const auto expired = job.walvault({"expire", "--window", "30d", "--keep-last", "1"});
  EXPECT_EQ(expired.exit_code, 0) << expired.text();
  EXPECT_THAT(expired.out, HasSubstr(first + "  "));
  EXPECT_THAT(expired.out, Not(HasSubstr(first + "  deleted")));
  overwrite(good);
  // What was found damaged before is read again.
  auto restored = job.restore("restored", {"--to", moment});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "5001");
}

}  // namespace
}  // namespace walvault
