#include "codec/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/damage.h"
#include "support/errors.h"
#include "support/test_data.h"

namespace walvault {
namespace {

constexpr CompressionSetting settings[] = {
    {.algorithm = Compression::none, .level = 0},  {.algorithm = Compression::lz4, .level = 0},
    {.algorithm = Compression::zstd, .level = 1},  {.algorithm = Compression::zstd, .level = -7},
    {.algorithm = Compression::zstd, .level = 19},
};

// A page of rows that resemble each other.
Bytes compressible_bytes() {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "row " + std::to_string(i) + " of the table accounts\n";
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

class EverySetting : public testing::TestWithParam<CompressionSetting> {
 protected:
  Compressor compressor_;
};
INSTANTIATE_TEST_SUITE_P(Compression, EverySetting, testing::ValuesIn(settings));

TEST_P(EverySetting, GivesBackWhatWasCompressed) {
  for (const auto& plain : {compressible_bytes(), Bytes(8192, 0), random_bytes(8192, 1),
                            random_bytes(1, 1), Bytes(1, 0), Bytes{}}) {
    Bytes stored = {1, 2, 3};  // what it held before goes
    const auto used = compressor_.compress(GetParam(), plain, stored);
    Bytes back(plain.size(), 0xEE);
    compressor_.decompress(used, stored, back);
    EXPECT_EQ(back, plain) << plain.size();
  }
}

TEST_P(EverySetting, SavesSpaceWhereThereIsSpaceToSave) {
  const auto plain = compressible_bytes();
  Bytes stored;
  EXPECT_EQ(compressor_.compress(GetParam(), plain, stored), GetParam().algorithm);
  if (GetParam().algorithm != Compression::none) {
    EXPECT_LT(stored.size(), plain.size() / 2);
  }
}

TEST_P(EverySetting, StoresWhatDoesNotCompressAsItIs) {
  for (const auto& plain : {random_bytes(8192, 1), random_bytes(3, 1), Bytes{}}) {
    Bytes stored;
    EXPECT_EQ(compressor_.compress(GetParam(), plain, stored), Compression::none);
    EXPECT_EQ(stored, plain);
  }
}

TEST_P(EverySetting, RefusesToGiveAnotherLengthThanWasCompressed) {
  const auto plain = compressible_bytes();
  Bytes stored;
  const auto used = compressor_.compress(GetParam(), plain, stored);
  for (const auto length :
       {std::size_t{0}, std::size_t{1}, plain.size() - 1, plain.size() + 1, plain.size() * 2}) {
    Bytes back(length);
    expect_error(ErrorKind::corrupt, [&] { compressor_.decompress(used, stored, back); });
  }
}

TEST_P(EverySetting, RefusesWhatIsCutShortAtAnyLength) {
  const Bytes plain(512, 'x');
  Bytes stored;
  const auto used = compressor_.compress(GetParam(), plain, stored);
  Bytes back(plain.size());
  for_each_truncation(stored, [&](ByteView cut) {
    expect_error(ErrorKind::corrupt, [&] { compressor_.decompress(used, cut, back); });
  });
}

TEST_P(EverySetting, NeverWritesPastTheEndWhicheverBitIsDamaged) {
  const Bytes plain(512, 'x');
  Bytes stored;
  const auto used = compressor_.compress(GetParam(), plain, stored);
  for_each_bit_flip(stored, [&](ByteView damaged, std::size_t bit) {
    Bytes back(plain.size() + 64, 0xEE);
    try {
      compressor_.decompress(used, damaged, std::span(back).first(plain.size()));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt) << bit;
    }
    EXPECT_EQ(Bytes(back.begin() + 512, back.end()), Bytes(64, 0xEE)) << bit;
  });
}

TEST(Compressor, CanBeUsedAgainAfterDamage) {
  Compressor compressor;
  const auto plain = compressible_bytes();
  Bytes stored;
  const auto used = compressor.compress({}, plain, stored);
  Bytes back(plain.size());
  expect_error(ErrorKind::corrupt, [&] {
    compressor.decompress(used, ByteView(stored).first(stored.size() / 2), back);
  });
  compressor.decompress(used, stored, back);
  EXPECT_EQ(back, plain);
}

TEST(Compressor, DoesNotTakeOneAlgorithmsBytesForAnothers) {
  Compressor compressor;
  const auto plain = compressible_bytes();
  Bytes stored;
  ASSERT_EQ(compressor.compress({}, plain, stored), Compression::zstd);
  Bytes back(plain.size());
  expect_error(ErrorKind::corrupt, [&] { compressor.decompress(Compression::lz4, stored, back); });
  expect_error(ErrorKind::corrupt, [&] { compressor.decompress(Compression::none, stored, back); });
}

TEST(CompressionFromDisk, KnowsItsThreeNumbersAndNoOther) {
  EXPECT_EQ(compression_from_disk(0), Compression::none);
  EXPECT_EQ(compression_from_disk(1), Compression::lz4);
  EXPECT_EQ(compression_from_disk(2), Compression::zstd);
  for (int value = 3; value < 256; ++value) {
    expect_error(ErrorKind::corrupt,
                 [&] { (void)compression_from_disk(static_cast<std::uint8_t>(value)); });
  }
}

TEST(ParseCompression, ReadsNamesAndLevels) {
  EXPECT_EQ(parse_compression("none", "x").algorithm, Compression::none);
  EXPECT_EQ(parse_compression("lz4", "x").algorithm, Compression::lz4);
  EXPECT_EQ(parse_compression("zstd", "x"), (CompressionSetting{Compression::zstd, 1}));
  EXPECT_EQ(parse_compression("zstd:3", "x"), (CompressionSetting{Compression::zstd, 3}));
  EXPECT_EQ(parse_compression("zstd:19", "x"), (CompressionSetting{Compression::zstd, 19}));
  EXPECT_EQ(parse_compression("zstd:-7", "x"), (CompressionSetting{Compression::zstd, -7}));
}

TEST(ParseCompression, RefusesEverythingElse) {
  for (const char* text :
       {"", "gzip", "ZSTD", "zstd:", "zstd:20", "zstd:-8", "zstd:x", "zstd:3x", "zstd: 3",
        "zstd:1.5", "zstd 3", "zstd:99999999999", "lz4:1", "none:0", " none"}) {
    SCOPED_TRACE(text);
    const auto error =
        expect_error(ErrorKind::usage, [&] { (void)parse_compression(text, "wal_compression"); });
    EXPECT_THAT(error.message(), testing::HasSubstr("wal_compression"));
  }
}

}  // namespace
}  // namespace walvault
