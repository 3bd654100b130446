#include "codec/crc32c.h"

#include <array>

namespace walvault {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}

constexpr auto table = make_table();

// Matrices over GF(2): 32 columns of 32 bits.
using Matrix = std::array<std::uint32_t, 32>;

std::uint32_t times(const Matrix& matrix, std::uint32_t vector) {
  std::uint32_t product = 0;
  for (std::size_t i = 0; vector != 0; vector >>= 1, ++i) {
    if ((vector & 1) != 0) product ^= matrix[i];
  }
  return product;
}

Matrix squared(const Matrix& matrix) {
  Matrix square{};
  for (std::size_t i = 0; i < square.size(); ++i) square[i] = times(matrix, matrix[i]);
  return square;
}

// What one zero byte makes of a checksum's register.
Matrix zero_byte() {
  Matrix matrix{};
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    const auto crc = std::uint32_t{1} << i;
    matrix[i] = (crc >> 8) ^ table[crc & 0xff];
  }
  return matrix;
}

#if defined(__x86_64__)
// An instruction takes three cycles and may begin in each of them: three stretches of
// the input are gone through at a time.
constexpr std::size_t lane_bytes = 1024;

// What `bytes` zero bytes make of a register, looked up by its four bytes.
class ZerosTable {
 public:
  explicit ZerosTable(std::size_t bytes) {
    auto matrix = zero_byte();
    for (; bytes > 1; bytes /= 2) matrix = squared(matrix);  // a power of two
    for (std::uint32_t value = 0; value < 256; ++value) {
      for (std::size_t i = 0; i < table_.size(); ++i) {
        table_[i][value] = times(matrix, value << 8 * i);
      }
    }
  }
  [[nodiscard]] std::uint32_t operator()(std::uint64_t crc) const {
    return table_[0][crc & 0xff] ^ table_[1][crc >> 8 & 0xff] ^ table_[2][crc >> 16 & 0xff] ^
           table_[3][crc >> 24 & 0xff];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> table_{};
};

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(ByteView bytes, std::uint32_t before) {
  std::uint64_t crc = ~before;
  const auto* data = bytes.data();
  auto left = bytes.size();
  const auto word_at = [](const std::uint8_t* place) {
    std::uint64_t word;
    std::memcpy(&word, place, sizeof word);
    return word;
  };
  if (left >= 3 * lane_bytes) {
    static const ZerosTable one_lane(lane_bytes);
    static const ZerosTable two_lanes(2 * lane_bytes);
    for (; left >= 3 * lane_bytes; data += 3 * lane_bytes, left -= 3 * lane_bytes) {
      std::uint64_t second = 0;
      std::uint64_t third = 0;
      for (std::size_t i = 0; i < lane_bytes; i += 8) {
        crc = __builtin_ia32_crc32di(crc, word_at(data + i));
        second = __builtin_ia32_crc32di(second, word_at(data + lane_bytes + i));
        third = __builtin_ia32_crc32di(third, word_at(data + 2 * lane_bytes + i));
      }
      crc = two_lanes(crc) ^ one_lane(second) ^ third;
    }
  }
  for (; left >= 8; data += 8, left -= 8) crc = __builtin_ia32_crc32di(crc, word_at(data));
  auto crc32 = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++data, --left) crc32 = __builtin_ia32_crc32qi(crc32, *data);
  return ~crc32;
}
#endif

}  // namespace

std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t bytes_b) {
  // The inversions before and after cancel out: A's checksum goes through as
  // many zero bytes as B has, and B's is added.
  auto shift = zero_byte();
  while (bytes_b > 0) {
    if ((bytes_b & 1) != 0) crc_a = times(shift, crc_a);
    bytes_b >>= 1;
    if (bytes_b > 0) shift = squared(shift);
  }
  return crc_a ^ crc_b;
}

std::uint32_t crc32c_portable(ByteView bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  for (const auto byte : bytes) crc = (crc >> 8) ^ table[(crc ^ byte) & 0xff];
  return ~crc;
}

std::uint32_t crc32c(ByteView bytes, std::uint32_t before) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return crc32c_sse42(bytes, before);
#endif
  return crc32c_portable(bytes, before);
}

}  // namespace walvault
