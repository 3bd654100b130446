#include "storage/s3/signature.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/bytes.h"
#include "codec/sha256.h"

namespace walvault {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view service = "s3";
constexpr std::string_view last_part = "aws4_request";

// Blanks at either end do not count, and several inside count as one.
std::string canonical_value(std::string_view value) {
  std::string canonical;
  for (const char c : value) {
    if (c != ' ' || (!canonical.empty() && canonical.back() != ' ')) canonical += c;
  }
  if (canonical.ends_with(' ')) canonical.pop_back();
  return canonical;
}

std::string signed_headers(const S3RequestToSign& request) {
  std::string names;
  for (const auto& [name, value] : request.headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string canonical_request(const S3RequestToSign& request) {
  std::string text = request.method + "\n" + encode_for_url(request.path, true) + "\n" +
                     encode_query(request.query) + "\n";
  for (const auto& [name, value] : request.headers) {
    text += name + ":" + canonical_value(value) + "\n";
  }
  return text + "\n" + signed_headers(request) + "\n" + request.content_sha256;
}

}  // namespace

std::string to_s3_date(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04d%02u%02uT%02d%02d%02dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text.data();
}

std::string encode_for_url(std::string_view text, bool keep_slashes) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slashes);
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += '%';
      encoded += digits[byte >> 4];
      encoded += digits[byte & 15];
    }
  }
  return encoded;
}

std::string encode_query(const std::vector<std::pair<std::string, std::string>>& query) {
  std::vector<std::pair<std::string, std::string>> encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) {
    encoded.emplace_back(encode_for_url(name, false), encode_for_url(value, false));
  }
  std::ranges::sort(encoded);
  std::string text;
  for (const auto& [name, value] : encoded) {
    if (!text.empty()) text += '&';
    text += name;
    text += '=';
    text += value;
  }
  return text;
}

std::string sign_request(const S3RequestToSign& request, const S3Credentials& credentials,
                         std::string_view region, Timestamp time) {
  const auto date = to_s3_date(time);
  const std::string_view day = std::string_view(date).substr(0, 8);
  auto scope = std::string(day);
  for (const auto part : {region, service, last_part}) scope.append("/").append(part);
  auto to_sign = std::string(algorithm);
  for (const auto& line : {date, scope, sha256(as_bytes(canonical_request(request))).hex()}) {
    to_sign.append("\n").append(line);
  }
  auto key = hmac_sha256(as_bytes("AWS4" + credentials.secret_key), as_bytes(day));
  for (const auto part : {region, service, last_part}) {
    key = hmac_sha256(key.view(), as_bytes(part));
  }
  auto value = " Credential=" + credentials.access_key + "/" + scope +
               ",SignedHeaders=" + signed_headers(request) +
               ",Signature=" + hmac_sha256(key.view(), as_bytes(to_sign)).hex();
  return value.insert(0, algorithm);
}

}  // namespace walvault
