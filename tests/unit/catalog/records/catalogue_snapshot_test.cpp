#include "catalog/records/catalogue_snapshot.h"

#include <gtest/gtest.h>

#include "support/damage.h"
#include "support/memory_repository.h"
#include "support/test_data.h"
#include "support/wal_files.h"

namespace walvault {
namespace {

CatalogueSnapshot example(Lsn lsn = {0x1'0000'0028}) {
  CatalogueSnapshot snapshot{
      .lsn = lsn, .taken = Timestamp(std::chrono::hours(1)), .databases = {}};
  snapshot.databases.push_back({.oid = 5, .name = "app", .unknown = {}, .relations = {}});
  snapshot.databases.back().relations = {
      {.file = {1663, 5, 1259}, .oid = 1259, .kind = 'r', .name = "pg_catalog.pg_class"},
      {.file = {1663, 5, 16385}, .oid = 16384, .kind = 'm', .name = "public.\"odd\nname\""},
      {.file = {1664, 5, 1262}, .oid = 1262, .kind = 'r', .name = "pg_catalog.pg_database"}};
  snapshot.databases.push_back(
      {.oid = 1, .name = "template0", .unknown = "no connections", .relations = {}});
  return snapshot;
}

TEST(CatalogueSnapshot, IsReadAsItWasWritten) {
  const auto written = example();
  const auto bytes = encode_catalogue(written);
  const auto read = decode_catalogue(bytes);
  EXPECT_TRUE(read == written);
  ASSERT_NE(read.find({1663, 5, 16385}), nullptr);
  EXPECT_EQ(read.find({1663, 5, 16385})->oid, 16384u);
  EXPECT_EQ(read.find({1663, 5, 16386}), nullptr);
  EXPECT_EQ(read.find({1663, 6, 16385}), nullptr);
  for_each_truncation(bytes, [](ByteView cut) {
    EXPECT_EQ(error_of([&] { (void)decode_catalogue(cut); }), "corrupt");
  });
}

TEST(CatalogueSnapshot, NeverReadsPastDamage) {
  const auto bytes = encode_catalogue(example());
  for_each_bit_flip(bytes, [](ByteView damaged, std::size_t) {
    const auto error = error_of([&] { (void)decode_catalogue(damaged); });
    EXPECT_TRUE(error == "nothing" || error == "corrupt") << error;
  });
}

TEST(CatalogueSnapshot, IsStoredOnlyWhereSomethingChanged) {
  MemoryRepository made;
  const auto identity = test_cluster();
  EXPECT_TRUE(list_catalogues(made.repository, identity).empty());
  EXPECT_TRUE(put_catalogue(made.repository, identity, example({100})));
  EXPECT_FALSE(put_catalogue(made.repository, identity, example({200})));
  auto other = example({300});
  other.databases[0].relations.pop_back();
  EXPECT_TRUE(put_catalogue(made.repository, identity, other));
  EXPECT_TRUE(put_catalogue(made.repository, identity, example({0x2'0000'0000})));
  const auto stored = list_catalogues(made.repository, identity);
  ASSERT_EQ(stored.size(), 3u);
  EXPECT_EQ(stored[0].lsn, Lsn{100});
  EXPECT_EQ(stored[1].lsn, Lsn{300});
  EXPECT_EQ(stored[2].lsn, Lsn{0x2'0000'0000});
  EXPECT_TRUE(get_catalogue(made.repository, stored[1]) == other);
}

}  // namespace
}  // namespace walvault
