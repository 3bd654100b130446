#include "storage/s3/s3_storage.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "base/error.h"
#include "codec/md5.h"

namespace walvault {
namespace {

constexpr std::string_view probe_name = ".conditional-writes";
constexpr std::size_t deletes_max = 1000;  // of one request, S3's own limit
constexpr std::uint64_t listing_bytes_max = 16u << 20;
constexpr std::uint64_t object_bytes_max = 2ull << 30;

bool is_taken(const HttpResponse& response) { return response.status == 412; }

bool is_stored(const HttpResponse& response) {
  // What stands between may answer 200 as well; an object store names what it stored.
  return response.status == 200 && !response.header("etag").empty();
}

bool has_code(const HttpResponse& response, std::string_view code) {
  const auto answer = parse_error_answer(response.body);
  return answer && answer->code == code;
}

// Of "bytes 0-0/1234" or "bytes */1234".
std::optional<std::uint64_t> size_in(const std::string& content_range) {
  const auto slash = content_range.find('/');
  if (slash == std::string::npos) return std::nullopt;
  std::uint64_t size = 0;
  const auto* const end = content_range.data() + content_range.size();
  const auto [stop, failure] = std::from_chars(content_range.data() + slash + 1, end, size);
  return failure == std::errc{} && stop == end ? std::optional(size) : std::nullopt;
}

}  // namespace

S3Storage::S3Storage(S3Settings settings, S3Client::LoadCredentials load, Clock& clock)
    : client_(std::move(settings), std::move(load), clock),
      prefix_(client_.settings().prefix.empty() ? "" : client_.settings().prefix + "/") {}

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

bool S3Storage::has_conditional_writes() {
  const std::scoped_lock lock(mutex_);
  if (!conditional_writes_) {
    conditional_writes_ = probe();
    const auto& learned = client_.settings().learned;
    if (learned) learned(*conditional_writes_);
  }
  return *conditional_writes_;
}

bool S3Storage::put_if_absent(std::string_view key, const ObjectContent& content) {
  const auto full = full_key(key);
  // What was remembered is good enough for what a name decides; deleting asks anew.
  const auto& remembered = client_.settings().conditional_writes;
  const bool conditional = remembered ? *remembered : has_conditional_writes();
  if (!conditional && find_size(key)) return false;
  const auto request = put_request(full, content, conditional);
  const auto response = client_.send(request);
  if (is_stored(response)) return true;
  if (conditional && is_taken(response)) return false;
  throw client_.failure(request, response);
}

std::optional<HttpResponse> S3Storage::get(std::string_view key, ByteRange range) {
  S3Request request{.action = S3Action::get, .method = "GET", .key = full_key(key)};
  const auto last = range.length > std::numeric_limits<std::uint64_t>::max() - range.offset
                        ? std::numeric_limits<std::uint64_t>::max()
                        : range.offset + range.length;
  const bool whole = range.offset == 0 && last == std::numeric_limits<std::uint64_t>::max();
  if (!whole) {
    request.headers["range"] =
        "bytes=" + std::to_string(range.offset) + "-" +
        (last - range.offset > object_bytes_max ? "" : std::to_string(last - 1));
  }
  // With room for an error's text; and a server may ignore the range.
  request.answer_bytes_max = object_bytes_max;
  auto response = client_.send(request);
  // 416: it is there and ends before the range begins.
  const bool found = response.status == 200 || response.status == 206;
  if (found && !response.header("etag").empty()) return response;
  if (response.status == 416) return response;
  if (response.status == 404 && has_code(response, "NoSuchKey")) return std::nullopt;
  throw client_.failure(request, response);
}

std::optional<Bytes> S3Storage::find(std::string_view key, ByteRange range) {
  check_key(key);
  // A range of no bytes cannot be asked for.
  const auto asked = range.length == 0 ? ByteRange{.offset = 0, .length = 1} : range;
  auto response = get(key, asked);
  if (!response) return std::nullopt;
  if (response->status == 416 || range.length == 0) return Bytes{};
  auto& body = response->body;
  if (response->status == 200 && range.offset > 0) {
    body.erase(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                                range.offset, body.size())));
  }
  if (body.size() > range.length) body.resize(range.length);
  return std::move(body);
}

std::optional<std::uint64_t> S3Storage::find_size(std::string_view key) {
  // Not HEAD, whose 404 has no body: a missing bucket would look like a missing object.
  const auto response = get(key, {.offset = 0, .length = 1});
  if (!response) return std::nullopt;
  if (response->status == 200) return response->body.size();
  if (const auto size = size_in(response->header("content-range"))) return size;
  // An object of no bytes has none to give.
  if (response->status == 416) return 0;
  throw Error(
      ErrorKind::unavailable,
      "the object store does not tell the size of " + client_.url() + "/" + std::string(key),
      "Content-Range: \"" + response->header("content-range") + "\".");
}

S3Listing S3Storage::list_page(const std::string& prefix, bool names_only,
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
  std::string token;
  std::string last;
  do {
    auto page = list_page(full, false, token);
    for (auto& object : page.objects) {
      if (!object.key.starts_with(full) || object.key <= last) {
        throw Error(ErrorKind::unavailable, "the object store's listing is out of order",
                    "\"" + object.key + "\" comes after \"" + last + "\".",
                    "walvault needs a store that lists keys in ascending order.");
      }
      last = object.key;
      object.key.erase(0, prefix_.size());
      // What others put here is not of this repository.
      if (is_key(object.key)) each(object);
    }
    token = std::move(page.next);
  } while (!token.empty());
}

std::vector<std::string> S3Storage::list_names(std::string_view prefix) {
  const auto full = prefix_ + std::string(prefix);
  std::set<std::string> names;
  std::string token;
  const auto take = [&](std::string key) {
    if (!key.starts_with(full)) return;
    key.erase(0, full.size());
    if (key.ends_with('/')) key.pop_back();
    if (is_key_part(key)) names.insert(std::move(key));
  };
  do {
    auto page = list_page(full, true, token);
    for (auto& object : page.objects) take(std::move(object.key));
    for (auto& name : page.prefixes) take(std::move(name));
    token = std::move(page.next);
  } while (!token.empty());
  return {names.begin(), names.end()};
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
  for (const auto& key : keys) all.push_back(full_key(key));
  for (std::size_t begin = 0; begin < all.size(); begin += deletes_max) {
    remove_batch(
        {all.begin() + static_cast<std::ptrdiff_t>(begin),
         all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), begin + deletes_max))});
  }
}

}  // namespace walvault
