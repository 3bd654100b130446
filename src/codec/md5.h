// MD5 (RFC 1321), where a protocol asks for it; it protects nothing.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace walvault {

[[nodiscard]] std::array<std::uint8_t, 16> md5(ByteView bytes);

}  // namespace walvault
