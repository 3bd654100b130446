// Signed requests to one bucket of an S3 server.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "storage/http/http_client.h"
#include "storage/object/renewed_credentials.h"
#include "storage/s3/answers.h"
#include "storage/s3/signature.h"

namespace walvault {

struct S3Settings {
  std::string bucket = {};
  // Before every key, without a slash at either end; may be empty.
  std::string prefix = {};
  // "https://host[:port]"; empty: AWS, in its region.
  std::string endpoint = {};
  std::string region = "us-east-1";
  // https://host/bucket/key rather than https://bucket.host/key.
  bool path_style = false;
  HttpOptions http = {};
  // Whether the store was seen to heed If-None-Match not long ago; if not, it is found
  // out before the first write, and if so, told.
  bool conditional_writes_seen = false;
  std::function<void()> saw_conditional_writes = {};
};

// What is done with an object, for messages and the permission that it takes.
enum class S3Action { put, get, list, remove };

struct S3Request {
  S3Action action = S3Action::get;
  std::string method = {};
  std::string key = {};  // with the prefix; empty: the bucket
  std::vector<std::pair<std::string, std::string>> query = {};
  std::map<std::string, std::string> headers = {};  // names in lower case
  ObjectContent content = {};
  std::uint64_t answer_bytes_max = 1u << 20;
  std::uint64_t expected_bytes = 0;  // as HttpRequest's
};

// Thread-safe.
class S3Client {
 public:
  using LoadCredentials = RenewedCredentials<S3Credentials>::Load;

  // `clock` must outlive the client.
  S3Client(S3Settings settings, LoadCredentials load, Clock& clock);

  // An answer, of any status that is the caller's to judge: what a repetition may
  // cure was thrown as a transient Error{unavailable}. Another region and renewed
  // credentials have been tried.
  [[nodiscard]] HttpResponse send(const S3Request& request);

  // What an answer that the caller cannot use means.
  [[nodiscard]] Error failure(const S3Request& request, const HttpResponse& response) const;

  [[nodiscard]] const S3Settings& settings() const { return settings_; }

  // s3://bucket/prefix
  [[nodiscard]] std::string url() const;

 private:
  [[nodiscard]] HttpResponse send_once(const S3Request& request, const S3Credentials& credentials,
                                       const std::string& region);
  [[nodiscard]] std::string region();

  const S3Settings settings_;
  Clock& clock_;
  RenewedCredentials<S3Credentials> credentials_;
  HttpClient http_;
  std::mutex mutex_;
  std::string region_;
};

}  // namespace walvault
