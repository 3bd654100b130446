#include "postgres/data_page.h"

#include <algorithm>
#include <array>

#include "postgres/relation_path.h"

namespace walvault {
namespace {

// Where the fields of a page's header lie (PageHeaderData).
constexpr std::size_t checksum_offset = 8;
constexpr std::size_t upper_offset = 14;

constexpr std::size_t lanes = 32;
constexpr std::uint32_t fnv_prime = 16777619;
constexpr std::array<std::uint32_t, lanes> lane_seeds = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

using Lanes = std::array<std::uint32_t, lanes>;

[[gnu::always_inline]] inline void mix(Lanes& sums, const Lanes& words) {
  for (std::size_t i = 0; i < lanes; ++i) {
    const auto mixed = sums[i] ^ words[i];
    sums[i] = mixed * fnv_prime ^ mixed >> 17;
  }
}

[[gnu::always_inline]] inline std::uint32_t hash_page(ByteView page) {
  auto sums = lane_seeds;
  Lanes words;
  for (std::size_t at = 0; at < data_page_bytes; at += sizeof words) {
    std::memcpy(words.data(), page.data() + at, sizeof words);
    // The checksum itself counts as zero.
    if (at == 0) words[checksum_offset / 4] &= 0xFFFF0000;
    mix(sums, words);
  }
  words.fill(0);
  mix(sums, words);
  mix(sums, words);
  std::uint32_t hash = 0;
  for (const auto sum : sums) hash ^= sum;
  return hash;
}

#if defined(__x86_64__)
// The lanes are made for vectors.
__attribute__((target("avx2"))) std::uint32_t hash_page_avx2(ByteView page) {
  return hash_page(page);
}
#endif

std::uint32_t read_u16(ByteView page, std::size_t offset) {
  return page[offset] | std::uint32_t{page[offset + 1]} << 8;
}

std::uint32_t read_u32(ByteView page, std::size_t offset) {
  return read_u16(page, offset) | read_u16(page, offset + 2) << 16;
}

}  // namespace

std::optional<std::uint32_t> first_block_of(std::string_view path, std::uint32_t segment_blocks) {
  const auto found = parse_relation_path(path);
  return found ? std::optional(found->segment * segment_blocks) : std::nullopt;
}

std::uint16_t page_checksum(ByteView page, std::uint32_t block) {
#if defined(__x86_64__)
  const auto hash = __builtin_cpu_supports("avx2") != 0 ? hash_page_avx2(page) : hash_page(page);
#else
  const auto hash = hash_page(page);
#endif
  // Never zero, which stands for no checksum.
  return static_cast<std::uint16_t>((hash ^ block) % 65535 + 1);
}

PageVerdict judge_page(ByteView page, std::uint32_t block, Lsn start) {
  if (read_u16(page, upper_offset) == 0) return PageVerdict::empty;
  const Lsn written{std::uint64_t{read_u32(page, 0)} << 32 | read_u32(page, 4)};
  if (written >= start) return PageVerdict::written_since;
  return page_checksum(page, block) == read_u16(page, checksum_offset) ? PageVerdict::right
                                                                       : PageVerdict::wrong;
}

}  // namespace walvault
