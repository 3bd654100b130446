#include "base/bytes.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace walvault {

bool is_all_zero(ByteView bytes) {
  // Comparing the range with itself shifted by one lets memcmp's vector code
  // do the work.
  if (bytes.empty()) return true;
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const auto byte : bytes) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

std::optional<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  Bytes bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    std::uint8_t byte = 0;
    const auto* const pair = text.data() + i;
    const auto [stop, failure] = std::from_chars(pair, pair + 2, byte, 16);
    if (failure != std::errc{} || stop != pair + 2) return std::nullopt;
    bytes.push_back(byte);
  }
  return bytes;
}

bool from_hex(std::string_view text, std::span<std::uint8_t> bytes) {
  if (text.size() != bytes.size() * 2) return false;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto high = digit(text[2 * i]);
    const auto low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

std::string to_base64(ByteView bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto left = bytes.size() - at;
    const std::uint32_t group = std::uint32_t{bytes[at]} << 16 |
                                (left > 1 ? std::uint32_t{bytes[at + 1]} << 8 : 0) |
                                (left > 2 ? std::uint32_t{bytes[at + 2]} : 0);
    text += digits[group >> 18];
    text += digits[group >> 12 & 63];
    text += left > 1 ? digits[group >> 6 & 63] : '=';
    text += left > 2 ? digits[group & 63] : '=';
  }
  return text;
}

std::string to_upper_hex(std::uint32_t value) {
  std::string text(8, '0');
  for (auto digit = text.rbegin(); value != 0; ++digit, value >>= 4) {
    *digit = "0123456789ABCDEF"[value & 15];
  }
  return text;
}

void ByteWriter::fixed(std::uint64_t value, int width) {
  for (int i = 0; i < width; ++i) out_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void ByteWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<std::uint8_t>(value));
}

void ByteWriter::string(std::string_view text) {
  varint(text.size());
  raw(as_bytes(text));
}

void ByteReader::fail(std::string_view why) const {
  throw Error(ErrorKind::corrupt, std::string(what_) + " is damaged",
              std::string(why) + " at byte " + std::to_string(position_) + " of " +
                  std::to_string(bytes_.size()) + ".");
}

std::uint64_t ByteReader::fixed(std::size_t width) {
  const auto bytes = raw(width);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = u8();
    if (shift == 63 && byte > 1) fail("A number is too large");
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail("A number is too long");
}

ByteView ByteReader::raw(std::size_t length) {
  if (length > left()) fail("It ends too early");
  const auto bytes = bytes_.subspan(position_, length);
  position_ += length;
  return bytes;
}

std::string ByteReader::string(std::size_t length_max) {
  const auto length = varint();
  if (length > length_max) fail("A text is too long");
  return std::string(as_text(raw(length)));
}

std::size_t ByteReader::count(std::size_t bytes_each) {
  const auto value = varint();
  if (value > left() / std::max<std::size_t>(bytes_each, 1)) fail("A count is too large");
  return value;
}

void ByteReader::expect_end() const {
  if (left() != 0) fail("Unexpected bytes follow");
}

}  // namespace walvault
