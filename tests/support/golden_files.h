// Bytes that are kept with the tests, and what stands in them. WALVAULT_WRITE_GOLDEN=1 writes
// files that are missing; those that are there are never changed.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "codec/sha256.h"
#include "support/test_data.h"

namespace walvault {

inline const std::filesystem::path golden_directory =
    std::filesystem::path(WALVAULT_SOURCE_DIR) / "tests/golden/v1";

[[nodiscard]] inline bool may_write_golden() {
  return std::getenv("WALVAULT_WRITE_GOLDEN") != nullptr;
}

[[nodiscard]] inline Bytes read_golden(const std::string& name) {
  std::ifstream in(golden_directory / name, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << "there is no golden file " << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_if_missing(const std::string& name, ByteView bytes) {
  const auto path = golden_directory / name;
  if (!may_write_golden() || std::filesystem::exists(path)) return;
  std::ofstream out(path, std::ios::binary);
  out << as_text(bytes);
  ASSERT_TRUE(out.flush().good()) << path;
}

// What the encoder gives is what the file holds.
inline void expect_golden(const std::string& name, ByteView encoded) {
  write_if_missing(name, encoded);
  EXPECT_EQ(to_hex(encoded), to_hex(read_golden(name))) << name;
}

[[nodiscard]] inline Timestamp at(std::int64_t seconds, std::int64_t micros = 0) {
  return Timestamp(std::chrono::seconds(1'790'000'000 + seconds) +
                   std::chrono::microseconds(micros));
}

[[nodiscard]] inline Digest digest_of(std::uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

}  // namespace walvault
