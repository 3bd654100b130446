#include "codec/sha256.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "base/error.h"

namespace walvault {

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

namespace {

// Fetched once: looking an algorithm up costs more than hashing a page.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (md == nullptr) throw Error(ErrorKind::internal, "OpenSSL offers no SHA-256");
  return md;
}

void expect(int result) {
  if (result != 1) throw Error(ErrorKind::internal, "OpenSSL failed to compute a SHA-256");
}

}  // namespace

Digest Digest::read(ByteReader& reader) {
  Digest digest;
  std::ranges::copy(reader.raw(digest.bytes.size()), digest.bytes.begin());
  return digest;
}

std::optional<Digest> read_optional_digest(ByteReader& reader) {
  const auto digest = Digest::read(reader);
  return digest == Digest{} ? std::nullopt : std::optional(digest);
}

Digest sha256(ByteView bytes) {
  Digest digest;
  expect(
      EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), nullptr, algorithm(), nullptr));
  return digest;
}

Digest hmac_sha256(ByteView key, ByteView message) {
  Digest digest;
  unsigned length = 0;
  expect(HMAC(algorithm(), key.data(), static_cast<int>(key.size()), message.data(), message.size(),
              digest.bytes.data(), &length) == nullptr
             ? 0
             : 1);
  return digest;
}

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  expect(EVP_DigestInit_ex2(context_->md.get(), algorithm(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) {
  expect(EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size()));
}

Digest Sha256::finish() {
  Digest digest;
  expect(EVP_DigestFinal_ex(context_->md.get(), digest.bytes.data(), nullptr));
  return digest;
}

}  // namespace walvault
