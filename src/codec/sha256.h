// SHA-256 digests (FIPS 180-4), computed by OpenSSL.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"

namespace walvault {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  auto operator<=>(const Digest&) const = default;
  [[nodiscard]] ByteView view() const { return bytes; }
  [[nodiscard]] std::string hex() const { return to_hex(bytes); }

  // Takes exactly 32 bytes from `reader`.
  [[nodiscard]] static Digest read(ByteReader& reader);
};

// Where a digest may be missing, 32 zeros stand for none.
[[nodiscard]] std::optional<Digest> read_optional_digest(ByteReader& reader);
[[nodiscard]] inline Digest digest_or_zeros(const std::optional<Digest>& digest) {
  return digest.value_or(Digest{});
}

struct DigestHash {
  // A digest is already uniformly distributed; any eight of its bytes do.
  std::size_t operator()(const Digest& digest) const {
    std::size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};

[[nodiscard]] Digest sha256(ByteView bytes);

// RFC 2104 with SHA-256.
[[nodiscard]] Digest hmac_sha256(ByteView key, ByteView message);

// Incremental form. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(ByteView bytes);
  [[nodiscard]] Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace walvault
