#include "repository/object_codec.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/test_data.h"

namespace walvault {
namespace {

constexpr std::string_view key = "pins/00/1";

TEST(Sealed, GivesBackItsPayload) {
  for (const std::size_t size : {0u, 1u, 31u, 5000u}) {
    const auto payload = random_bytes(size, size + 1);
    EXPECT_TRUE(ObjectCodec().unseal(ObjectKind::pin, key,
                                     ObjectCodec().seal(ObjectKind::pin, key, payload)) == payload);
  }
}

TEST(Sealed, NoticesEveryFlippedBit) {
  const auto sealed = ObjectCodec().seal(ObjectKind::pin, key, as_bytes("a payload"));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    auto damaged = sealed;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    // In version, flags and key epoch, too, where it looks like a newer writer's work.
    EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, damaged); }),
              "corrupt")
        << "bit " << bit;
  }
}

TEST(Sealed, NoticesEveryTruncationAndWhatFollowsTheEnd) {
  const auto sealed = ObjectCodec().seal(ObjectKind::pin, key, as_bytes("a payload"));
  for (std::size_t length = 0; length < sealed.size(); ++length) {
    EXPECT_EQ(error_of([&] {
                (void)ObjectCodec().unseal(ObjectKind::pin, key, ByteView(sealed).first(length));
              }),
              "corrupt")
        << length;
  }
  auto longer = sealed;
  longer.push_back(0);
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, longer); }), "corrupt");
}

TEST(Sealed, NoticesAnObjectThatWasMovedToAnotherKey) {
  const auto sealed = ObjectCodec().seal(ObjectKind::pin, key, as_bytes("a payload"));
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, "pins/00/2", sealed); }),
            "corrupt");
}

TEST(Sealed, NoticesAnObjectOfAnotherKind) {
  const auto sealed = ObjectCodec().seal(ObjectKind::plan, key, as_bytes("a payload"));
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, sealed); }), "corrupt");
}

TEST(Sealed, RefusesANewerVersionRatherThanCallItDamaged) {
  auto newer = ObjectCodec().seal(ObjectKind::pin, key, as_bytes("a payload"));
  newer[9] = envelope_version + 1;
  // Its writer's digest covers what it wrote; where it lies this program need not know.
  const auto end = newer.size() - sizeof(Digest::bytes);
  const auto digest = digest_at_key(key, ByteView(newer).first(end));
  std::ranges::copy(digest.view(), newer.begin() + static_cast<std::ptrdiff_t>(end));
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, newer); }), "conflict");
  newer.back() ^= 1;
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, newer); }), "conflict");
}

TEST(Sealed, RefusesAPayloadLengthBeyondTheObject) {
  auto sealed = ObjectCodec().seal(ObjectKind::pin, key, as_bytes("a payload"));
  for (std::size_t i = 0; i < 8; ++i) sealed[envelope_bytes + i] = 0xFF;
  EXPECT_EQ(error_of([&] { (void)ObjectCodec().unseal(ObjectKind::pin, key, sealed); }), "corrupt");
}

TEST(Envelope, Has32BytesThatTellTheKind) {
  ByteWriter out;
  ObjectCodec().begin(out, ObjectKind::tombstone);
  EXPECT_EQ(out.size(), envelope_bytes);
  EXPECT_TRUE(is_of_kind(out.bytes(), ObjectKind::tombstone));
  EXPECT_FALSE(is_of_kind(out.bytes(), ObjectKind::root));
  EXPECT_FALSE(is_of_kind(ByteView(out.bytes()).first(8), ObjectKind::tombstone));
  EXPECT_FALSE(is_of_kind(as_bytes("something else altogether"), ObjectKind::tombstone));
}

TEST(DigestAtKey, DistinguishesWhereTheKeyEnds) {
  EXPECT_NE(digest_at_key("ab", as_bytes("c")), digest_at_key("a", as_bytes("bc")));
}

}  // namespace
}  // namespace walvault
