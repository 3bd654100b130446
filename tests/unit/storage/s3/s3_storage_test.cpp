// What a store, or something that stands between, may answer.
#include "storage/s3/s3_storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "storage/decorators/retrying_storage.h"
#include "support/deterministic.h"
#include "support/errors.h"
#include "support/http_server.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

HttpReply error_reply(int status, const std::string& code, const std::string& more = "") {
  return {.status = status,
          .body = "<?xml version=\"1.0\"?><Error><Code>" + code +
                  "</Code><Message>words</Message>" + more + "</Error>"};
}
const HttpReply stored{.status = 200, .headers = {{"ETag", "\"x\""}}};
const HttpReply taken = error_reply(412, "PreconditionFailed");

// One after another; the last one again and again.
class AnsweringStore : public testing::Test {
 protected:
  void answer(std::deque<HttpReply> replies) {
    const std::scoped_lock lock(mutex_);
    replies_ = std::move(replies);
    calls_.clear();
  }
  [[nodiscard]] std::vector<HttpCall> calls() {
    const std::scoped_lock lock(mutex_);
    return calls_;
  }

  [[nodiscard]] S3Settings settings() const {
    S3Settings settings{.bucket = "bucket", .prefix = "p", .endpoint = server_.endpoint()};
    settings.path_style = true;
    settings.http.stall_timeout = std::chrono::seconds(2);
    return settings;
  }

  [[nodiscard]] std::unique_ptr<S3Storage> new_storage() {
    return std::make_unique<S3Storage>(
        settings(),
        [this] {
          return S3Credentials{.access_key = "KEY" + std::to_string(++loads_),
                               .secret_key = "the-secret",
                               .session_token = "the-token",
                               .expires = expires_};
        },
        clock_);
  }

  std::mutex mutex_;
  std::deque<HttpReply> replies_{taken};
  std::vector<HttpCall> calls_;
  HttpServer server_{[this](const HttpCall& call) {
    const std::scoped_lock lock(mutex_);
    calls_.push_back(call);
    auto reply = replies_.front();
    if (replies_.size() > 1) replies_.pop_front();
    return reply;
  }};
  FakeClock clock_;
  int loads_ = 0;
  std::optional<Timestamp> expires_;
};

TEST_F(AnsweringStore, IsAskedNotToOverwriteAndSentAChecksum) {
  const auto storage = new_storage();
  answer({taken, stored});
  EXPECT_TRUE(storage->put_if_absent("a/b", as_bytes("content")));
  const auto put = calls().at(1);
  EXPECT_EQ(put.method + " " + put.target, "PUT /bucket/p/a/b");
  EXPECT_EQ(put.body, "content");
  EXPECT_EQ(put.headers.at("if-none-match"), "*");
  EXPECT_EQ(put.headers.at("x-amz-content-sha256"),
            "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73");
  EXPECT_EQ(put.headers.at("x-amz-security-token"), "the-token");
  EXPECT_THAT(put.headers.at("authorization"), HasSubstr("if-none-match;x-amz-content-sha256"));
  EXPECT_EQ(put.headers.count("expect"), 0u);
}

