// The XML that an S3 server answers with (the API reference's response
// elements), read into what is needed of it. Foreign bytes: whatever they are,
// a value or an Error comes out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "storage/object/listing.h"
#include "storage/storage.h"

namespace walvault {

struct S3ErrorAnswer {
  std::string code;     // "NoSuchKey"
  std::string message;  // the server's words, at most 300 bytes
  std::string region;   // where AWS says the bucket is
};

// nullopt: the body is no error of an S3 server (a proxy's page, say).
[[nodiscard]] std::optional<S3ErrorAnswer> parse_error_answer(ByteView body);

// Error{unavailable} for anything else than a ListBucketResult.
[[nodiscard]] ListingPage parse_listing(ByteView body);

// The keys that could not be deleted, and why. Error{unavailable} as parse_listing.
struct S3DeleteFailure {
  std::string key;
  std::string code;
  std::string message;
};
[[nodiscard]] std::vector<S3DeleteFailure> parse_delete_answer(ByteView body);

// The body of a request that deletes these.
[[nodiscard]] std::string encode_delete_request(const std::vector<std::string>& keys);

}  // namespace walvault
