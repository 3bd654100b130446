// Buckets that keep versions, that lock objects, that allow less than all, and whose
// objects somebody exchanged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "storage/s3/s3_storage.h"
#include "support/deterministic.h"
#include "support/main_job.h"
#include "support/s3_bucket.h"

namespace walvault {
namespace {

using testing::HasSubstr;

// A server whose backups are copied to a bucket, the second repository of its file.
class BucketTest : public testing::Test {
 protected:
  BucketTest() {
    auto& server = job_.server();
    (void)server.sql(
        "CREATE TABLE t AS SELECT g AS n, repeat(md5(g::text), 20) AS text"
        " FROM generate_series(1, 20000) g");
    rows_ = server.sql("SELECT count(*), sum(hashtext(text)) FROM t");
    (void)job_.backup();
    job_.archive_everything();
  }

  // Where objects are locked that is so from the beginning.
  void make_bucket(bool locked = false) {
    settings_ = {.bucket = "b" + to_hex(system_randomness().id()).substr(0, 16),
                 .prefix = "off-site",
                 .endpoint = ObjectStore::shared().endpoint(),
                 .path_style = true};
    client_ = std::make_unique<S3Client>(settings_, test_credentials, system_clock());
    S3Request request{.action = S3Action::put, .method = "PUT"};
    if (locked) request.headers["x-amz-bucket-object-lock-enabled"] = "true";
    expect_done(request);
    storage_ = std::make_unique<S3Storage>(settings_, test_credentials, system_clock());
    const auto config = job_.directory().path("off-site.toml");
    write_text(config, "[repository]\nurl = \"" + job_.repository() +
                           "\"\n[repository.2]\nurl = \"s3://" + settings_.bucket +
                           "/off-site\"\nendpoint = \"" + settings_.endpoint +
                           "\"\nallow_http = true\naccess_key_id = \"" + ObjectStore::access_key +
                           "\"\nsecret_access_key = \"" + ObjectStore::secret_key +
                           "\"\nretry_for = \"1s\"\n[cache]\npath = \"" +
                           job_.directory().path("cache") + "\"\n");
    give_to_server_user(config);
    ::chmod(config.c_str(), 0600);
    config_ = config;
  }
  void expect_done(const S3Request& request) {
    const auto response = client_->send(request);
    EXPECT_LT(response.status, 300) << client_->failure(request, response).detail();
  }
  // Sets a property of the bucket.
  void set(const std::string& what, const std::string& document) {
    const Bytes bytes(document.begin(), document.end());
    S3Request request{.action = S3Action::put, .method = "PUT", .query = {{what, ""}}};
    request.content = ObjectContent(bytes);
    expect_done(request);
  }
  // What nobody may do any more, whoever it is.
  void deny(const std::string& action) {
    set("policy",
        R"({"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":")" +
            action + R"(","Resource":["arn:aws:s3:::)" + settings_.bucket + R"(","arn:aws:s3:::)" +
            settings_.bucket + R"(/*"]}]})");
  }
  // In place of what is there.
  void overwrite(const std::string& key, const Bytes& bytes) {
    S3Request request{.action = S3Action::put, .method = "PUT", .key = "off-site/" + key};
    request.content = ObjectContent(bytes);
    expect_done(request);
  }
  [[nodiscard]] Outcome walvault(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--config", config_});
    return job_.walvault(arguments);
  }
  [[nodiscard]] Outcome there(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--repo", "2"});
    return walvault(std::move(arguments));
  }
  void run(const Outcome& outcome) { ASSERT_EQ(outcome.exit_code, 0) << outcome.text(); }
  void copy() {
    run(there({"init"}));
    run(walvault({"copy", "--to", "2"}));
  }
  [[nodiscard]] std::vector<std::string> keys_under(const std::string& prefix) {
    std::vector<std::string> keys;
    storage_->list(prefix, [&](const ObjectInfo& object) { keys.push_back(object.key); });
    return keys;
  }
  void expect_restorable(const std::string& name) {
    run(there({"restore", "--pgdata", job_.directory().path(name)}));
    const auto server = job_.server_in(name);
    ASSERT_TRUE(server->start()) << server->log();
    ASSERT_TRUE(server->wait_until_promoted()) << server->log();
    EXPECT_EQ(server->sql("SELECT count(*), sum(hashtext(text)) FROM t"), rows_);
    server->stop();
  }

  MainJob job_{15};
  std::string rows_;
  S3Settings settings_;
  std::unique_ptr<S3Client> client_;
  std::unique_ptr<S3Storage> storage_;
  std::string config_;
};