TEST_F(AnsweringStore, KeepsItsConnection) {
  const auto storage = new_storage();
  answer({taken, stored});
  for (int i = 0; i < 5; ++i) (void)storage->put_if_absent("a/b", as_bytes("content"));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(AnsweringStore, SaysThatAConditionWasHeeded) {
  const auto storage = new_storage();
  answer({stored, taken, stored});
  EXPECT_TRUE(storage->has_conditional_writes());
  EXPECT_EQ(calls().size(), 2u);
  EXPECT_EQ(calls().at(1).target, "/bucket/p/.conditional-writes");
}

TEST_F(AnsweringStore, IsFoundOutWhenItIgnoresConditions) {
  const auto storage = new_storage();
  answer({stored});
  EXPECT_FALSE(storage->has_conditional_writes());
}

TEST_F(AnsweringStore, IsFoundOutWhenItRefusesConditionsAndThenAskedForTheNameFirst) {
  const auto storage = new_storage();
  answer({error_reply(501, "NotImplemented"), error_reply(404, "NoSuchKey"), stored});
  EXPECT_TRUE(storage->put_if_absent("a", as_bytes("x")));
  EXPECT_EQ(calls().at(1).method, "GET");
  EXPECT_EQ(calls().at(2).headers.count("if-none-match"), 0u);
  answer(
      {{.status = 206, .headers = {{"ETag", "x"}, {"Content-Range", "bytes 0-0/1"}}, .body = "x"}});
  EXPECT_FALSE(storage->put_if_absent("a", as_bytes("x")));
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(AnsweringStore, IsAbsentOnlyWhereTheStoreSaysSo) {
  const auto storage = new_storage();
  answer({error_reply(404, "NoSuchKey")});
  EXPECT_EQ(storage->find("a", whole_object), std::nullopt);
  EXPECT_EQ(storage->find_size("a"), std::nullopt);
  const std::vector<HttpReply> others{error_reply(403, "AccessDenied"),
                                      error_reply(404, "NoSuchBucket"),
                                      {.status = 404, .body = "<html>Not found</html>"},
                                      {.status = 404},
                                      {.status = 204}};
  for (const auto& other : others) {
    answer({other});
    EXPECT_EQ(error_of([&] { (void)storage->find("a", whole_object); }), "unavailable");
    EXPECT_EQ(error_of([&] { (void)storage->find_size("a"); }), "unavailable");
  }
}

TEST_F(AnsweringStore, DoesNotPassAProxysPageForAnObject) {
  const auto storage = new_storage();
  answer({taken, {.status = 200, .body = "<html>Please log in</html>"}});
  EXPECT_EQ(error_of([&] { (void)storage->put_if_absent("a", as_bytes("x")); }), "unavailable");
  EXPECT_EQ(error_of([&] { (void)storage->find("a", whole_object); }), "unavailable");
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)storage->list_names("a/"); });
  EXPECT_THAT(error.detail(), HasSubstr("<html>Please log in"));
  EXPECT_THAT(error.hint(), HasSubstr("proxy"));
}

TEST_F(AnsweringStore, CutsWhatItSendsWhenItIgnoresTheRange) {
  const auto storage = new_storage();
  answer({{.status = 200, .headers = {{"ETag", "x"}}, .body = "0123456789"}});
  const auto found = storage->find("a", {.offset = 2, .length = 3});
  ASSERT_TRUE(found);
  EXPECT_EQ(as_text(*found), "234");
  EXPECT_EQ(storage->find_size("a"), 10u);
}

TEST_F(AnsweringStore, IsAskedAgainForWhatMayPass) {
  const std::vector<HttpReply> passing{
      error_reply(503, "SlowDown"),
      error_reply(500, "InternalError"),
      error_reply(429, "TooManyRequests"),
      error_reply(409, "ConditionalRequestConflict"),
      error_reply(400, "RequestTimeout"),
      error_reply(400, "XAmzContentSHA256Mismatch"),
      {.status = 502, .body = "<html/>"},
      {.status = 504},
      {.status = 200, .headers = {{"ETag", "x"}}, .body = "half of it", .cut_after = 4}};
  for (const auto& reply : passing) {
    RetryingStorage storage(new_storage(), clock_);
    answer({taken, reply, reply, stored});
    EXPECT_TRUE(storage.put_if_absent("a", as_bytes("x"))) << reply.status << reply.body;
    EXPECT_EQ(calls().size(), 4u);
  }
}

TEST_F(AnsweringStore, IsNotAskedAgainForWhatItMeans) {
  for (const auto& reply :
       {error_reply(403, "AccessDenied"), error_reply(403, "SignatureDoesNotMatch"),
        error_reply(404, "NoSuchBucket"), error_reply(400, "InvalidArgument")}) {
    RetryingStorage storage(new_storage(), clock_);
    answer({taken, reply});
    EXPECT_EQ(error_of([&] { (void)storage.put_if_absent("a", as_bytes("x")); }), "unavailable");
    EXPECT_EQ(calls().size(), 2u) << reply.body;
  }
}

