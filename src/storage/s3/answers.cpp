#include "storage/s3/answers.h"

#include <charconv>
#include <pugixml.hpp>
#include <sstream>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::size_t message_bytes_max = 300;
constexpr std::size_t excerpt_bytes_max = 120;

// Without what a terminal or a log would take for more than text.
std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string clean;
  for (const char c : text.substr(0, bytes_max)) {
    clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return clean;
}

// False: no such document.
bool parse(ByteView body, const char* root, pugi::xml_document& document) {
  const auto result = document.load_buffer(body.data(), body.size());
  return result && document.child(root);
}

Error not_understood(ByteView body) {
  return {
      ErrorKind::unavailable, "the answer is not an object store's",
      body.empty() ? "It is empty." : "It begins: " + printable(as_text(body), excerpt_bytes_max),
      "Check the endpoint, and what stands between it and this machine (a proxy, a login page)."};
}

}  // namespace

std::optional<S3ErrorAnswer> parse_error_answer(ByteView body) {
  pugi::xml_document document;
  if (!parse(body, "Error", document)) return std::nullopt;
  const auto error = document.child("Error");
  S3ErrorAnswer answer{.code = printable(error.child_value("Code"), message_bytes_max),
                       .message = printable(error.child_value("Message"), message_bytes_max),
                       .region = printable(error.child_value("Region"), message_bytes_max)};
  if (answer.code.empty()) return std::nullopt;
  return answer;
}

ListingPage parse_listing(ByteView body) {
  pugi::xml_document document;
  if (!parse(body, "ListBucketResult", document)) throw not_understood(body);
  const auto result = document.child("ListBucketResult");
  ListingPage listing;
  for (const auto object : result.children("Contents")) {
    const std::string_view text = object.child_value("Size");
    ObjectInfo info{.key = object.child_value("Key")};
    const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), info.size);
    if (info.key.empty() || failure != std::errc{} || stop != text.data() + text.size()) {
      throw not_understood(body);
    }
    listing.objects.push_back(std::move(info));
  }
  for (const auto prefix : result.children("CommonPrefixes")) {
    listing.prefixes.emplace_back(prefix.child_value("Prefix"));
  }
  const std::string_view truncated = result.child_value("IsTruncated");
  if (truncated == "true") listing.next = result.child_value("NextContinuationToken");
  // Taken for the end, anything else would hide what comes behind.
  if (truncated == "true" ? listing.next.empty() : truncated != "false") {
    throw not_understood(body);
  }
  return listing;
}

std::vector<S3DeleteFailure> parse_delete_answer(ByteView body) {
  pugi::xml_document document;
  if (!parse(body, "DeleteResult", document)) throw not_understood(body);
  std::vector<S3DeleteFailure> failures;
  for (const auto error : document.child("DeleteResult").children("Error")) {
    failures.push_back({.key = printable(error.child_value("Key"), message_bytes_max),
                        .code = printable(error.child_value("Code"), message_bytes_max),
                        .message = printable(error.child_value("Message"), message_bytes_max)});
  }
  return failures;
}

std::string encode_delete_request(const std::vector<std::string>& keys) {
  pugi::xml_document document;
  auto request = document.append_child("Delete");
  request.append_child("Quiet").text().set("true");
  for (const auto& key : keys) {
    request.append_child("Object").append_child("Key").text().set(key.c_str());
  }
  std::ostringstream text;
  document.save(text, "", pugi::format_raw);
  return text.str();
}

}  // namespace walvault
