#include "catalog/cluster.h"

#include <gtest/gtest.h>

#include "support/memory_repository.h"
#include "support/test_data.h"

namespace walvault {
namespace {

ClusterIdentity cluster(const std::string& name, std::uint64_t system_identifier = 77) {
  return {.name = name,
          .number = 1,
          .system_identifier = system_identifier,
          .postgres_major = 15,
          .segment_bytes = 16u << 20,
          .registered = Timestamp(std::chrono::seconds(1'790'000'000))};
}

TEST(ClusterName, IsLowerCaseLettersDigitsAndDashes) {
  for (const auto& name : {std::string("main"), std::string("a"), std::string("0"),
                           std::string("billing-2_x"), std::string(63, 'a'), std::string("9-")}) {
    EXPECT_EQ(error_of([&] { check_cluster_name(name); }), "nothing") << name;
  }
  for (const auto& name :
       {std::string(), std::string("Main"), std::string("-a"), std::string("_a"),
        std::string("a b"), std::string("a/b"), std::string("a.b"), std::string(".."),
        std::string(64, 'a'), std::string("\xC3\xA4"), std::string("a\0b", 3)}) {
    EXPECT_EQ(error_of([&] { check_cluster_name(name); }), "usage") << name;
  }
}

TEST(Cluster, IsFoundAsItWasAdded) {
  MemoryRepository made;
  EXPECT_FALSE(find_cluster(made.repository, "main").has_value());
  EXPECT_TRUE(add_cluster(made.repository, cluster("main")));
  const auto found = find_cluster(made.repository, "main");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "main");
  EXPECT_EQ(found->number, 1u);
  EXPECT_EQ(found->system_identifier, 77u);
  EXPECT_EQ(found->postgres_major, 15);
  EXPECT_EQ(found->segment_bytes, 16u << 20);
  EXPECT_EQ(found->registered, cluster("main").registered);
}

TEST(Cluster, IsAddedAgainWithoutHarm) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")));
  const auto keys = keys_under(made.storage, "");
  EXPECT_FALSE(add_cluster(made.repository, cluster("main")));
  EXPECT_EQ(keys_under(made.storage, ""), keys);
}

TEST(Cluster, KeepsItsNameFromOthers) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")));
  auto other = cluster("main");
  other.system_identifier = 78;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  other = cluster("main");
  other.postgres_major = 16;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  other = cluster("main");
  other.segment_bytes = 64u << 20;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  EXPECT_EQ(get_cluster(made.repository, "main").system_identifier, 77u);
  EXPECT_TRUE(add_cluster(made.repository, cluster("other", 78)));
}

TEST(Cluster, RefusesABadNameEverywhere) {
  MemoryRepository made;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, cluster("../x")); }), "usage");
  EXPECT_EQ(error_of([&] { (void)find_cluster(made.repository, "../x"); }), "usage");
  EXPECT_EQ(error_of([&] { (void)get_cluster(made.repository, ""); }), "usage");
}

TEST(Cluster, NamesThoseThatAreThereWhenOneIsNot) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("billing")));
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")));
  EXPECT_EQ(error_of([&] { (void)get_cluster(made.repository, "none"); }), "not_found");
  const auto words = words_of_error([&] { (void)get_cluster(made.repository, "none"); });
  EXPECT_NE(words.find("billing, main"), std::string::npos) << words;
}

TEST(Cluster, GoesByItsNewestIdentity) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)));
  auto upgraded = cluster("main", 99);
  upgraded.number = 2;
  upgraded.postgres_major = 16;
  // As a registration of the further identity will put it.
  ByteWriter payload;
  payload.u8(1);
  payload.string("main");
  payload.u64(99);
  payload.u32(16);
  payload.u32(16u << 20);
  payload.i64(0);
  ASSERT_TRUE(made.repository.put_sealed(ObjectKind::cluster, "clusters/main/2", payload.bytes()));
  EXPECT_EQ(get_cluster(made.repository, "main").number, 2u);
  EXPECT_EQ(get_cluster(made.repository, "main").system_identifier, 99u);
  EXPECT_EQ(list_clusters(made.repository).size(), 1u);
}

TEST(Cluster, IsGoneWhenItWasRemoved) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)));
  ByteWriter payload;
  payload.u8(2);
  payload.string("main");
  payload.u64(77);
  payload.u32(15);
  payload.u32(16u << 20);
  payload.i64(0);
  ASSERT_TRUE(made.repository.put_sealed(ObjectKind::cluster, "clusters/main/2", payload.bytes()));
  EXPECT_FALSE(find_cluster(made.repository, "main").has_value());
  EXPECT_TRUE(list_clusters(made.repository).empty());
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, cluster("main", 77)); }), "conflict");
}

TEST(Cluster, TellsDamageFromAbsence) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")));
  auto object = *made.storage.find("clusters/main/1", whole_object);
  object[45] ^= 1;
  made.storage.overwrite("clusters/main/1", object);
  EXPECT_EQ(error_of([&] { (void)find_cluster(made.repository, "main"); }), "corrupt");
}

TEST(Cluster, RefusesASegmentSizeThatPostgresDoesNotHave) {
  MemoryRepository made;
  ByteWriter payload;
  payload.u8(1);
  payload.string("main");
  payload.u64(77);
  payload.u32(15);
  payload.u32(0);  // would be divided by
  payload.i64(0);
  ASSERT_TRUE(made.repository.put_sealed(ObjectKind::cluster, "clusters/main/1", payload.bytes()));
  EXPECT_EQ(error_of([&] { (void)find_cluster(made.repository, "main"); }), "corrupt");
}

}  // namespace
}  // namespace walvault
