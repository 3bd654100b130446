#include "storage/s3/signature.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

// The examples of "Signature Calculations for the Authorization Header" in AWS's
// reference of S3's API.
class PublishedExamples : public testing::Test {
 protected:
  PublishedExamples() {
    request_.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                        {"x-amz-date", "20130524T000000Z"},
                        {"x-amz-content-sha256", sha256({}).hex()}};
    request_.method = "GET";
    request_.path = "/";
    request_.content_sha256 = sha256({}).hex();
  }

  [[nodiscard]] std::string signature() const {
    const auto value = sign_request(request_, credentials_, "us-east-1", time_);
    return value.substr(value.rfind('=') + 1);
  }

  S3Credentials credentials_{.access_key = "AKIAIOSFODNN7EXAMPLE",
                             .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                             .session_token = {},
                             .expires = {}};
  Timestamp time_ = parse_timestamp("2013-05-24 00:00:00Z");
  S3RequestToSign request_;
};

TEST_F(PublishedExamples, OfAnObjectsRange) {
  request_.path = "/test.txt";
  request_.headers["range"] = "bytes=0-9";
  EXPECT_EQ(sign_request(request_, credentials_, "us-east-1", time_),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(PublishedExamples, OfAWriteWhoseNameHasToBeEncoded) {
  request_.method = "PUT";
  request_.path = "/test$file.text";
  request_.content_sha256 = sha256(as_bytes("Welcome to Amazon S3.")).hex();
  request_.headers["x-amz-content-sha256"] = request_.content_sha256;
  request_.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  request_.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY";
  EXPECT_EQ(signature(), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_F(PublishedExamples, OfAQueryWithoutAValue) {
  request_.query = {{"lifecycle", ""}};
  EXPECT_EQ(signature(), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_F(PublishedExamples, OfAListing) {
  request_.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_EQ(signature(), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_F(PublishedExamples, AreSignedAlikeWhateverTheBlanksInAHeader) {
  request_.path = "/test.txt";
  request_.headers["range"] = "  bytes=0-9 ";
  EXPECT_EQ(signature(), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(EncodeForUrl, LeavesWhatRfc3986LeavesAndUsesUpperCase) {
  EXPECT_EQ(encode_for_url("AZaz09-._~", false), "AZaz09-._~");
  EXPECT_EQ(encode_for_url("a/b", true), "a/b");
  EXPECT_EQ(encode_for_url("a/b", false), "a%2Fb");
  EXPECT_EQ(encode_for_url("(a):b c+\xC3\xA4", true), "%28a%29%3Ab%20c%2B%C3%A4");
}

TEST(EncodeQuery, SortsByTheEncodedName) {
  EXPECT_EQ(encode_query({{"b", "2"}, {"a", "x=y"}, {"uploads", ""}}), "a=x%3Dy&b=2&uploads=");
}

TEST(S3Date, IsUtcToTheSecond) {
  EXPECT_EQ(to_s3_date(parse_timestamp("2026-01-02 03:04:05.999999Z")), "20260102T030405Z");
}

}  // namespace
}  // namespace walvault
