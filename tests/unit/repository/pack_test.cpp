#include "repository/pack.h"

#include <gtest/gtest.h>

#include "codec/crc32c.h"
#include "repository/object_codec.h"
#include "support/damage.h"
#include "support/test_data.h"

namespace walvault {
namespace {

constexpr std::string_view pack_key = "packs/00/11";

const std::vector<CompressionSetting> all_settings = {{.algorithm = Compression::none},
                                                      {.algorithm = Compression::lz4},
                                                      {.algorithm = Compression::zstd, .level = 1},
                                                      {.algorithm = Compression::zstd, .level = 9}};

// Half of it compresses.
Bytes chunk_of(std::size_t size, std::uint64_t seed) {
  auto bytes = random_bytes(size, seed);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(size / 2), bytes.end(), std::uint8_t{5});
  return bytes;
}

// Frame fields set anew, the checksum made to fit: what only the checks behind
// the checksum can find.
Bytes forged_frame(std::uint8_t kind, std::uint8_t compression, std::uint16_t chunks,
                   std::uint32_t plain_length, ByteView body) {
  ByteWriter out;
  out.u8(kind);
  out.u8(compression);
  out.u16(chunks);
  out.u32(plain_length);
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.u32(crc32c(body, crc32c(out.bytes())));
  out.raw(body);
  return out.take();
}

TEST(Frame, GivesBackOneChunk) {
  Compressor compressor;
  for (const auto setting : all_settings) {
    for (const std::size_t size : {1u, 100u, 131072u, 262144u, 1048576u}) {
      const auto chunk = chunk_of(size, size);
      const auto frame = decode_frame(compressor, encode_full_frame(compressor, setting, chunk));
      ASSERT_EQ(frame.chunks.size(), 1u);
      EXPECT_TRUE(std::ranges::equal(frame.chunks[0], chunk)) << size;
    }
  }
}

TEST(Frame, GivesBackTheChunksOfAGroupInOrder) {
  Compressor compressor;
  for (const auto setting : all_settings) {
    const std::vector<Bytes> chunks{chunk_of(8192, 1), chunk_of(1, 2), chunk_of(100'000, 3),
                                    chunk_of(8192, 1)};
    const auto frame = decode_frame(
        compressor, encode_group_frame(compressor, setting, {chunks.begin(), chunks.end()}));
    ASSERT_EQ(frame.chunks.size(), chunks.size());
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_TRUE(std::ranges::equal(frame.chunks[i], chunks[i])) << i;
    }
  }
}

TEST(Frame, CompressesWhatCompressesAndOnlyThat) {
  Compressor compressor;
  const CompressionSetting zstd{.algorithm = Compression::zstd, .level = 1};
  EXPECT_LT(encode_full_frame(compressor, zstd, Bytes(100'000, 5)).size(), 1000u);
  EXPECT_EQ(encode_full_frame(compressor, zstd, random_bytes(1000, 1)).size(), 1000u + 16);
}

TEST(Frame, NoticesEveryFlippedBit) {
  Compressor compressor;
  for (const auto setting : all_settings) {
    const auto chunk = chunk_of(300, 1);
    const auto other = chunk_of(40, 2);
    for (const auto& frame : {encode_full_frame(compressor, setting, chunk),
                              encode_group_frame(compressor, setting, {chunk, other})}) {
      for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
        auto damaged = frame;
        damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        EXPECT_EQ(error_of([&] { (void)decode_frame(compressor, damaged); }), "corrupt")
            << "bit " << bit;
      }
    }
  }
}

TEST(Frame, NoticesEveryTruncationAndWhatFollowsTheEnd) {
  Compressor compressor;
  auto frame = encode_full_frame(compressor, {}, chunk_of(300, 1));
  for (std::size_t length = 0; length < frame.size(); ++length) {
    EXPECT_EQ(error_of([&] { (void)decode_frame(compressor, ByteView(frame).first(length)); }),
              "corrupt")
        << length;
  }
  frame.push_back(0);
  EXPECT_EQ(error_of([&] { (void)decode_frame(compressor, frame); }), "corrupt");
}

TEST(Frame, GivesBackWhatWasStoredAsADifference) {
  Compressor compressor;
  Bytes back;
  for (const auto& [base_size, size] : {std::pair(262'144u, 262'144u), std::pair(100u, 262'144u),
                                        std::pair(500u, 70'000u), std::pair(5000u, 1u)}) {
    const auto base = random_bytes(base_size, 1);
    auto chunk = base;
    chunk.resize(size, 5);
    chunk[0] ^= 1;
    const auto frame = encode_delta_frame(compressor, 1, sha256(base), base, chunk);
    EXPECT_LT(frame.size(), 400u);
    EXPECT_EQ(base_of_delta_frame(frame), sha256(base));
    EXPECT_EQ(decode_delta_frame(compressor, frame, base, back), sha256(base));
    EXPECT_TRUE(back == chunk) << size;
  }
}

TEST(Frame, OfMoreThanCanBeReadIsNotMade) {
  Compressor compressor;
  Bytes chunk(frame_plain_bytes_max);
  EXPECT_EQ(decode_frame(compressor, encode_full_frame(compressor, {}, chunk)).plain, chunk);
  chunk.push_back(0);
  EXPECT_EQ(error_of([&] { (void)encode_full_frame(compressor, {}, chunk); }), "internal");
}

TEST(Frame, NoticesDamageOfADifference) {
  Compressor compressor;
  const auto base = random_bytes(3000, 1);
  auto chunk = base;
  chunk[7] ^= 1;
  const auto frame = encode_delta_frame(compressor, 1, sha256(base), base, chunk);
  Bytes back;
  const auto outcome = [&](ByteView damaged) {
    return error_of([&] { (void)decode_delta_frame(compressor, damaged, base, back); });
  };
  for_each_bit_flip(frame, [&](ByteView damaged, std::size_t bit) {
    EXPECT_EQ(outcome(damaged), "corrupt") << bit;
  });
  for_each_truncation(frame, [&](ByteView damaged) { EXPECT_EQ(outcome(damaged), "corrupt"); });
  const Bytes body(frame.begin() + 16, frame.end());
  ASSERT_EQ(outcome(forged_frame(3, 2, 1, 3000, body)), "nothing");
  EXPECT_EQ(outcome(forged_frame(3, 2, 2, 3000, body)), "corrupt");  // DELTA of two
  EXPECT_EQ(outcome(forged_frame(3, 0, 1, 3000, body)), "corrupt");  // not compressed
  EXPECT_EQ(outcome(forged_frame(3, 2, 1, 2999, body)), "corrupt");
  EXPECT_EQ(outcome(forged_frame(1, 2, 1, 3000, body)), "corrupt");  // no DELTA
  EXPECT_EQ(outcome(forged_frame(3, 2, 1, 3000, Bytes(31))), "corrupt");
  // A wrong base: either is noticed, or gives something else.
  const auto other = random_bytes(3000, 2);
  const auto wrong = error_of([&] { (void)decode_delta_frame(compressor, frame, other, back); });
  EXPECT_TRUE(wrong == "corrupt" || back != chunk);
  // One that failed leaves the next whole.
  EXPECT_EQ(outcome(frame), "nothing");
  EXPECT_TRUE(back == chunk);
}

TEST(Frame, RefusesFieldsThatContradictEachOtherUnderAFittingChecksum) {
  Compressor compressor;
  const auto body = random_bytes(100, 1);
  const auto outcome = [&](const Bytes& frame) {
    return error_of([&] { (void)decode_frame(compressor, frame); });
  };
  ASSERT_EQ(outcome(forged_frame(1, 0, 1, 100, body)), "nothing");
  EXPECT_EQ(outcome(forged_frame(1, 0, 0, 100, body)), "corrupt");  // no chunk
  EXPECT_EQ(outcome(forged_frame(1, 0, 2, 100, body)), "corrupt");  // FULL of two
  EXPECT_EQ(outcome(forged_frame(1, 0, 1, 99, body)), "corrupt");
  EXPECT_EQ(outcome(forged_frame(1, 0, 1, 101, body)), "corrupt");
  EXPECT_EQ(outcome(forged_frame(1, 2, 1, 100, body)), "corrupt");   // no zstd
  EXPECT_EQ(outcome(forged_frame(1, 1, 1, 1000, body)), "corrupt");  // no lz4
  EXPECT_EQ(outcome(forged_frame(1, 77, 1, 100, body)), "corrupt");
  EXPECT_EQ(outcome(forged_frame(1, 0, 1, 0xFFFFFFFF, body)), "corrupt");
  for (const auto kind : {std::uint8_t{0}, std::uint8_t{3}, std::uint8_t{4}, std::uint8_t{255}}) {
    EXPECT_EQ(outcome(forged_frame(kind, 0, 1, 100, body)), "corrupt") << int{kind};
  }

  ByteWriter group;
  group.u32(10);
  group.u32(20);
  group.raw(random_bytes(30, 1));
  ASSERT_EQ(outcome(forged_frame(2, 0, 2, 38, group.bytes())), "nothing");
  EXPECT_EQ(outcome(forged_frame(2, 0, 1, 38, group.bytes())), "corrupt");
  EXPECT_EQ(outcome(forged_frame(2, 0, 3, 38, group.bytes())), "corrupt");
  EXPECT_EQ(outcome(forged_frame(2, 0, 60000, 38, group.bytes())), "corrupt");
}

TEST(PackBuilder, PlacesFramesWhereItsDirectoryFindsThem) {
  const ObjectCodec codec;
  PackBuilder builder(codec, {});
  Compressor compressor;
  std::vector<Bytes> frames;
  std::vector<FrameLocation> places;
  for (std::size_t i = 1; i <= 50; ++i) {
    frames.push_back(encode_full_frame(compressor, {}, chunk_of(i * 777, i)));
    places.push_back(builder.append(frames.back()));
  }
  const auto pack = builder.finish(0);

  EXPECT_EQ(pack.digest, sha256(pack.bytes));
  EXPECT_TRUE(is_of_kind(pack.bytes, ObjectKind::pack));
  EXPECT_TRUE(read_pack_directory(ObjectCodec(), pack.bytes, pack_key) == places);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(ByteView(pack.bytes).subspan(places[i].offset, places[i].length),
                                   frames[i]));
  }
}

TEST(PackBuilder, StartsAnewAfterFinish) {
  const ObjectCodec codec;
  PackBuilder builder(codec, {});
  (void)builder.append(random_bytes(100, 1));
  const auto first = builder.finish(0);
  EXPECT_TRUE(builder.empty());
  (void)builder.append(random_bytes(100, 1));
  const auto second = builder.finish(0);
  EXPECT_TRUE(first.bytes == second.bytes);
  EXPECT_EQ(first.digest, second.digest);
}

TEST(PackBuilder, GivesPacksOfTheSameFramesDifferentDigests) {
  const ObjectCodec codec;
  PackBuilder builder(codec, {});
  (void)builder.append(random_bytes(100, 1));
  const auto first = builder.finish(0);
  (void)builder.append(random_bytes(100, 1));
  const auto second = builder.finish(1);
  EXPECT_NE(first.digest, second.digest);
  EXPECT_TRUE(read_pack_directory(ObjectCodec(), first.bytes, pack_key) ==
              read_pack_directory(ObjectCodec(), second.bytes, pack_key));
}

TEST(PackBuilder, KeepsToItsLimitsButTakesAnyFirstFrame) {
  const ObjectCodec codec;
  PackBuilder by_bytes(codec, {.bytes_max = 1000, .frames_max = 100});
  EXPECT_TRUE(by_bytes.fits(5000));
  (void)by_bytes.append(random_bytes(900, 1));
  EXPECT_TRUE(by_bytes.fits(1000 - 900 - envelope_bytes));
  EXPECT_FALSE(by_bytes.fits(1000 - 900 - envelope_bytes + 1));

  PackBuilder by_frames(codec, {.bytes_max = 1000, .frames_max = 2});
  (void)by_frames.append(random_bytes(1, 1));
  EXPECT_TRUE(by_frames.fits(1));
  (void)by_frames.append(random_bytes(1, 2));
  EXPECT_FALSE(by_frames.fits(1));
}

TEST(PackDirectory, NoticesEveryFlippedBitOutsideTheFrames) {
  const ObjectCodec codec;
  PackBuilder builder(codec, {});
  for (std::size_t i = 1; i <= 3; ++i) (void)builder.append(random_bytes(i * 100, i));
  const auto pack = builder.finish(0).bytes;
  const auto body_end = envelope_bytes + 600;
  for (std::size_t byte = 0; byte < pack.size(); ++byte) {
    // The salt of an envelope in clear text means nothing, frames have
    // checksums of their own, and the ordinal only tells packs apart.
    const auto ordinal_at = pack.size() - 20;
    if ((byte >= 16 && byte < body_end) || (byte >= ordinal_at && byte < ordinal_at + 4)) continue;
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto damaged = pack;
      damaged[byte] ^= static_cast<std::uint8_t>(1u << bit);
      EXPECT_EQ(error_of([&] { (void)read_pack_directory(ObjectCodec(), damaged, pack_key); }),
                byte >= 9 && byte < 16 ? "conflict" : "corrupt")
          << "byte " << byte;
    }
  }
}

TEST(PackDirectory, NoticesEveryTruncation) {
  const ObjectCodec codec;
  PackBuilder builder(codec, {});
  (void)builder.append(random_bytes(50, 1));
  (void)builder.append(random_bytes(200, 2));
  const auto pack = builder.finish(0).bytes;
  for (std::size_t length = 0; length < pack.size(); ++length) {
    EXPECT_EQ(error_of([&] {
                (void)read_pack_directory(ObjectCodec(), ByteView(pack).first(length), pack_key);
              }),
              "corrupt")
        << length;
  }
}

TEST(PackName, MakesAKeyOfWriterAndDigest) {
  PackName name;
  name.writer.bytes.fill(0xAB);
  name.digest.bytes.fill(0x01);
  std::string digits;
  for (int i = 0; i < 32; ++i) digits += "01";
  EXPECT_EQ(name.key(), "packs/abababababababababababababababab/" + digits);
  EXPECT_EQ(PackName::parse(name.key()), name);
  for (const auto& key : {std::string("packs/"), name.key() + "0", name.key().substr(1),
                          name.key().substr(0, 80), "plans/" + name.key().substr(6)}) {
    EXPECT_EQ(PackName::parse(key), std::nullopt) << key;
  }
}

}  // namespace
}  // namespace walvault
