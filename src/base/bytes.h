// Byte containers and the little-endian encoders and decoders that every
// on-disk structure of this project is written and read with.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace walvault {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// True when every byte is zero; true for no bytes at all.
[[nodiscard]] bool is_all_zero(ByteView bytes);

// Lower-case hexadecimal, two digits a byte.
[[nodiscard]] std::string to_hex(ByteView bytes);
// nullopt for anything but pairs of hexadecimal digits.
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view text);

// The reverse: fills `bytes` exactly. False for any other text, and then what they
// hold means nothing.
[[nodiscard]] bool from_hex(std::string_view text, std::span<std::uint8_t> bytes);

// RFC 4648, with padding.
[[nodiscard]] std::string to_base64(ByteView bytes);

// Eight upper-case hexadecimal digits, as PostgreSQL names files.
[[nodiscard]] std::string to_upper_hex(std::uint32_t value);

// Appends values to a buffer: fixed-width little-endian integers, LEB128
// varints, and byte strings preceded by their varint length.
class ByteWriter {
 public:
  void u8(std::uint8_t value) { out_.push_back(value); }
  void u16(std::uint16_t value) { fixed(value, 2); }
  void u32(std::uint32_t value) { fixed(value, 4); }
  void u64(std::uint64_t value) { fixed(value, 8); }
  void i64(std::int64_t value) { fixed(static_cast<std::uint64_t>(value), 8); }
  void varint(std::uint64_t value);
  // Microseconds since 1970 UTC, as an i64.
  void time(Timestamp value) { i64(value.time_since_epoch().count()); }
  void raw(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void string(std::string_view text);

  void reserve(std::size_t size) { out_.reserve(size); }
  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] const Bytes& bytes() const { return out_; }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  void fixed(std::uint64_t value, int width);

  Bytes out_;
};

// Reads what ByteWriter wrote. Every read past the end, every varint that is
// too long and every string longer than its limit throws Error{corrupt} that
// names `what`, so a parser over foreign bytes needs no checks of its own.
class ByteReader {
 public:
  // `what` must outlive it.
  ByteReader(ByteView bytes, std::string_view what) : bytes_(bytes), what_(what) {}
  ByteReader(ByteView bytes, const char* what) : ByteReader(bytes, std::string_view(what)) {}
  ByteReader(ByteView bytes, const std::string& what) : ByteReader(bytes, std::string_view(what)) {}
  ByteReader(ByteView bytes, std::string&& what) = delete;

  [[nodiscard]] std::uint8_t u8() { return raw(1)[0]; }
  [[nodiscard]] std::uint16_t u16() { return static_cast<std::uint16_t>(fixed(2)); }
  [[nodiscard]] std::uint32_t u32() { return static_cast<std::uint32_t>(fixed(4)); }
  [[nodiscard]] std::uint64_t u64() { return fixed(8); }
  [[nodiscard]] std::int64_t i64() { return static_cast<std::int64_t>(fixed(8)); }
  [[nodiscard]] std::uint64_t varint();
  [[nodiscard]] Timestamp time() { return Timestamp(std::chrono::microseconds(i64())); }
  [[nodiscard]] ByteView raw(std::size_t length);
  [[nodiscard]] std::string string(std::size_t length_max = 65536);

  // A varint that counts things of which each takes at least `bytes_each`
  // bytes of what is left: a forged count cannot make the caller allocate.
  [[nodiscard]] std::size_t count(std::size_t bytes_each);

  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }
  void expect_end() const;

 private:
  [[nodiscard]] std::uint64_t fixed(std::size_t width);
  [[noreturn]] void fail(std::string_view why) const;

  ByteView bytes_;
  std::string_view what_;
  std::size_t position_ = 0;
};

}  // namespace walvault
