// What a fuzzer of several parsers does with its input: the first byte chooses one, and
// the rest is what it reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"

namespace walvault {

// Traps where `read` throws anything but damage or, where it may be of a newer version,
// a conflict.
inline int read_by_first_byte(const std::uint8_t* data, std::size_t size,
                              void (*read)(std::uint8_t what, ByteView bytes), bool may_be_newer) {
  if (size == 0) return 0;
  try {
    read(data[0], {data + 1, size - 1});
  } catch (const Error& error) {
    const auto kind = error.kind();
    const bool is_newer = may_be_newer && kind == ErrorKind::conflict;
    if (kind != ErrorKind::corrupt && !is_newer) __builtin_trap();
  }
  return 0;
}

}  // namespace walvault
