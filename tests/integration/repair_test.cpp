// A repository that lost objects, mended from another one and from itself, with a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/filesystem.hpp>

#include "support/main_job.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using ::testing::HasSubstr;

class RepairedRepository : public ::testing::Test {
 protected:
  RepairedRepository() : job_(usual_major) {
    (void)job_.server().sql(
        "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    (void)job_.backup();
    (void)job_.server().sql(
        "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 20000) g");
    (void)job_.backup();
    job_.archive_everything();
    EXPECT_EQ(job_.walvault({"init", "--repo", other_}).exit_code, 0);
    EXPECT_EQ(job_.walvault({"copy", "--to", other_}).exit_code, 0);
  }

  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    const fs::path root(job_.repository());
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const auto key = fs::relative(entry.path(), root).string();
      if (fs::is_regular_file(entry) && !key.starts_with("tmp/")) found.push_back(key);
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  [[nodiscard]] std::string path_of(const std::string& key) const {
    return job_.repository() + "/" + key;
  }
  void expect_whole(const std::string& key) {
    const auto verified = job_.walvault({"verify", "--deep"});
    EXPECT_EQ(verified.exit_code, 0) << key << ": " << verified.text();
  }
  // Made again where they are needed; the server's notes of backups, which nobody reads; WAL before
  // the first backup, which nobody needs and no copy brings.
  [[nodiscard]] bool is_left_out(const std::string& key) const {
    for (const auto* prefix : {"pins/", "verified/", "wal-ledger/", "unfinished/"}) {
      if (key.starts_with(prefix)) return true;
    }
    if (key.ends_with(".backup")) return true;
    return key.starts_with("wal/") && !fs::exists(other_ + "/" + key);
  }

  MainJob job_;
  const std::string other_ = job_.directory().path("other");
};

TEST_F(RepairedRepository, ComesBackFromTheLossOfAnyObject) {
  for (const auto& key : files()) {
    // Of two format objects each tells the same.
    if (is_left_out(key) || key.starts_with("format/")) continue;
    SCOPED_TRACE(key);
    fs::rename(path_of(key), job_.directory().path("lost"));
    const auto repaired = job_.walvault({"repair", "--from", other_});
    EXPECT_EQ(repaired.exit_code, 0) << repaired.text();
    EXPECT_THAT(repaired.out, HasSubstr(key));
    ASSERT_TRUE(fs::exists(path_of(key))) << repaired.text();
    if (HasFailure()) return;
  }
  expect_whole("all");
  const auto server = job_.restore("restored", {});
  ASSERT_TRUE(server->wait_until_promoted()) << server->log();
  EXPECT_EQ(server->sql("SELECT count(*) FROM t"), "40000");
}

TEST_F(RepairedRepository, ComesBackFromAFlippedByteOfAnyObject) {
  std::size_t count = 0;
  for (const auto& key : files()) {
    if (is_left_out(key)) continue;
    SCOPED_TRACE(key);
    auto bytes = read_text(path_of(key));
    const auto at = (++count * 7919) % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ 0x20);
    write_text(path_of(key), bytes);
    EXPECT_EQ(job_.walvault({"verify"}).exit_code, 5) << "byte " << at;
    const auto repaired = job_.walvault({"repair", "--from", other_});
    EXPECT_EQ(repaired.exit_code, 0) << "byte " << at << ": " << repaired.text();
    if (HasFailure()) return;
  }
  expect_whole("all");
}

TEST_F(RepairedRepository, ShowsWhatNothingLeadsTo) {
  const auto registration = path_of("clusters/main/1");
  fs::rename(registration, job_.directory().path("lost"));
  const auto shown = job_.walvault({"info"});
  EXPECT_EQ(shown.exit_code, 5) << shown.text();
  EXPECT_THAT(shown.err, HasSubstr("the registration of cluster main is lost"));
  const auto all = run({MainJob::binary("walvault"), "--repo", job_.repository(), "info"}, {},
                       job_.directory().path());
  EXPECT_EQ(all.exit_code, 5) << all.text();
  EXPECT_THAT(all.out, HasSubstr("clusters/main/1 is missing"));
  EXPECT_EQ(job_.walvault({"verify"}).exit_code, 5);
  const auto planned = job_.walvault({"repair", "--dry-run"});
  EXPECT_THAT(planned.out, HasSubstr("Would be mended"));
  EXPECT_FALSE(fs::exists(registration));
  // Of itself: the backups say whose they are.
  EXPECT_EQ(job_.walvault({"repair"}).exit_code, 0);
  EXPECT_EQ(job_.walvault({"info"}).exit_code, 0);
  (void)job_.backup();
}

TEST_F(RepairedRepository, GetsItsIdBackFromThisMachine) {
  const auto id = job_.walvault_json({"info"})["repository"]["id"].get<std::string>();
  fs::remove_all(path_of("format"));
  const auto refused = job_.walvault({"info"});
  EXPECT_EQ(refused.exit_code, 6) << refused.text();
  EXPECT_THAT(refused.err, HasSubstr("has lost its format object: walvault repair"));
  EXPECT_EQ(job_.walvault({"repair"}).exit_code, 0);
  EXPECT_EQ(job_.walvault_json({"info"})["repository"]["id"], id);
  // Nobody knows it.
  fs::remove_all(path_of("format"));
  fs::remove_all(job_.directory().path("state"));
  const auto repaired = job_.walvault({"repair"});
  EXPECT_EQ(repaired.exit_code, 0) << repaired.text();
  EXPECT_THAT(repaired.err, HasSubstr("check --accept-repository"));
  EXPECT_NE(job_.walvault_json({"info"})["repository"]["id"], id);
  fs::remove_all(path_of("format"));
  EXPECT_EQ(job_.walvault({"repair", "--id", id}).exit_code, 0);
  EXPECT_EQ(job_.walvault_json({"info"})["repository"]["id"], id);
}

TEST_F(RepairedRepository, IsMendedByVerifyWhereAnotherOneIsConfigured) {
  for (const auto& key : files()) {
    if (key.starts_with("packs/")) {
      fs::remove(path_of(key));
      break;
    }
  }
  EXPECT_EQ(job_.walvault({"verify", "--repair"}).exit_code, 2) << "there is no other";
  const auto config = job_.directory().path("both.toml");
  write_text(config, "[repository]\nurl = \"" + job_.repository() + "\"\n[repository.2]\nurl = \"" +
                         other_ + "\"\n");
  give_to_server_user(config);
  const auto verified = job_.start({"walvault", "--config", config, "verify", "--repair"})->wait();
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  EXPECT_THAT(verified.out, HasSubstr("Mended:"));
  expect_whole("a pack");
}

}  // namespace
}  // namespace walvault
