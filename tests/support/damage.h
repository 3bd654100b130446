// Small inputs, damaged in every way of one kind.
#pragma once

#include <cstddef>
#include <string>

#include "base/bytes.h"
#include "storage/memory_storage.h"

namespace walvault {

// Flips a bit of a stored object, of the byte that is the so-manieth from its end, counted from 1.
inline void damage_object(MemoryStorage& storage, const std::string& key, std::size_t from_end) {
  auto object = *storage.find(key, whole_object);
  object[object.size() - from_end] ^= 1;
  storage.overwrite(key, object);
}
// Of a stored WAL file: the last byte of its last frame.
inline constexpr std::size_t last_frame_byte = 33;

// Calls `check` with the first 0, 1, 2, ... bytes of `whole`, never with all.
template <typename Check>
void for_each_truncation(ByteView whole, Check&& check) {
  for (std::size_t length = 0; length < whole.size(); ++length) check(whole.first(length));
}

// Calls `check` with `whole` after each single bit was flipped, and the bit's
// number: 0 is the lowest bit of the first byte.
template <typename Check>
void for_each_bit_flip(ByteView whole, Check&& check) {
  Bytes damaged(whole.begin(), whole.end());
  for (std::size_t bit = 0; bit < damaged.size() * 8; ++bit) {
    const auto mask = static_cast<std::uint8_t>(1u << (bit % 8));
    damaged[bit / 8] ^= mask;
    check(ByteView(damaged), bit);
    damaged[bit / 8] ^= mask;
  }
}

}  // namespace walvault
