// What verify finds in the backups of real servers, and what it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/main_job.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

class VerifyOnAServer : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, VerifyOnAServer, ::testing::Values(13, 18), name_of_major);

// The largest file below a directory.
std::string largest_in(const std::string& directory) {
  std::string largest;
  std::uintmax_t size = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file() || entry.file_size() <= size) continue;
    size = entry.file_size();
    largest = entry.path();
  }
  return largest;
}

void flip_bit(const std::string& path, std::uint64_t offset) {
  std::filesystem::permissions(path, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
  ASSERT_TRUE(file.good()) << path;
}

void make_table(PostgresServer& server) {
  (void)server.sql("CREATE TABLE t (id int PRIMARY KEY, filler text)");
  (void)server.sql(
      "INSERT INTO t SELECT g, md5(g::text) || repeat('x', 300) FROM generate_series(1, 30000) g");
}

TEST_P(VerifyOnAServer, NothingIsWrongWhereTheServerWroteMeanwhile) {
  MainJob job(GetParam(), "", {"--data-checksums"});
  auto& server = job.server();
  make_table(server);
  (void)server.sql("CREATE SEQUENCE s");
  (void)server.sql("CREATE UNLOGGED TABLE u AS SELECT * FROM t");
  (void)server.tool({"pgbench", "-i", "-s", "3", "-q", "postgres"});
  (void)job.backup();
  // Pages are torn, grown and cut while the second backup reads them.
  auto writers = server.start_tool({"pgbench", "-n", "-c", "4", "-T", "5", "postgres"});
  for (int i = 0; i < 2; ++i) {
    (void)server.sql("DELETE FROM t WHERE id % 3 = " + std::to_string(i));
    (void)job.backup();
    (void)server.sql("VACUUM t");
    (void)job.backup({"--checkpoint", "fast"});
  }
  (void)writers->wait();
  job.archive_everything();
  for (const auto* tier : {"--present", "--json", "--deep"}) {
    const auto shown = job.walvault({"verify", tier});
    EXPECT_EQ(shown.exit_code, 0) << tier << shown.out << shown.err;
  }
  const auto deep = job.walvault_json({"verify", "--deep"})["verify"];
  EXPECT_EQ(deep["whole"], true);
  EXPECT_EQ(deep["backups"], 5);
  EXPECT_GT(deep["plain_bytes_read"], 10'000'000);
  EXPECT_EQ(deep["windows"], deep["windows_before"]);
  const auto later = job.walvault_json({"verify", "--deep", "--max-age", "1d"})["verify"];
  EXPECT_EQ(later["packs_read"], 0);
  const auto verified = job.walvault_json({"info"})["clusters"][0]["verified"];
  ASSERT_GE(verified.size(), 3u);
}

TEST_P(VerifyOnAServer, APageThatTheServerHadDamagedIsNamed) {
  MainJob job(GetParam(), "", {"--data-checksums"});
  auto& server = job.server();
  make_table(server);
  const auto path = server.sql("SELECT pg_relation_filepath('t')");
  (void)server.sql("CHECKPOINT");
  server.stop();
  flip_bit(server.data() + "/" + path, 5 * 8192 + 4000);
  ASSERT_TRUE(server.start());
  EXPECT_EQ(job.walvault({"backup", "--pg", server.conninfo()}).exit_code, 5);
  job.archive_everything();
  EXPECT_EQ(job.walvault({"verify"}).exit_code, 0) << "every byte is the one that was sent";
  const auto outcome = job.walvault({"verify", "--deep", "--json"});
  EXPECT_EQ(outcome.exit_code, 5);
  const auto damaged = nlohmann::json::parse(outcome.out)["verify"]["damaged_backups"];
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0]["restorable"], true);
  ASSERT_EQ(damaged[0]["pages"].size(), 1u);
  EXPECT_EQ(damaged[0]["pages"][0]["path"], path);
  EXPECT_EQ(damaged[0]["pages"][0]["block"], 5);
}

TEST_P(VerifyOnAServer, DamageIsFoundAndTheNextBackupIsWhole) {
  MainJob job(GetParam());
  auto& server = job.server();
  make_table(server);
  const auto first = job.backup()["id"];
  job.archive_everything();
  const auto path = server.sql("SELECT pg_relation_filepath('t')");
  const auto pack = largest_in(job.repository() + "/packs");
  flip_bit(pack, std::filesystem::file_size(pack) / 2);

  const auto outcome = job.walvault({"verify"});
  EXPECT_EQ(outcome.exit_code, 5) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(std::filesystem::path(pack).filename().string()));
  EXPECT_THAT(outcome.out, HasSubstr("CANNOT BE RESTORED"));
  EXPECT_THAT(outcome.out, HasSubstr("walvault backup"));
  EXPECT_EQ(job.walvault_json({"info"})["clusters"][0]["verified"][0]["damaged"], 1);
  const auto refused = job.walvault({"restore", "--pgdata", job.directory().path("damaged")});
  EXPECT_EQ(refused.exit_code, 5) << refused.err;

  (void)server.sql("DELETE FROM t WHERE id <= 1000");
  const auto second = job.walvault({"backup", "--pg", server.conninfo(), "--json"});
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("gone or damaged"));
  const auto id = nlohmann::json::parse(second.out)["backup"]["id"].get<std::string>();
  job.archive_everything();
  EXPECT_EQ(job.walvault({"verify", "--deep", "--backup", id}).exit_code, 0);
  EXPECT_EQ(job.walvault({"verify", "--deep", "--backup", first}).exit_code, 5);
  auto restored = job.restore("whole", {});
  EXPECT_EQ(restored->sql("SELECT count(*), sum(id) FROM t"), "29000|449514500");
  restored->stop();

  // Then a segment behind it that is not there.
  (void)server.sql("INSERT INTO t SELECT g FROM generate_series(100001, 100010) g");
  const auto segment = server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
  job.archive_everything();
  (void)server.sql("INSERT INTO t SELECT g FROM generate_series(200001, 200010) g");
  job.archive_everything();
  std::string found;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(job.repository() + "/wal")) {
    if (entry.path().filename() == segment) found = entry.path();
  }
  ASSERT_FALSE(found.empty()) << segment;
  std::filesystem::remove(found);
  const auto gap = job.walvault({"verify", "--present", "--json"});
  EXPECT_EQ(gap.exit_code, 5);
  EXPECT_EQ(nlohmann::json::parse(gap.out)["verify"]["gaps"].size(), 1u);
}

TEST(VerifyCommand, RefusesWhatContradictsItself) {
  MainJob job(15);
  EXPECT_EQ(job.walvault({"verify", "--present", "--deep"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"verify", "--present", "--sample", "5%"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"verify", "--sample", "0"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"verify", "--max-age", "soon"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"verify", "--backup", "none"}).exit_code, 3);
  EXPECT_EQ(job.walvault({"verify"}).exit_code, 0);
  (void)job.backup();
  EXPECT_EQ(job.walvault({"verify", "--sample", "50%", "--max-rate", "500MB"}).exit_code, 0);
}

}  // namespace
}  // namespace walvault
