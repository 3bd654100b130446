// AWS Signature Version 4 for S3
// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace walvault {

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;         // empty: none
  std::optional<Timestamp> expires;  // nullopt: they do not

  bool operator==(const S3Credentials&) const = default;
};

// What is signed, unencoded. Names of headers are in lower case; "host" and
// "x-amz-date" among them, and "x-amz-security-token" where there is one.
struct S3RequestToSign {
  std::string method;
  std::string path;  // begins with '/'
  std::vector<std::pair<std::string, std::string>> query;
  std::map<std::string, std::string> headers;
  std::string content_sha256;  // hexadecimal
};

// The value of the header Authorization.
[[nodiscard]] std::string sign_request(const S3RequestToSign& request,
                                       const S3Credentials& credentials, std::string_view region,
                                       Timestamp time);

// 20261121T104100Z, the value of x-amz-date.
[[nodiscard]] std::string to_s3_date(Timestamp time);

// RFC 3986 as S3 has it: all but letters, digits and -._~ becomes %XX, '/' too
// unless it is kept.
[[nodiscard]] std::string encode_for_url(std::string_view text, bool keep_slashes);

// name=value&..., sorted as it is signed.
[[nodiscard]] std::string encode_query(
    const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace walvault
