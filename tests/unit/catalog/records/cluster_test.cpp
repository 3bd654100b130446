#include "catalog/records/cluster.h"

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
          .geometry = {16u << 20},
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
  EXPECT_TRUE(add_cluster(made.repository, cluster("main")).anew);
  const auto found = find_cluster(made.repository, "main");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "main");
  EXPECT_EQ(found->number, 1u);
  EXPECT_EQ(found->system_identifier, 77u);
  EXPECT_EQ(found->postgres_major, 15);
  EXPECT_EQ(found->geometry.segment_bytes, 16u << 20);
  EXPECT_EQ(found->registered, cluster("main").registered);
}

TEST(Cluster, IsAddedAgainWithoutHarm) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")).anew);
  const auto keys = keys_under(made.storage, "");
  EXPECT_FALSE(add_cluster(made.repository, cluster("main")).anew);
  EXPECT_EQ(keys_under(made.storage, ""), keys);
}

TEST(Cluster, KeepsItsNameFromOthers) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")).anew);
  auto other = cluster("main");
  other.system_identifier = 78;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  other = cluster("main");
  other.postgres_major = 16;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  other = cluster("main");
  other.geometry = {64u << 20};
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, other); }), "conflict");
  EXPECT_EQ(get_cluster(made.repository, "main").system_identifier, 77u);
  EXPECT_TRUE(add_cluster(made.repository, cluster("other", 78)).anew);
}

TEST(Cluster, RefusesABadNameEverywhere) {
  MemoryRepository made;
  EXPECT_EQ(error_of([&] { add_cluster(made.repository, cluster("../x")); }), "usage");
  EXPECT_EQ(error_of([&] { (void)find_cluster(made.repository, "../x"); }), "usage");
  EXPECT_EQ(error_of([&] { (void)get_cluster(made.repository, ""); }), "usage");
}

TEST(Cluster, NamesThoseThatAreThereWhenOneIsNot) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("billing")).anew);
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")).anew);
  EXPECT_EQ(error_of([&] { (void)get_cluster(made.repository, "none"); }), "not_found");
  const auto words = words_of_error([&] { (void)get_cluster(made.repository, "none"); });
  EXPECT_NE(words.find("billing, main"), std::string::npos) << words;
}

ClusterIdentity upgraded(std::uint64_t system_identifier, int major) {
  auto identity = cluster("main", system_identifier);
  identity.postgres_major = major;
  return identity;
}

std::vector<std::uint32_t> numbers_of(const Repository& repository, const std::string& name) {
  std::vector<std::uint32_t> numbers;
  for (const auto& identity : cluster_identities(repository, name)) {
    numbers.push_back(identity.number);
  }
  return numbers;
}

TEST(Cluster, GoesByItsNewestIdentityAndKeepsTheOlder) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)).anew);
  const auto upgrade = upgrade_cluster(made.repository, upgraded(99, 16));
  EXPECT_TRUE(upgrade.anew);
  EXPECT_EQ(upgrade.identity.number, 2u);
  EXPECT_EQ(get_cluster(made.repository, "main").number, 2u);
  EXPECT_EQ(get_cluster(made.repository, "main").system_identifier, 99u);
  EXPECT_EQ(get_cluster_identity(made.repository, "main", 1).system_identifier, 77u);
  EXPECT_EQ(numbers_of(made.repository, "main"), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(list_clusters(made.repository).size(), 1u);
  EXPECT_EQ(error_of([&] { (void)get_cluster_identity(made.repository, "main", 3); }), "not_found");
  EXPECT_EQ(error_of([&] { (void)get_cluster_identity(made.repository, "main", 0); }), "not_found");
}

TEST(Cluster, IsUpgradedAgainWithoutHarm) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)).anew);
  ASSERT_TRUE(upgrade_cluster(made.repository, upgraded(99, 16)).anew);
  const auto keys = keys_under(made.storage, "");
  EXPECT_FALSE(upgrade_cluster(made.repository, upgraded(99, 16)).anew);
  EXPECT_EQ(keys_under(made.storage, ""), keys);
}

TEST(Cluster, AcceptsOnlyWhatCanBeItsUpgrade) {
  MemoryRepository made;
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(99, 16)); }), "not_found");
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)).anew);
  const auto keys = keys_under(made.storage, "");
  // The old server, under a major that it cannot have.
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(77, 16)); }), "conflict");
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(99, 14)); }), "conflict");
  EXPECT_EQ(keys_under(made.storage, ""), keys);
  ASSERT_TRUE(upgrade_cluster(made.repository, upgraded(99, 16)).anew);
  // The server from before the upgrade.
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(77, 15)); }), "conflict");
}

TEST(Cluster, IsGoneWhenItWasRemovedAndMayBeRegisteredAnew) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)).anew);
  remove_cluster(made.repository, "main", {});
  EXPECT_FALSE(find_cluster(made.repository, "main").has_value());
  EXPECT_TRUE(list_clusters(made.repository).empty());
  EXPECT_EQ(error_of([&] { remove_cluster(made.repository, "main", {}); }), "not_found");
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(99, 16)); }), "not_found");

  const auto again = add_cluster(made.repository, cluster("main", 77));
  EXPECT_TRUE(again.anew);
  EXPECT_EQ(again.identity.number, 3u);
  // What was stored before the removal stays under numbers that do not count.
  EXPECT_EQ(numbers_of(made.repository, "main"), (std::vector<std::uint32_t>{3}));
  EXPECT_EQ(error_of([&] { (void)get_cluster_identity(made.repository, "main", 1); }), "not_found");
}

TEST(Cluster, GoesOnWithoutAnIdentityThatIsGoneOrDamagedButForAnUpgrade) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main", 77)).anew);
  ASSERT_TRUE(upgrade_cluster(made.repository, upgraded(99, 16)).anew);
  auto damaged = made.storage.find("clusters/main/1", whole_object).value();
  damaged.back() ^= 1;
  made.storage.overwrite("clusters/main/1", damaged);
  EXPECT_EQ(numbers_of(made.repository, "main"), (std::vector<std::uint32_t>{2}));
  made.storage.remove({"clusters/main/1"});
  EXPECT_EQ(numbers_of(made.repository, "main"), (std::vector<std::uint32_t>{2}));
  // Its system identifier is not known any more: this server may be the old one.
  EXPECT_EQ(error_of([&] { upgrade_cluster(made.repository, upgraded(77, 16)); }), "corrupt");
}

TEST(Cluster, TellsDamageFromAbsence) {
  MemoryRepository made;
  ASSERT_TRUE(add_cluster(made.repository, cluster("main")).anew);
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
