#include "app/object_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/file.h"
#include "support/errors.h"
#include "support/temporary_directory.h"

namespace walvault {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ObjectStoreSettings : public testing::Test {
 protected:
  ObjectStoreSettings() { clear(); }
  ~ObjectStoreSettings() override { clear(); }

  static void clear() {
    for (const char* name :
         {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
          "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE",
          "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}) {
      ::unsetenv(name);
    }
  }
  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
  [[nodiscard]] std::string write(const std::string& content, mode_t mode = 0600) const {
    auto path = directory_.path("file");
    replace_file_durably(path, as_bytes(content), mode);
    ::chmod(path.c_str(), mode);
    return path;
  }
  [[nodiscard]] Error refused_url(const std::string& url) const {
    SCOPED_TRACE(url);
    return expect_error(ErrorKind::usage, [&] { (void)object_store_settings(url, config_); });
  }
  [[nodiscard]] Error refused_credentials(ErrorKind kind = ErrorKind::usage) const {
    return expect_error(kind, [&] { (void)load_credentials(config_); });
  }

  TemporaryDirectory directory_;
  ObjectStoreConfig config_;
};

TEST_F(ObjectStoreSettings, AreAwsWhereNothingElseIsSaid) {
  const auto settings = object_store_settings("s3://bucket", config_);
  EXPECT_EQ(settings.bucket, "bucket");
  EXPECT_EQ(settings.prefix, "");
  EXPECT_EQ(settings.endpoint, "");
  EXPECT_EQ(settings.region, "us-east-1");
  EXPECT_FALSE(settings.path_style);
}

TEST_F(ObjectStoreSettings, TakeThePrefixWithoutSlashesAroundIt) {
  EXPECT_EQ(object_store_settings("s3://bucket/team/db/", config_).prefix, "team/db");
  EXPECT_EQ(object_store_settings("s3://bucket/", config_).prefix, "");
}

TEST_F(ObjectStoreSettings, RefuseWhatIsNoPlace) {
  for (const auto* url : {"s3://", "s3:///x", "s3://Bucket", "s3://b", "s3://bucket/../x",
                          "s3://bucket/a//b", "s3://bucket/.hidden", "s3://bucket/a b"}) {
    EXPECT_THAT(refused_url(url).message(), HasSubstr(url));
  }
}

TEST_F(ObjectStoreSettings, RefuseKeysInTheUrlWithoutRepeatingThem) {
  const auto error = refused_url("s3://KEY:SECRET@bucket/x");
  EXPECT_THAT(error.message() + error.detail() + error.hint(), Not(HasSubstr("SECRET")));
}

TEST_F(ObjectStoreSettings, AreByPathWithAnEndpointOrDots) {
  EXPECT_TRUE(object_store_settings("s3://my.bucket", config_).path_style);
  config_.endpoint = "minio.example:9000/";
  const auto settings = object_store_settings("s3://bucket", config_);
  EXPECT_TRUE(settings.path_style);
  EXPECT_EQ(settings.endpoint, "https://minio.example:9000");
  config_.path_style = false;
  EXPECT_FALSE(object_store_settings("s3://bucket", config_).path_style);
}

TEST_F(ObjectStoreSettings, RefuseHttpUnlessItIsAllowed) {
  config_.endpoint = "http://10.0.0.1";
  EXPECT_THAT(refused_url("s3://bucket").hint(), HasSubstr("allow_http"));
  config_.allow_http = true;
  EXPECT_EQ(object_store_settings("s3://bucket", config_).endpoint, "http://10.0.0.1");
}

TEST_F(ObjectStoreSettings, RefuseAnEndpointThatIsMoreThanAHost) {
  for (const auto* endpoint :
       {"https://host/path", "ftp://host", "https://user@host", "https://"}) {
    config_.endpoint = endpoint;
    EXPECT_THAT(refused_url("s3://bucket").message(), HasSubstr("endpoint"));
  }
}

TEST_F(ObjectStoreSettings, DoNotRepeatKeysInAnEndpoint) {
  config_.endpoint = "https://KEY:SECRET@host";
  const auto error = refused_url("s3://bucket");
  EXPECT_THAT(error.message() + error.detail() + error.hint(), Not(HasSubstr("SECRET")));
}

TEST_F(ObjectStoreSettings, ComeFromTheEnvironmentWhereTheFileIsSilent) {
  set("AWS_ENDPOINT_URL", "https://one");
  set("AWS_ENDPOINT_URL_S3", "https://two");
  set("AWS_DEFAULT_REGION", "eu-west-1");
  set("AWS_CA_BUNDLE", "/ca");
  auto settings = object_store_settings("s3://bucket", config_);
  EXPECT_EQ(settings.endpoint, "https://two");
  EXPECT_EQ(settings.region, "eu-west-1");
  EXPECT_EQ(settings.http.ca_file, "/ca");
  config_.endpoint = "https://three";
  config_.region = "sa-east-1";
  config_.ca_file = "/other";
  settings = object_store_settings("s3://bucket", config_);
  EXPECT_EQ(settings.endpoint, "https://three");
  EXPECT_EQ(settings.region, "sa-east-1");
  EXPECT_EQ(settings.http.ca_file, "/other");
}

TEST_F(ObjectStoreSettings, TakeTheConfiguredKeysFirst) {
  set("AWS_ACCESS_KEY_ID", "E");
  set("AWS_SECRET_ACCESS_KEY", "es");
  set("AWS_SESSION_TOKEN", "et");
  const auto from_environment = load_credentials(config_);
  EXPECT_EQ(
      from_environment.access_key + from_environment.secret_key + from_environment.session_token,
      "Eeset");
  config_.access_key_id = "C";
  config_.secret_access_key = "cs";
  const auto configured = load_credentials(config_);
  EXPECT_EQ(configured.access_key + configured.secret_key + configured.session_token, "Ccs");
}

TEST_F(ObjectStoreSettings, RefuseHalfAPair) {
  set("AWS_ACCESS_KEY_ID", "E");
  EXPECT_THAT(refused_credentials().message(), HasSubstr("AWS_SECRET_ACCESS_KEY"));
  config_.secret_access_key = "cs";
  EXPECT_THAT(refused_credentials().detail() + refused_credentials().hint(),
              HasSubstr("access_key_id"));
}

TEST_F(ObjectStoreSettings, ReadTheSharedFile) {
  set("AWS_SHARED_CREDENTIALS_FILE",
      write("# of AWS\n[default]\naws_access_key_id = D\naws_secret_access_key=ds\n\n"
            "[other.one]\n aws_access_key_id=O \r\naws_secret_access_key = o=s/+\n"
            "aws_session_token = ot\nregion = x\n"));
  EXPECT_EQ(load_credentials(config_).access_key, "D");
  EXPECT_EQ(load_credentials(config_).secret_key, "ds");
  set("AWS_PROFILE", "other.one");
  const auto other = load_credentials(config_);
  EXPECT_EQ(other.access_key, "O");
  EXPECT_EQ(other.secret_key, "o=s/+");
  EXPECT_EQ(other.session_token, "ot");
  config_.profile = "none";
  EXPECT_THAT(refused_credentials().message(), HasSubstr("[none]"));
}

TEST_F(ObjectStoreSettings, RefuseASharedFileThatEverybodyReads) {
  config_.credentials_file = write("[default]\naws_access_key_id = D\n", 0604);
  EXPECT_EQ(refused_credentials().hint(), "chmod o-rwx " + *config_.credentials_file);
}

TEST_F(ObjectStoreSettings, SayWhereCredentialsWereLookedFor) {
  set("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
  EXPECT_THAT(refused_credentials().detail(), HasSubstr("/nowhere"));
  config_.credentials_file = "/elsewhere";
  EXPECT_THAT(refused_credentials().message(), HasSubstr("/elsewhere"));
}

TEST_F(ObjectStoreSettings, AskACommand) {
  config_.credentials_command =
      R"(echo '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T",)"
      R"( "Expiration": "2026-11-22T10:00:00.123456789Z"}')";
  const auto credentials = load_credentials(config_);
  EXPECT_EQ(credentials.access_key + credentials.secret_key + credentials.session_token, "AST");
  EXPECT_EQ(credentials.expires, parse_timestamp("2026-11-22 10:00:00Z"));
}

TEST_F(ObjectStoreSettings, DoNotRepeatWhatACommandPrinted) {
  for (const auto* command : {"echo SECRE''T", "echo '{\"AccessKeyId\": \"SECRE''T\"}'; exit 3",
                              "echo '[\"SECRE''T\"]'"}) {
    config_.credentials_command = command;
    const auto error = refused_credentials(ErrorKind::unavailable);
    EXPECT_THAT(error.message() + error.detail() + error.hint(), Not(HasSubstr("SECRET")));
  }
}

}  // namespace
}  // namespace walvault
