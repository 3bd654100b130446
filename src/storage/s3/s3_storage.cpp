#include "storage/s3/s3_storage.h"

#include <algorithm>

#include "base/error.h"
#include "codec/md5.h"
#include "storage/object/range.h"

namespace walvault {
namespace {

constexpr std::string_view probe_name = ".conditional-writes";
constexpr std::size_t deletes_max = 1000;  // of one request, S3's own limit
constexpr std::uint64_t listing_bytes_max = 16u << 20;

bool is_stored(const HttpResponse& response) {
  // What stands between may answer 200 as well; an object store names what it stored.
  return response.status == 200 && !response.header("etag").empty();
}

bool has_code(const HttpResponse& response, std::string_view code) {
  const auto answer = parse_error_answer(response.body);
  return answer && answer->code == code;
}

bool is_taken(const HttpResponse& response) {
  return response.status == 412 && has_code(response, "PreconditionFailed");
}

}  // namespace

S3Storage::S3Storage(S3Settings settings, S3Client::LoadCredentials load, Clock& clock)
    : client_(std::move(settings), std::move(load), clock),
      prefix_(client_.settings().prefix.empty() ? "" : client_.settings().prefix + "/"),
      conditional_writes_(client_.settings().conditional_writes_seen,
                          client_.settings().saw_conditional_writes, [this] { return probe(); }) {}

std::string S3Storage::full_key(std::string_view key) const {
  check_key(key);
  return prefix_ + std::string(key);
}

S3Request S3Storage::put_request(std::string full_key, const ObjectContent& content,
                                 bool conditional) const {
  S3Request request{
      .action = S3Action::put, .method = "PUT", .key = std::move(full_key), .content = content};
  if (conditional) request.headers["if-none-match"] = "*";
  return request;
}

bool S3Storage::probe() {
  const auto request = put_request(prefix_ + std::string(probe_name), {}, true);
  // Once it is there, one request tells. When this one made it, another has to ask.
  for (int tries = 0; tries < 2; ++tries) {
    const auto response = client_.send(request);
    if (is_taken(response)) return true;
    if (response.status == 501 || has_code(response, "NotImplemented")) return false;
    if (!is_stored(response)) throw client_.failure(request, response);
  }
  return false;
}

bool S3Storage::put_if_absent(std::string_view key, const ObjectContent& content) {
  const auto full = full_key(key);
  const bool conditional = conditional_writes_.may_be_used();
  if (!conditional && find_size(key)) return false;
  const auto request = put_request(full, content, conditional);
  const auto response = client_.send(request);
  if (is_stored(response)) return true;
  if (conditional && is_taken(response)) return false;
  throw client_.failure(request, response);
}

std::optional<HttpResponse> S3Storage::get(std::string_view key, ByteRange range) {
  S3Request request{.action = S3Action::get, .method = "GET", .key = full_key(key)};
  const bool whole = is_whole_object(range);
  if (!whole) {
    request.headers["range"] = range_header(range);
    request.expected_bytes = expected_bytes(range);
  }
  // A server may ignore the range.
  request.answer_bytes_max = object_bytes_max;
  auto response = client_.send(request);
  const bool is_objects = !response.header("etag").empty();
  if (response.status == 200 && is_objects && has_an_end(response)) return response;
  if (response.status == 206 && is_objects && !whole) {
    if (is_the_range(response, range)) return response;
    throw Error(ErrorKind::unavailable, "the object store sent another part than was asked for",
                client_.url() + "/" + std::string(key) + ": " + request.headers["range"] +
                    ", but it sent " + response.header("content-range") + ", " +
                    std::to_string(response.body.size()) + " bytes.",
                "Check what stands between it and this machine.")
        .transient();
  }
  // It is there and ends before the range begins.
  if (response.status == 416 && !whole && has_code(response, "InvalidRange")) return response;
  if (response.status == 404 && has_code(response, "NoSuchKey")) return std::nullopt;
  throw client_.failure(request, response);
}

// By If-Match: what changed meanwhile is looked at once more. Stores differ in how they know that
// condition on a PUT: some compare the tag without its quotes (Ceph 16), some refuse it. The bytes
// that are put are right whatever is there, so where none of it will do they are put without.
Replaced S3Storage::replace_damaged(std::string_view key, const ObjectContent& content,
                                    const IsWhole& is_whole) {
  enum class Condition { quoted, bare, none };
  auto condition = Condition::quoted;
  std::string last_tag;
  constexpr int tries_max = 16;
  for (int tried = 0; tried < tries_max; ++tried) {
    const auto there = get(key, whole_object);
    if (!there) return Replaced::absent;
    if (is_whole(there->body)) return Replaced::is_whole;
    auto tag = there->header("etag");
    // It is what it was, and yet it was said to be another.
    if (tag == last_tag && condition != Condition::none) {
      condition = condition == Condition::quoted ? Condition::bare : Condition::none;
    }
    last_tag = tag;
    auto request = put_request(full_key(key), content, false);
    if (condition == Condition::bare) std::erase(tag, '"');
    if (condition != Condition::none) request.headers["if-match"] = tag;
    const auto response = client_.send(request);
    if (is_stored(response)) return Replaced::replaced;
    const bool is_unknown = response.status == 501 || has_code(response, "NotImplemented");
    if (condition != Condition::none && is_unknown) {
      condition = Condition::none;
    } else if (!is_taken(response)) {
      throw client_.failure(request, response);
    }
  }
  throw Error(ErrorKind::unavailable, "the object " + std::string(key) + " changes all the time")
      .transient();
}

std::optional<Bytes> S3Storage::find(std::string_view key, ByteRange range) {
  check_key(key);
  // A range of no bytes cannot be asked for.
  const auto asked = range.length == 0 ? ByteRange{.offset = 0, .length = 1} : range;
  auto response = get(key, asked);
  if (!response) return std::nullopt;
  if (response->status == 416 || range.length == 0) return Bytes{};
  return take_range(std::move(*response), range);
}

std::optional<std::uint64_t> S3Storage::find_size(std::string_view key) {
  // Not HEAD, whose 404 has no body: a missing bucket would look like a missing object.
  const auto response = get(key, {.offset = 0, .length = 1});
  if (!response) return std::nullopt;
  // An object of no bytes has none to give.
  if (response->status == 416) return 0;
  return object_size(*response);
}

ListingPage S3Storage::list_page(const std::string& prefix, bool names_only,
                                 const std::string& token) {
  S3Request request{.action = S3Action::list,
                    .method = "GET",
                    .query = {{"list-type", "2"}, {"prefix", prefix}},
                    .answer_bytes_max = listing_bytes_max};
  if (names_only) request.query.emplace_back("delimiter", "/");
  if (!token.empty()) request.query.emplace_back("continuation-token", token);
  const auto response = client_.send(request);
  if (response.status != 200) throw client_.failure(request, response);
  return parse_listing(response.body);
}

void S3Storage::list(std::string_view prefix, const std::function<void(const ObjectInfo&)>& each) {
  const auto full = prefix_ + std::string(prefix);
  list_objects(
      prefix_, prefix, [&](const std::string& token) { return list_page(full, false, token); },
      each);
}

std::vector<std::string> S3Storage::list_names(std::string_view prefix) {
  const auto full = prefix_ + std::string(prefix);
  return list_object_names(prefix_, prefix,
                           [&](const std::string& token) { return list_page(full, true, token); });
}

void S3Storage::remove_batch(const std::vector<std::string>& keys) {
  const auto body = encode_delete_request(keys);
  S3Request request{.action = S3Action::remove,
                    .method = "POST",
                    .query = {{"delete", ""}},
                    .content = as_bytes(body),
                    .answer_bytes_max = listing_bytes_max};
  request.headers["content-md5"] = to_base64(md5(as_bytes(body)));
  const auto response = client_.send(request);
  if (response.status != 200) throw client_.failure(request, response);
  for (const auto& failure : parse_delete_answer(response.body)) {
    if (failure.code == "NoSuchKey") continue;
    Error error(ErrorKind::unavailable,
                "cannot delete s3://" + client_.settings().bucket + "/" + failure.key,
                "The object store answers " + failure.code + ": " + failure.message,
                failure.code == "AccessDenied"
                    ? "The credentials lack a permission: s3:DeleteObject."
                    : "");
    if (failure.code == "InternalError" || failure.code == "SlowDown" ||
        failure.code == "ServiceUnavailable") {
      throw std::move(error).transient();
    }
    throw error;
  }
}

void S3Storage::remove(const std::vector<std::string>& keys) {
  std::vector<std::string> all;
  all.reserve(keys.size());
  for (const auto& key : keys) all.push_back(full_key(key));
  for (std::size_t begin = 0; begin < all.size(); begin += deletes_max) {
    remove_batch(
        {all.begin() + static_cast<std::ptrdiff_t>(begin),
         all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), begin + deletes_max))});
  }
}

}  // namespace walvault