TEST_F(AnsweringStore, IsFollowedIntoAnotherRegion) {
  const auto storage = new_storage();
  auto moved = error_reply(301, "PermanentRedirect");
  moved.headers["x-amz-bucket-region"] = "eu-central-1";
  answer({moved, taken});
  EXPECT_TRUE(storage->has_conditional_writes());
  EXPECT_THAT(calls().at(0).headers.at("authorization"), HasSubstr("/us-east-1/s3/"));
  EXPECT_THAT(calls().at(1).headers.at("authorization"), HasSubstr("/eu-central-1/s3/"));

  // AWS's other way to say it; and what leads nowhere ends.
  answer({error_reply(400, "AuthorizationHeaderMalformed", "<Region>sa-east-1</Region>"),
          error_reply(400, "AuthorizationHeaderMalformed", "<Region>us-west-2</Region>"),
          error_reply(400, "AuthorizationHeaderMalformed", "<Region>sa-east-1</Region>")});
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)storage->find_size("a"); });
  EXPECT_THAT(error.hint(), HasSubstr("region"));
  EXPECT_EQ(calls().size(), 3u);
}

TEST_F(AnsweringStore, IsGivenNewCredentialsWhenTheseRanOut) {
  const auto storage = new_storage();
  answer({taken, error_reply(400, "ExpiredToken"), stored});
  EXPECT_TRUE(storage->put_if_absent("a", as_bytes("x")));
  EXPECT_THAT(calls().at(1).headers.at("authorization"), HasSubstr("Credential=KEY1/"));
  EXPECT_THAT(calls().at(2).headers.at("authorization"), HasSubstr("Credential=KEY2/"));
}

TEST_F(AnsweringStore, IsGivenNewCredentialsBeforeTheseRunOut) {
  expires_ = clock_.now() + std::chrono::hours(1);
  const auto storage = new_storage();
  answer({taken, stored});
  (void)storage->put_if_absent("a", as_bytes("x"));
  EXPECT_EQ(loads_, 1);
  clock_.advance(std::chrono::minutes(56));
  expires_ = clock_.now() + std::chrono::hours(1);
  (void)storage->put_if_absent("a", as_bytes("x"));
  EXPECT_EQ(loads_, 2);
}

