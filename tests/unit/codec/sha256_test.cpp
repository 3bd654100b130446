#include "codec/sha256.h"

#include <gtest/gtest.h>

#include <unordered_set>

#include "support/errors.h"

namespace walvault {
namespace {

// FIPS 180-4 and NIST's examples.
TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(sha256({}).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256(as_bytes("abc")).hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(Bytes(1'000'000, 'a')).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, IsTheSameWhereverTheInputIsCut) {
  const std::string text = "The quick brown fox jumps over the lazy dog, and over the next block.";
  const auto whole = sha256(as_bytes(text));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(as_bytes(text).first(cut));
    hash.update(as_bytes(text).subspan(cut));
    EXPECT_EQ(hash.finish(), whole) << cut;
  }
}

TEST(Sha256, OfNothingIsThatOfNoBytes) {
  Sha256 hash;
  EXPECT_EQ(hash.finish(), sha256({}));
}

TEST(Digest, TakesExactly32BytesFromAReader) {
  const auto digest = sha256(as_bytes("abc"));
  ByteWriter writer;
  writer.raw(digest.view());
  writer.u8(7);
  ByteReader reader(writer.bytes(), "a test");
  EXPECT_EQ(Digest::read(reader), digest);
  EXPECT_EQ(reader.u8(), 7);

  ByteReader cut(digest.view().first(31), "a test");
  expect_error(ErrorKind::corrupt, [&] { (void)Digest::read(cut); });
}

TEST(Digest, IsOrderedByItsBytes) {
  Digest low;
  Digest high;
  low.bytes[31] = 0xFF;
  high.bytes[0] = 0x01;
  EXPECT_LT(low, high);
}

TEST(Digest, IsFoundInAHashedSet) {
  std::unordered_set<Digest, DigestHash> set = {sha256(as_bytes("a")), sha256(as_bytes("b"))};
  EXPECT_TRUE(set.contains(sha256(as_bytes("a"))));
  EXPECT_FALSE(set.contains(sha256(as_bytes("c"))));
}

}  // namespace
}  // namespace walvault
