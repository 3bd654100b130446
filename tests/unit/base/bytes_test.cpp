#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/damage.h"
#include "support/errors.h"

namespace walvault {
namespace {

constexpr auto u64_max = std::numeric_limits<std::uint64_t>::max();

Bytes varint_of(std::uint64_t value) {
  ByteWriter writer;
  writer.varint(value);
  return writer.take();
}

TEST(Bytes, IsAllZeroForNoBytesAndForZerosOnly) {
  EXPECT_TRUE(is_all_zero({}));
  for (std::size_t length = 1; length <= 40; ++length) {
    Bytes bytes(length, 0);
    EXPECT_TRUE(is_all_zero(bytes)) << length;
    for (std::size_t i = 0; i < length; ++i) {
      bytes[i] = 1;
      EXPECT_FALSE(is_all_zero(bytes)) << i << " of " << length;
      bytes[i] = 0;
    }
  }
}

TEST(Bytes, IsNotAllZeroWhenEveryByteIsTheSameOtherValue) {
  EXPECT_FALSE(is_all_zero(Bytes(16, 0xFF)));
}

TEST(Bytes, PrintsLowerCaseHexWithTwoDigitsAByte) {
  EXPECT_EQ(to_hex({}), "");
  EXPECT_EQ(to_hex(Bytes{0x00, 0x0A, 0xF0, 0xFF}), "000af0ff");
}

TEST(Hex, IsReadBackAndNothingElseIs) {
  Bytes bytes(4);
  EXPECT_TRUE(from_hex("000af0ff", bytes));
  EXPECT_EQ(bytes, (Bytes{0x00, 0x0A, 0xF0, 0xFF}));
  for (const auto* const text : {"", "000af0f", "000af0ff0", "000AF0FF", "000af0fg", "000af0 f"}) {
    EXPECT_FALSE(from_hex(text, bytes)) << text;
  }
}

TEST(ByteWriter, WritesFixedIntegersLittleEndian) {
  ByteWriter writer;
  writer.u8(0x01);
  writer.u16(0x0302);
  writer.u32(0x07060504);
  writer.u64(0x0F0E0D0C0B0A0908);
  EXPECT_EQ(to_hex(writer.bytes()), "0102030405060708090a0b0c0d0e0f");
}

TEST(ByteWriter, WritesVarintsSevenBitsAByteLowestFirst) {
  EXPECT_EQ(to_hex(varint_of(0)), "00");
  EXPECT_EQ(to_hex(varint_of(127)), "7f");
  EXPECT_EQ(to_hex(varint_of(128)), "8001");
  EXPECT_EQ(to_hex(varint_of(300)), "ac02");
  EXPECT_EQ(to_hex(varint_of(u64_max)), "ffffffffffffffffff01");
}

TEST(ByteWriter, PrecedesATextByItsLength) {
  ByteWriter writer;
  writer.string("wal");
  EXPECT_EQ(to_hex(writer.bytes()), "0377616c");
}

TEST(ByteReader, ReadsBackWhatWasWritten) {
  ByteWriter writer;
  writer.u8(0xFF);
  writer.u16(0xFFFE);
  writer.u32(0xFFFFFFFD);
  writer.u64(u64_max);
  writer.i64(std::numeric_limits<std::int64_t>::min());
  writer.i64(-1);
  writer.string(std::string("a\0b", 3));
  writer.raw(Bytes{9, 8});

  ByteReader reader(writer.bytes(), "a test");
  EXPECT_EQ(reader.u8(), 0xFF);
  EXPECT_EQ(reader.u16(), 0xFFFE);
  EXPECT_EQ(reader.u32(), 0xFFFFFFFD);
  EXPECT_EQ(reader.u64(), u64_max);
  EXPECT_EQ(reader.i64(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(reader.i64(), -1);
  EXPECT_EQ(reader.string(), std::string("a\0b", 3));
  EXPECT_EQ(reader.left(), 2u);
  EXPECT_EQ(to_hex(reader.raw(2)), "0908");
  EXPECT_EQ(reader.position(), writer.size());
  EXPECT_NO_THROW(reader.expect_end());
}

TEST(ByteReader, ReadsBackVarintsAtEveryPowerOfTwo) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const auto value : {(1ull << shift) - 1, 1ull << shift, (1ull << shift) + 1}) {
      const auto bytes = varint_of(value);
      ByteReader reader(bytes, "a test");
      EXPECT_EQ(reader.varint(), value);
      EXPECT_EQ(reader.left(), 0u) << value;
    }
  }
}

TEST(ByteReader, RefusesEveryInputThatIsCutShort) {
  ByteWriter writer;
  writer.u8(1);
  writer.u16(2);
  writer.u32(3);
  writer.u64(4);
  writer.varint(u64_max);
  writer.string("text");
  for_each_truncation(writer.bytes(), [](ByteView cut) {
    expect_error(ErrorKind::corrupt, [&] {
      ByteReader reader(cut, "a test");
      (void)reader.u8();
      (void)reader.u16();
      (void)reader.u32();
      (void)reader.u64();
      (void)reader.varint();
      (void)reader.string();
    });
  });
}

TEST(ByteReader, RefusesAVarintOfMoreThan64Bits) {
  const Bytes one_bit_more = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02};
  const Bytes one_byte_more = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0x00};
  for (const auto& bytes : {one_bit_more, one_byte_more}) {
    ByteReader reader(bytes, "a test");
    expect_error(ErrorKind::corrupt, [&] { (void)reader.varint(); });
  }
}

