#include "postgres/lsn.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

TEST(Lsn, IsWrittenAsTwoHexadecimalHalvesWithoutLeadingZeros) {
  EXPECT_EQ(Lsn{0x3000148}.text(), "0/3000148");
  EXPECT_EQ(Lsn{0x16'B374D848}.text(), "16/B374D848");
  EXPECT_EQ(Lsn{0x1'00000000}.text(), "1/0");
  EXPECT_EQ(Lsn{0}.text(), "0/0");
  EXPECT_EQ(Lsn{0xFFFFFFFF'FFFFFFFF}.text(), "FFFFFFFF/FFFFFFFF");
}

TEST(Lsn, ReadsBackWhatItWrites) {
  for (const std::uint64_t value :
       {0x0ull, 0x1ull, 0xFFFFFFFFull, 0x100000000ull, 0x16B374D848ull, 0xFFFFFFFFFFFFFFFFull}) {
    EXPECT_EQ(Lsn::parse(Lsn{value}.text()), Lsn{value}) << std::hex << value;
  }
}

TEST(Lsn, IsReadWithLeadingZerosAndInEitherCase) {
  EXPECT_EQ(Lsn::parse("00000016/b374d848"), Lsn{0x16'B374D848});
  EXPECT_EQ(Lsn::parse("0/03000148"), Lsn{0x3000148});
}

TEST(Lsn, RefusesWhatIsNotTwoHexadecimalNumbersOfOneToEightDigits) {
  for (const char* text :
       {"",     "/",    "0",    "0/",          "/0",          "3000148", "0/3000148/0", "0//1",
        "0/ 1", " 0/1", "0/1 ", "0/G",         "G/0",         "0x1/0",   "0/0x1",       "-1/0",
        "0/-1", "+1/0", "0/+1", "000000001/0", "0/123456789", "0/1\n",   "0\\1"}) {
    EXPECT_EQ(Lsn::parse(text), std::nullopt) << text;
  }
}

TEST(Lsn, IsOrderedAcrossItsHalves) {
  EXPECT_LT(*Lsn::parse("0/FFFFFFFF"), *Lsn::parse("1/0"));
  EXPECT_LT(*Lsn::parse("9/0"), *Lsn::parse("10/0"));
}

TEST(ParseHex, ReadsUpTo64Bits) {
  EXPECT_EQ(parse_hex("0"), 0u);
  EXPECT_EQ(parse_hex("fF"), 255u);
  EXPECT_EQ(parse_hex("FFFFFFFFFFFFFFFF"), 0xFFFFFFFFFFFFFFFFu);
  EXPECT_EQ(parse_hex("10000000000000000"), std::nullopt);
}

TEST(ParseHex, RefusesSignsPrefixesAndBlanks) {
  for (const char* text : {"", "-1", "-0", "+1", "0x1", " 1", "1 ", "g"}) {
    EXPECT_EQ(parse_hex(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace walvault
