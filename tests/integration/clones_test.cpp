// Copies of what the repository has already: another cluster made from a backup, a
// database made from a template.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/main_job.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ClonesTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, ClonesTest, ::testing::Values(14, 18), name_of_major);

std::uint64_t stored_bytes(const nlohmann::json& backup) {
  return backup.at("stored_bytes").get<std::uint64_t>();
}

// Text that does not compress to nothing.
constexpr auto make_table =
    "CREATE TABLE t AS SELECT i, md5(i::text) || md5((-i)::text) AS text "
    "FROM generate_series(1, 150000) i";

TEST_P(ClonesTest, AnotherClusterMadeFromABackupIsNotStoredAgain) {
  MainJob job(GetParam());
  (void)job.server().sql(make_table);
  const auto first = job.backup();
  job.archive_everything();
  const auto clone = job.restore("clone", {});
  ASSERT_TRUE(clone->wait_until_promoted()) << clone->log();
  const auto add = job.walvault(
      {"cluster", "add", "staging", "--pg", clone->conninfo(), "--cluster", "staging"});
  ASSERT_EQ(add.exit_code, 0) << add.text();
  (void)clone->sql("CREATE TABLE of_the_clone AS SELECT 1 AS one");

  const auto run = job.walvault(
      {"backup", "--cluster", "staging", "--pg", clone->conninfo(), "--wal", "stream", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.text();
  EXPECT_THAT(run.err, HasSubstr("cluster main"));
  const auto backup = nlohmann::json::parse(run.out).at("backup");
  EXPECT_LE(stored_bytes(backup), stored_bytes(first) / 50) << run.out;
  EXPECT_THAT(run.out, Not(HasSubstr(first.at("id").get<std::string>())))
      << "which is no backup of that cluster";

  // It stands by itself: the other cluster's backups may go.
  const auto deleted = job.walvault(
      {"backups", "delete", first.at("id").get<std::string>(), "--yes", "--cluster", "main"});
  ASSERT_EQ(deleted.exit_code, 0) << deleted.text();
  ASSERT_EQ(job.walvault({"gc", "--grace", "0s"}).exit_code, 0);
  const auto restored = job.restore("restored", {"--cluster", "staging"});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(restored->sql("SELECT count(*), md5(string_agg(text, '' ORDER BY i)) FROM t"),
            job.server().sql("SELECT count(*), md5(string_agg(text, '' ORDER BY i)) FROM t"));
  EXPECT_EQ(restored->sql("SELECT one FROM of_the_clone"), "1");
}

TEST_P(ClonesTest, ADatabaseMadeFromATemplateIsStoredAsDifferences) {
  MainJob job(GetParam());
  (void)job.server().sql("CREATE DATABASE app");
  (void)job.server().sql(make_table, "app");
  const auto first = job.backup();
  // From 15 on each page of the copy has a log position of its own.
  (void)job.server().sql("CREATE DATABASE staging TEMPLATE app");
  const auto second = job.backup();
  EXPECT_GT(second.at("size_bytes").get<std::uint64_t>(),
            first.at("size_bytes").get<std::uint64_t>() + 10'000'000);
  EXPECT_LE(stored_bytes(second), stored_bytes(first) / 10);
  job.archive_everything();
  const auto restored = job.restore("restored", {});
  ASSERT_TRUE(restored->wait_until_promoted()) << restored->log();
  EXPECT_EQ(
      restored->sql("SELECT count(*), md5(string_agg(text, '' ORDER BY i)) FROM t", "staging"),
      job.server().sql("SELECT count(*), md5(string_agg(text, '' ORDER BY i)) FROM t", "app"));
}

}  // namespace
}  // namespace walvault