TEST(ByteReader, HoldsATextToItsLimit) {
  ByteWriter writer;
  writer.string("12345678");
  EXPECT_EQ(ByteReader(writer.bytes(), "a test").string(8), "12345678");
  expect_error(ErrorKind::corrupt, [&] { (void)ByteReader(writer.bytes(), "a test").string(7); });
}

TEST(ByteReader, RefusesAForgedTextLength) {
  for (const auto length : {std::uint64_t{5}, std::uint64_t{1} << 32, u64_max}) {
    auto bytes = varint_of(length);
    bytes.insert(bytes.end(), {'t', 'e', 'x', 't'});
    expect_error(ErrorKind::corrupt, [&] {
      (void)ByteReader(bytes, "a test").string(std::numeric_limits<std::size_t>::max());
    });
  }
}

TEST(ByteReader, RefusesToSkipFurtherThanTheEndEvenWhereThePositionWouldWrap) {
  const Bytes bytes(8);
  ByteReader reader(bytes, "a test");
  (void)reader.u32();
  expect_error(ErrorKind::corrupt, [&] { (void)reader.raw(5); });
  expect_error(ErrorKind::corrupt,
               [&] { (void)reader.raw(std::numeric_limits<std::size_t>::max()); });
  EXPECT_EQ(reader.raw(4).size(), 4u);
}

TEST(ByteReader, AcceptsACountOnlyWhenThatManyThingsFitIntoTheRest) {
  auto bytes = varint_of(3);
  bytes.resize(1 + 12);
  EXPECT_EQ(ByteReader(bytes, "a test").count(4), 3u);
  expect_error(ErrorKind::corrupt, [&] { (void)ByteReader(bytes, "a test").count(5); });

  auto forged = varint_of(u64_max);
  forged.resize(forged.size() + 12);
  expect_error(ErrorKind::corrupt, [&] { (void)ByteReader(forged, "a test").count(0); });
  expect_error(ErrorKind::corrupt, [&] { (void)ByteReader(forged, "a test").count(8); });
}

TEST(ByteReader, RefusesBytesThatFollowTheEnd) {
  const Bytes bytes(2);
  ByteReader reader(bytes, "a test");
  (void)reader.u8();
  expect_error(ErrorKind::corrupt, [&] { reader.expect_end(); });
}

TEST(ByteReader, NamesWhatItReadsInItsErrors) {
  const auto error =
      expect_error(ErrorKind::corrupt, [] { (void)ByteReader({}, "the pack's index").u8(); });
  EXPECT_EQ(error.message(), "the pack's index is damaged");
}

}  // namespace
}  // namespace walvault