TEST_F(BucketTest, VersionsAreKeptAndDeletionsAreMarkers) {
  make_bucket();
  set("versioning",
      "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<Status>Enabled</Status></VersioningConfiguration>");
  copy();
  const auto packs = keys_under("packs/").size();
  EXPECT_GT(packs, 0u);
  (void)job_.server().sql("UPDATE t SET text = md5(text)");
  rows_ = job_.server().sql("SELECT count(*), sum(hashtext(text)) FROM t");
  (void)job_.backup();
  job_.archive_everything();
  run(walvault({"copy", "--to", "2"}));
  run(there({"expire", "--keep-last", "1"}));
  // Ceph's gateway heeds no condition where it keeps versions, and that is found out.
  run(there({"gc", "--grace", "0s", "--exclusive"}));
  run(there({"verify", "--deep"}));
  run(walvault({"copy", "--to", "2"}));
  expect_restorable("restored");
}

TEST_F(BucketTest, LockedObjectsAreNeverOverwritten) {
  make_bucket(true);
  set("object-lock",
      "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
      "<Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>");
  copy();
  (void)job_.backup();
  job_.archive_everything();
  run(walvault({"copy", "--to", "2"}));
  run(there({"expire", "--keep-last", "1"}));
  run(there({"gc", "--grace", "0s", "--exclusive"}));
  run(there({"verify"}));
  expect_restorable("restored");
}

TEST_F(BucketTest, NamesThePermissionThatIsMissing) {
  make_bucket();
  copy();
  (void)job_.backup();
  job_.archive_everything();
  const auto refused = [&](const Outcome& outcome, const std::string& permission) {
    EXPECT_EQ(outcome.exit_code, 6) << outcome.text();
    EXPECT_THAT(outcome.err, HasSubstr(permission));
  };
  deny("s3:PutObject");
  refused(walvault({"copy", "--to", "2"}), "s3:PutObject");
  deny("s3:GetObject");
  refused(there({"info"}), "s3:GetObject");
  refused(there({"restore", "--pgdata", job_.directory().path("r")}), "s3:GetObject");
  deny("s3:ListBucket");
  refused(there({"info"}), "s3:ListBucket");
  deny("s3:DeleteObject");
  // Who copies need not delete.
  run(walvault({"copy", "--to", "2"}));
  refused(there({"expire", "--keep-last", "1"}), "s3:DeleteObject");
  run(there({"verify"}));
  expect_restorable("restored");
}

TEST_F(BucketTest, ToldIsAClockThatIsWrong) {
  make_bucket();
  for (const auto off : {std::chrono::hours(1), std::chrono::hours(-1)}) {
    FakeClock clock(system_clock().now() + off);
    S3Storage storage(settings_, test_credentials, clock);
    try {
      (void)storage.list_names("clusters/");
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unavailable);
      EXPECT_THAT(error.detail(), HasSubstr("This machine's clock says"));
      EXPECT_THAT(error.hint(), HasSubstr("Set this machine's clock"));
    }
  }
}

TEST_F(BucketTest, AlteredAndExchangedObjectsAreFound) {
  make_bucket();
  copy();
  const auto packs = keys_under("packs/");
  ASSERT_GE(packs.size(), 2u);
  const auto first = storage_->find(packs[0], whole_object).value();
  const auto second = storage_->find(packs[1], whole_object).value();
  const auto root_key = keys_under("backups/").at(0);
  const auto root = storage_->find(root_key, whole_object).value();
  const auto damaged = [&](const std::string& says) {
    const auto verified = there({"verify"});
    EXPECT_EQ(verified.exit_code, 5) << verified.text();
    EXPECT_THAT(verified.text(), HasSubstr(says));
    // A root that this machine has seen whole is whole.
    std::filesystem::remove_all(job_.directory().path("cache"));
    const auto restored = there({"restore", "--pgdata", job_.directory().path("r")});
    EXPECT_NE(restored.exit_code, 0) << restored.text();
    std::filesystem::remove_all(job_.directory().path("r"));
  };
  overwrite(packs[0], second);
  overwrite(packs[1], first);
  damaged(packs[0]);
  overwrite(packs[0], first);
  overwrite(packs[1], second);
  auto altered = root;
  altered[altered.size() / 2] ^= 8;
  overwrite(root_key, altered);
  damaged(root_key);
  overwrite(root_key, root);
  run(there({"verify", "--deep"}));
  expect_restorable("restored");
}

}  // namespace
}  // namespace walvault
