// Backups of which something is lost: what counts them, shows them, chooses them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <fstream>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int usual_major = 15;

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

  MainJob job_{usual_major};
};
INSTANTIATE_TEST_SUITE_P(By, LostBackup,
                         ::testing::Values(Loss::pack_missing, Loss::pack_damaged,
                                           Loss::wal_damaged),
                         [](const auto& loss) {
                           return loss.param == Loss::pack_missing   ? "AMissingPack"
                                  : loss.param == Loss::pack_damaged ? "ADamagedPack"
                                                                     : "DamagedWal";
                         });

TEST_P(LostBackup, IsNeitherCountedNorChosen) {
  auto& server = job_.server();
  (void)server.sql("CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 5000) g");
  const auto older = job_.backup()["id"].get<std::string>();
  (void)server.sql("INSERT INTO t SELECT g FROM generate_series(5001, 10000) g");
  job_.archive_everything();
  const auto packs_before = files_in("/packs");
  const auto wal_before = files_in("/wal");
  const auto newer = job_.backup()["id"].get<std::string>();
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

  // Shown.
  const auto cluster = job_.walvault_json({"info"})["clusters"][0];
  ASSERT_EQ(cluster["backups"].size(), 2u);
  EXPECT_EQ(cluster["backups"][0]["restorable"], true);
  EXPECT_EQ(cluster["backups"][0]["fault"], nullptr);
  EXPECT_EQ(cluster["backups"][1]["restorable"], false);
  EXPECT_FALSE(cluster["backups"][1]["fault"].get<std::string>().empty());
  EXPECT_THAT(job_.walvault({"info"}).out, HasSubstr("CANNOT BE RESTORED WHOLE"));
  const auto check = job_.walvault({"check", "--pg", server.conninfo()});
  EXPECT_EQ(check.exit_code, 8) << check.text();
  EXPECT_THAT(check.out, HasSubstr(newer + " cannot be restored whole"));

  // Not counted.
  for (const auto& policy : std::vector<std::vector<std::string>>{
           {"expire", "--keep-last", "1"}, {"expire", "--keep-last", "1", "--window", "1s"}}) {
    const auto expired = job_.walvault(policy);
    EXPECT_EQ(expired.exit_code, 0) << expired.text();
    EXPECT_THAT(expired.out, HasSubstr(older + "  "));
    EXPECT_THAT(expired.out, Not(HasSubstr(older + "  deleted")));
  }
  ASSERT_EQ(job_.walvault_json({"info"})["clusters"][0]["backups"].size(), 2u);

  // Nor chosen. Where its WAL is damaged, no backup gets past that.
  const auto data = job_.directory().path("restored");
  const auto by_itself = job_.walvault({"restore", "--pgdata", data});
  EXPECT_THAT(by_itself.err, HasSubstr("backup " + newer + " is passed over"));
  if (GetParam() == Loss::wal_damaged) {
    EXPECT_EQ(by_itself.exit_code, 7) << by_itself.text();
    EXPECT_FALSE(fs::exists(data + "/PG_VERSION"));
    return;
  }
  ASSERT_EQ(by_itself.exit_code, 0) << by_itself.text();
  auto restored = job_.server_in("restored");
  ASSERT_TRUE(restored->start()) << restored->log();
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "10001");
  restored->stop();

  // What goes to make way for it stays where it is known that it would not come.
  if (GetParam() != Loss::pack_missing) return;
  const auto named =
      job_.walvault({"restore", "--pgdata", data, "--force", "--backup", newer, "--discard-wal"});
  EXPECT_EQ(named.exit_code, 5) << named.text();
  EXPECT_TRUE(restored->start()) << "it was touched: " << restored->log();

  // All are lost: then nothing can be had, and that is said.
  for (const auto& file : files_in("/packs")) fs::remove(file);
  const auto none = job_.walvault({"restore", "--pgdata", job_.directory().path("none")});
  EXPECT_NE(none.exit_code, 0);
  EXPECT_THAT(none.err, HasSubstr("Passed over"));
}

}  // namespace
}  // namespace walvault