TEST_F(AnsweringStore, IsNotGivenTheSameExpiredCredentialsForEver) {
  S3Storage storage(
      settings(),
      [] {
        return S3Credentials{
            .access_key = "KEY", .secret_key = "s", .session_token = {}, .expires = {}};
      },
      clock_);
  answer({error_reply(400, "ExpiredToken")});
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)storage.find_size("a"); });
  EXPECT_THAT(error.hint(), HasSubstr("session token"));
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(AnsweringStore, IsToldOfWithoutSecrets) {
  const auto storage = new_storage();
  for (const auto& reply :
       {error_reply(403, "SignatureDoesNotMatch", "<StringToSign>the-secret</StringToSign>"),
        error_reply(403, "RequestTimeTooSkewed"), error_reply(400, "ExpiredToken"),
        error_reply(403, "AccessDenied")}) {
    answer({reply});
    const auto error = expect_error(ErrorKind::unavailable, [&] { (void)storage->find_size("a"); });
    EXPECT_THAT(error.message() + error.detail() + error.hint(),
                AllOf(HasSubstr("s3://bucket/p/a"), Not(HasSubstr("the-secret")),
                      Not(HasSubstr("the-token"))));
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST_F(AnsweringStore, NamesThePermissionThatLacks) {
  const auto storage = new_storage();
  const auto hint_of = [&](auto&& action) {
    answer({error_reply(403, "AccessDenied")});
    return expect_error(ErrorKind::unavailable, action).hint();
  };
  EXPECT_THAT(hint_of([&] { (void)storage->put_if_absent("a", as_bytes("x")); }),
              HasSubstr("s3:PutObject"));
  EXPECT_THAT(hint_of([&] { (void)storage->find("a", whole_object); }), HasSubstr("s3:GetObject"));
  EXPECT_THAT(hint_of([&] { (void)storage->list_names("a/"); }), HasSubstr("s3:ListBucket"));
  EXPECT_THAT(hint_of([&] { storage->remove({"a"}); }), HasSubstr("s3:DeleteObject"));
}

TEST_F(AnsweringStore, SaysWhatItCouldNotDelete) {
  const auto storage = new_storage();
  const auto result = [](const std::string& errors) {
    return HttpReply{.status = 200, .body = "<DeleteResult>" + errors + "</DeleteResult>"};
  };
  answer({result("<Error><Key>p/a</Key><Code>NoSuchKey</Code></Error>")});
  storage->remove({"a", "b"});
  const auto call = calls().at(0);
  EXPECT_EQ(call.method + " " + call.target, "POST /bucket/?delete=");
  EXPECT_EQ(call.body,
            "<?xml "
            "version=\"1.0\"?><Delete><Quiet>true</Quiet><Object><Key>p/a</Key></"
            "Object><Object><Key>p/b</Key>"
            "</Object></Delete>");
  EXPECT_EQ(call.headers.at("content-md5").size(), 24u);

  answer({result("<Error><Key>p/b</Key><Code>AccessDenied</Code></Error>")});
  const auto denied = expect_error(ErrorKind::unavailable, [&] { storage->remove({"a", "b"}); });
  EXPECT_THAT(denied.message(), HasSubstr("s3://bucket/p/b"));
  EXPECT_FALSE(denied.is_transient());
  answer({result("<Error><Key>p/b</Key><Code>InternalError</Code></Error>")});
  EXPECT_TRUE(expect_error(ErrorKind::unavailable, [&] { storage->remove({"b"}); }).is_transient());
}

TEST_F(AnsweringStore, IsAskedToDeleteAThousandAtATime) {
  const auto storage = new_storage();
  answer({{.status = 200, .body = "<DeleteResult/>"}});
  std::vector<std::string> keys;
  for (int i = 0; i < 2001; ++i) keys.push_back("k" + std::to_string(i));
  storage->remove(keys);
  EXPECT_EQ(calls().size(), 3u);
}

std::string listed(const std::vector<std::string>& keys, const std::string& next = "") {
  std::string text = "<ListBucketResult><IsTruncated>" +
                     std::string(next.empty() ? "false" : "true") + "</IsTruncated>";
  if (!next.empty()) text += "<NextContinuationToken>" + next + "</NextContinuationToken>";
  for (const auto& key : keys) {
    text += "<Contents><Key>" + key + "</Key><Size>3</Size></Contents>";
  }
  return text + "</ListBucketResult>";
}

class ListingStore : public AnsweringStore {
 protected:
  [[nodiscard]] std::vector<std::string> keys() {
    std::vector<std::string> found;
    storage_->list("a/", [&](const ObjectInfo& object) { found.push_back(object.key); });
    return found;
  }
  std::unique_ptr<S3Storage> storage_ = new_storage();
};

TEST_F(ListingStore, IsReadToItsLastPageWithoutWhatOthersPutThere) {
  answer({{.status = 200, .body = listed({"p/a/1", "p/a/2 3"}, "t/+=")},
          {.status = 200, .body = listed({"p/a/3"})}});
  EXPECT_EQ(keys(), (std::vector<std::string>{"a/1", "a/3"}));
  EXPECT_THAT(calls().at(1).target, HasSubstr("continuation-token=t%2F%2B%3D"));
}

TEST_F(ListingStore, IsNotBelievedOutOfOrderOrWithoutAnEnd) {
  for (const auto& body :
       {std::string("<ListBucketResult/>"),
        std::string("<ListBucketResult><IsTruncated>1</IsTruncated></ListBucketResult>"),
        listed({}, "again"), listed({"p/a/2", "p/a/1"}), listed({"p/b/1"}),
        std::string("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        std::string("<ListBucketResult><Contents><Key>p/a/1</Key></Contents></ListBucketResult>"),
        std::string("<ListBucketResult><Contents>"), std::string()}) {
    answer({{.status = 200, .body = body}});
    EXPECT_EQ(error_of([&] { (void)keys(); }), "unavailable") << body;
  }
}

TEST_F(ListingStore, OfNamesIsHeldToTheSame) {
  const auto names = [&] { return storage_->list_names("a/"); };
  answer({{.status = 200, .body = listed({"p/a/1", "p/a/2"}, "t")},
          {.status = 200, .body = listed({"p/a/3"})}});
  EXPECT_EQ(names(), (std::vector<std::string>{"1", "2", "3"}));
  for (const auto& body : {listed({"p/a/1"}, "again"), listed({"p/b/1"}), listed({}, "again")}) {
    answer({{.status = 200, .body = body}});
    EXPECT_EQ(error_of([&] { (void)names(); }), "unavailable") << body;
  }
}

TEST_F(AnsweringStore, IsNotBelievedWhenItSendsAnotherPart) {
  const auto storage = new_storage();
  const auto part = [](const std::string& range, const std::string& body) {
    return HttpReply{
        .status = 206, .headers = {{"ETag", "x"}, {"Content-Range", range}}, .body = body};
  };
  const ByteRange asked{.offset = 2, .length = 3};
  answer({part("bytes 2-4/10", "234")});
  EXPECT_EQ(storage->find("a", asked), bytes_of("234"));
  answer({part("bytes 2-3/4", "23")});
  EXPECT_EQ(storage->find("a", asked), bytes_of("23"));
  for (const auto& reply :
       {part("bytes 0-2/10", "012"), part("bytes 2-3/10", "23"), part("bytes 2-4/10", "23"),
        part("bytes 2-5/10", "2345"), part("bytes */10", ""), part("", "234"),
        part("bytes 2-4/*", "234"), part("bytes 4-2/10", "234")}) {
    answer({reply});
    const auto error =
        expect_error(ErrorKind::unavailable, [&] { (void)storage->find("a", asked); });
    EXPECT_TRUE(error.is_transient());
  }
  // A part of what was asked for as a whole.
  answer({part("bytes 0-4/10", "01234")});
  EXPECT_EQ(error_of([&] { (void)storage->find("a", whole_object); }), "unavailable");
}

TEST_F(AnsweringStore, IsNotBelievedWithoutTheCodeOfItsAnswer) {
  const auto storage = new_storage();
  answer({stored, {.status = 412}});
  EXPECT_EQ(error_of([&] { (void)storage->put_if_absent("a", as_bytes("x")); }), "unavailable");
  answer({{.status = 416}});
  EXPECT_EQ(error_of([&] { (void)storage->find_size("a"); }), "unavailable");
  answer({error_reply(416, "InvalidRange")});
  EXPECT_EQ(storage->find_size("a"), 0u);
}

TEST_F(AnsweringStore, IsGivenTheOldCredentialsWhileNewOnesCannotBeHad) {
  int asked = 0;
  const auto expires = clock_.now() + std::chrono::hours(1);
  S3Storage storage(
      settings(),
      [&] {
        if (++asked > 1) throw Error(ErrorKind::unavailable, "nobody there");
        return S3Credentials{
            .access_key = "KEY", .secret_key = "s", .session_token = {}, .expires = expires};
      },
      clock_);
  answer({error_reply(404, "NoSuchKey")});
  (void)storage.find_size("a");
  clock_.advance(std::chrono::minutes(56));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(storage.find_size("a"), std::nullopt);
  EXPECT_EQ(asked, 2) << "not for each request";
  clock_.advance(std::chrono::minutes(5));
  EXPECT_EQ(error_of([&] { (void)storage.find_size("a"); }), "unavailable");
}

TEST_F(AnsweringStore, ThatIsGoneIsUnavailableAndWorthAnotherTry) {
  auto gone = settings();
  gone.endpoint = "http://127.0.0.1:1";
  S3Storage storage(
      gone, [] { return S3Credentials{}; }, clock_);
  const auto error = expect_error(ErrorKind::unavailable, [&] { (void)storage.find_size("a"); });
  EXPECT_TRUE(error.is_transient());
  EXPECT_THAT(error.message(), HasSubstr("http://127.0.0.1:1"));
}

}  // namespace
}  // namespace walvault
