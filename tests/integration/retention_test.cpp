// What goes and what stays, on a real server: retention, space, and that what stays
// is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/main_job.h"

namespace walvault {
namespace {

using ::testing::HasSubstr;

class RetentionOnAServer : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Majors, RetentionOnAServer, ::testing::Values(13, 18), name_of_major);

std::vector<std::string> ids_in(const nlohmann::json& cluster) {
  std::vector<std::string> ids;
  for (const auto& backup : cluster["backups"]) ids.push_back(backup["id"]);
  return ids;
}

// Expired is the WAL between two backups that stay, here and in a copy.
void expect_nothing_lost(MainJob& job, const nlohmann::json& gaps) {
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0]["expired"], true);
  const auto other = job.directory().path("other");
  ASSERT_EQ(job.walvault({"init", "--repo", other}).exit_code, 0);
  (void)job.walvault_json({"copy", "--to", other});
  EXPECT_EQ(job.walvault_json({"info", "--repo", other})["clusters"][0]["gaps"], gaps);
  EXPECT_THAT(job.walvault({"info", "--repo", other}).out, HasSubstr("no backup needs"));
}

TEST_P(RetentionOnAServer, WhatStaysIsWholeAndTheSpaceComesBack) {
  MainJob job(GetParam());
  auto& server = job.server();
  (void)server.sql("CREATE TABLE t (id int PRIMARY KEY, filler text)");
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    (void)server.sql("TRUNCATE t");
    (void)server.sql("INSERT INTO t SELECT g, md5((g * " + std::to_string(i + 7) +
                     ")::text) || repeat('x', 200) FROM generate_series(1, 20000) g");
    ids.push_back(job.backup()["id"]);
    job.archive_everything();
  }
  auto shown = job.walvault_json({"expire", "--dry-run", "--keep-last", "2"})["expire"];
  EXPECT_EQ(shown["expired"], false);
  EXPECT_EQ(shown["backups"][0]["stays"], false);
  EXPECT_EQ(shown["backups"][3]["stays"], true);
  EXPECT_GT(shown["segments"], 0);
  EXPECT_EQ(ids_in(job.walvault_json({"info"})["clusters"][0]), ids);

  // The second is kept by decision; the policy would let it go.
  (void)job.walvault_json({"backups", "keep", ids[1], "--for", "30d"});
  shown = job.walvault_json({"expire", "--keep-last", "2"})["expire"];
  EXPECT_EQ(shown["expired"], true);
  EXPECT_EQ(shown["segments_removed"], shown["segments"]);
  EXPECT_EQ(shown["wal_left"], "");
  const auto info = job.walvault_json({"info"});
  const auto& cluster = info["clusters"][0];
  EXPECT_EQ(ids_in(cluster), (std::vector<std::string>{ids[1], ids[2], ids[3]}));
  EXPECT_EQ(cluster["windows"], shown["windows"]);
  EXPECT_EQ(cluster["windows"].size(), 2u);
  expect_nothing_lost(job, cluster["gaps"]);

  // A backup that fails behind its packs: nothing refers to them.
  (void)server.sql("ALTER SYSTEM SET archive_command = 'false'");
  (void)server.sql("SELECT pg_reload_conf()");
  (void)server.sql("UPDATE t SET filler = 'never'");
  const auto failed = job.walvault(
      {"backup", "--pg", server.conninfo(), "--wal", "archive", "--wal-timeout", "1s"});
  EXPECT_EQ(failed.exit_code, 6) << failed.err;
  const auto stored = [&] {
    return job.walvault_json({"info"})["repository"]["stored_bytes"].get<std::int64_t>();
  };
  const auto before = stored();
  const auto gc = job.walvault_json({"gc", "--grace", "0s"})["gc"];
  EXPECT_EQ(gc["running"].size(), 0u);
  EXPECT_GT(gc["dead_packs"], 0);
  EXPECT_EQ(gc["deleted_packs"], gc["dead_packs"]);
  // But for what little is new.
  EXPECT_LE(stored(), before - gc["deleted_bytes"].get<std::int64_t>() + 1000);

  // Each that stays, as it was when it was taken; and the newest to its end.
  for (const std::size_t i : {1u, 2u, 3u}) {
    auto restored = job.restore("as-" + std::to_string(i), {"--backup", ids[i], "--to-immediate"});
    EXPECT_EQ(restored->sql("SELECT filler FROM t WHERE id = 11"),
              restored->sql("SELECT md5((11 * " + std::to_string(i + 7) +
                            ")::text) || repeat('x', 200)"));
    EXPECT_EQ(restored->sql("SELECT count(*) FROM t"), "20000");
    restored->stop();
  }
  auto latest = job.restore("latest", {"--backup", ids[3]});
  EXPECT_EQ(latest->sql("SELECT filler FROM t WHERE id = 11"),
            latest->sql("SELECT md5((11 * 10)::text) || repeat('x', 200)"));
  const auto gone =
      job.walvault({"restore", "--backup", ids[0], "--pgdata", job.directory().path("gone")});
  EXPECT_EQ(gone.exit_code, 3) << gone.err;
}

TEST(RetentionCommands, RefuseWhatWouldHurt) {
  MainJob job(15);
  const auto none = job.walvault({"expire"});
  EXPECT_EQ(none.exit_code, 0) << none.err;
  EXPECT_THAT(none.err, HasSubstr("no retention policy"));
  const std::string first = job.backup({"--keep-for", "forever"})["id"];
  const std::string second = job.backup()["id"];

  auto refused = job.walvault({"backups", "delete", first});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("kept for ever"));
  refused = job.walvault({"backups", "delete", second});
  EXPECT_EQ(refused.exit_code, 2) << "the last that can be restored";
  EXPECT_EQ(job.walvault({"backups", "delete", "none"}).exit_code, 3);
  EXPECT_EQ(job.walvault({"backups", "keep", "none", "--for", "1d"}).exit_code, 3);
  EXPECT_EQ(job.walvault({"backups", "keep", first, "--for", "soon"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"backups", "keep", first}).exit_code, 2);
  EXPECT_EQ(job.walvault({"expire", "--keep-last", "many"}).exit_code, 2);
  EXPECT_EQ(job.walvault({"gc", "--grace", "soon"}).exit_code, 2);
  // Else a loss would be shown as what expire has deleted.
  EXPECT_EQ(job.walvault({"window", "accept-gap", "--reason", "expired", "--yes"}).exit_code, 2);

  EXPECT_EQ(job.walvault({"backups", "keep", first, "--for", "0d"}).exit_code, 0);
  const auto deleted = job.walvault({"backups", "delete", first, "--yes"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_EQ(ids_in(job.walvault_json({"info"})["clusters"][0]), std::vector<std::string>{second});
}

TEST(RetentionCommands, ABackupExpiresWhatThePolicyLetsGo) {
  MainJob job(15);
  const auto config = job.directory().path("walvault.toml");
  write_text(config, "[cluster.main]\nkeep_last = 1\nexpire = true\n");
  const std::string first = job.backup({"--config", config})["id"];
  const auto second =
      job.walvault_json({"backup", "--config", config, "--pg", job.server().conninfo()});
  EXPECT_EQ(second["expire"]["expired"], true);
  EXPECT_EQ(second["expire"]["backups"][0]["id"], first);
  EXPECT_EQ(second["expire"]["backups"][0]["stays"], false);
  EXPECT_EQ(ids_in(job.walvault_json({"info"})["clusters"][0]),
            std::vector<std::string>{second["backup"]["id"]});
}

}  // namespace
}  // namespace walvault
