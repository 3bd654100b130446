#include "storage/s3/s3_client.h"

#include <algorithm>
#include <array>

#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr int redirects_max = 2;

struct ActionWords {
  const char* doing;
  const char* permission;
};

ActionWords words_of(S3Action action) {
  switch (action) {
    case S3Action::put: return {"write", "s3:PutObject"};
    case S3Action::get:
      return {"read", "s3:GetObject, and s3:ListBucket to tell what is absent from what is hidden"};
    case S3Action::list: return {"list", "s3:ListBucket"};
    case S3Action::remove: return {"delete", "s3:DeleteObject"};
  }
  return {"reach", ""};
}

std::string digest_of(const ObjectContent& content) {
  Sha256 digest;
  for (const auto part : content.parts()) digest.update(part);
  return digest.finish().hex();
}

// https://host:port/ -> (https://, host:port)
std::pair<std::string, std::string> split_endpoint(const S3Settings& settings,
                                                   const std::string& region) {
  if (settings.endpoint.empty()) return {"https://", "s3." + region + ".amazonaws.com"};
  const auto end = settings.endpoint.find("://") + 3;
  auto host = settings.endpoint.substr(end);
  while (host.ends_with('/')) host.pop_back();
  return {settings.endpoint.substr(0, end), host};
}

// It becomes part of a host's name.
bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool says_expired(const std::optional<S3ErrorAnswer>& answer) {
  constexpr std::array<std::string_view, 4> codes = {"ExpiredToken", "TokenRefreshRequired",
                                                     "InvalidToken", "InvalidAccessKeyId"};
  return answer && std::ranges::find(codes, answer->code) != codes.end();
}

bool may_pass(int status, const std::optional<S3ErrorAnswer>& answer) {
  // 409: two conditional writes of one key at once.
  constexpr std::array statuses = {408, 409, 429, 500, 502, 503, 504};
  if (std::ranges::find(statuses, status) != statuses.end()) return true;
  // A body that came too slowly, or was damaged on its way.
  constexpr std::array<std::string_view, 6> codes = {
      "SlowDown",  "RequestTimeout", "XAmzContentSHA256Mismatch",
      "BadDigest", "InternalError",  "XAmzContentChecksumMismatch"};
  return answer && std::ranges::find(codes, answer->code) != codes.end();
}

}  // namespace

S3Client::S3Client(S3Settings settings, LoadCredentials load, Clock& clock)
    : settings_(std::move(settings)),
      clock_(clock),
      credentials_(std::move(load), clock),
      http_(settings_.http),
      region_(settings_.region) {}

std::string S3Client::url() const {
  return "s3://" + settings_.bucket + (settings_.prefix.empty() ? "" : "/" + settings_.prefix);
}

std::string S3Client::region() {
  const std::scoped_lock lock(mutex_);
  return region_;
}

HttpResponse S3Client::send_once(const S3Request& request, const S3Credentials& credentials,
                                 const std::string& region) {
  const auto [scheme, endpoint_host] = split_endpoint(settings_, region);
  const auto host = settings_.path_style ? endpoint_host : settings_.bucket + "." + endpoint_host;
  const auto path =
      (settings_.path_style ? "/" + settings_.bucket : std::string()) + "/" + request.key;
  const auto now = clock_.now();
  S3RequestToSign to_sign{.method = request.method,
                          .path = path,
                          .query = request.query,
                          .headers = request.headers,
                          .content_sha256 = digest_of(request.content)};
  to_sign.headers["host"] = host;
  to_sign.headers["x-amz-date"] = to_s3_date(now);
  to_sign.headers["x-amz-content-sha256"] = to_sign.content_sha256;
  if (!credentials.session_token.empty()) {
    to_sign.headers["x-amz-security-token"] = credentials.session_token;
  }
  HttpRequest http{.method = request.method,
                   .url = scheme + host + encode_for_url(path, true),
                   .headers = to_sign.headers,
                   .content = request.content,
                   .answer_bytes_max = request.answer_bytes_max,
                   .expected_bytes = request.expected_bytes};
  if (!request.query.empty()) http.url += "?" + encode_query(request.query);
  http.headers["authorization"] = sign_request(to_sign, credentials, region, now);
  return http_.perform(http);
}

HttpResponse S3Client::send(const S3Request& request) {
  for (int redirects = 0;; ++redirects) {
    const auto used = credentials_.get();
    const auto region = this->region();
    auto response = send_once(request, used, region);
    if (response.status < 300) return response;
    const auto answer = parse_error_answer(response.body);
    if (may_pass(response.status, answer)) throw failure(request, response).transient();
    if (redirects == redirects_max) return response;

    auto other_region = response.header("x-amz-bucket-region");
    if (other_region.empty() && answer) other_region = answer->region;
    const bool elsewhere = response.status == 301 || response.status == 307 ||
                           (answer && answer->code == "AuthorizationHeaderMalformed");
    if (elsewhere && is_region(other_region) && other_region != region) {
      const std::scoped_lock lock(mutex_);
      region_ = other_region;
      continue;
    }
    if (says_expired(answer) && credentials_.renew(used)) continue;
    return response;
  }
}

Error S3Client::failure(const S3Request& request, const HttpResponse& response) const {
  const auto words = words_of(request.action);
  const auto answer = parse_error_answer(response.body);
  const auto place = request.key.empty() ? url() : "s3://" + settings_.bucket + "/" + request.key;
  const auto message = std::string("cannot ") + words.doing + " " + place;
  auto evidence = "The object store answers " + std::to_string(response.status);
  const auto code = answer ? answer->code : std::string();
  if (answer) {
    evidence += " " + code +
                (answer->message.empty() || answer->message == code ? "." : ": " + answer->message);
    if (!evidence.ends_with('.')) evidence += '.';
  } else {
    evidence += ", without an error of S3.";
  }
  const auto error = [&](std::string hint) {
    return Error(ErrorKind::unavailable, message, evidence, std::move(hint));
  };
  if (code == "NoSuchBucket") {
    return error("Create the bucket " + settings_.bucket + ", or correct the URL.");
  }
  if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch") {
    return error(
        "Check the access key and its secret: [repository] in the configuration file, "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials file.");
  }
  if (code == "RequestTimeTooSkewed") {
    evidence += " This machine's clock says " + to_rfc3339(clock_.now()) + ", the server's " +
                response.header("date") + ".";
    return error("Set this machine's clock (chronyd or systemd-timesyncd keep it right).");
  }
  if (code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired") {
    return error(
        "Get a new session token; credentials_command in [repository] can do that by "
        "itself.");
  }
  if (response.status == 301 || response.status == 307 || code == "AuthorizationHeaderMalformed") {
    return error(
        "The bucket is in another region, or at another endpoint: check region and "
        "endpoint in [repository].");
  }
  if (response.status == 401 || response.status == 403) {
    return error(std::string("The credentials lack a permission: ") + words.permission +
                 ". docs/object-storage.md has the policies.");
  }
  if (!answer) return error("Check the endpoint, and what stands between it and this machine.");
  return error("");
}

}  // namespace walvault
