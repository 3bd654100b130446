// A bucket of an object store, for one test.
#pragma once

#include <atomic>
#include <string>

#include "base/clock.h"
#include "storage/s3/s3_client.h"
#include "support/object_store.h"

namespace walvault {

[[nodiscard]] inline S3Credentials test_credentials() {
  return {.access_key = ObjectStore::access_key,
          .secret_key = ObjectStore::secret_key,
          .session_token = {},
          .expires = {}};
}

// Makes the bucket.
[[nodiscard]] inline S3Settings new_bucket(const std::string& prefix = "",
                                           const ObjectStore& store = ObjectStore::shared()) {
  static std::atomic<int> count{0};
  S3Settings settings{.bucket = "b" + to_hex(system_randomness().id()).substr(0, 12) + "-" +
                                std::to_string(++count),
                      .prefix = prefix,
                      .endpoint = store.endpoint(),
                      .path_style = true};
  S3Client client(settings, test_credentials, system_clock());
  const S3Request request{.action = S3Action::put, .method = "PUT"};
  if (const auto response = client.send(request); response.status != 200) {
    throw client.failure(request, response);
  }
  return settings;
}

}  // namespace walvault
