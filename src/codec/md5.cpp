#include "codec/md5.h"

#include <openssl/evp.h>

#include "base/error.h"

namespace walvault {

std::array<std::uint8_t, 16> md5(ByteView bytes) {
  std::array<std::uint8_t, 16> digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_md5(), nullptr) != 1) {
    throw Error(ErrorKind::unavailable, "OpenSSL offers no MD5", {},
                "Object stores ask for it when several objects are deleted at once.");
  }
  return digest;
}

}  // namespace walvault
