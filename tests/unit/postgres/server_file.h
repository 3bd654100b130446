// Bytes that real servers wrote, from tests/unit/postgres/data: the first 64
// of a segment (wal_header_MAJOR) and the first 512 of pg_control
// (pg_control_MAJOR).
#pragma once

#include "base/file.h"

namespace walvault {

[[nodiscard]] inline Bytes server_file(const std::string& name) {
  return read_file(WALVAULT_SOURCE_DIR "/tests/unit/postgres/data/" + name, 8192);
}

// Writes a little-endian integer over bytes that are there.
template <typename Integer>
void overwrite(Bytes& bytes, std::size_t offset, Integer value) {
  ByteWriter writer;
  if constexpr (sizeof value == 2) writer.u16(value);
  if constexpr (sizeof value == 4) writer.u32(value);
  if constexpr (sizeof value == 8) writer.u64(value);
  std::copy(writer.bytes().begin(), writer.bytes().end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace walvault
