#include "postgres/relation_path.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

void expect_relation(std::string_view path, const RelationFile& relation, std::string_view fork,
                     std::uint32_t segment) {
  SCOPED_TRACE(path);
  const auto found = parse_relation_path(path);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->relation, relation);
  EXPECT_EQ(found->fork, fork);
  EXPECT_EQ(found->segment, segment);
}

TEST(RelationPath, TellsTheRelationItsForkAndItsSegment) {
  expect_relation("base/5/16384", {.tablespace = 1663, .database = 5, .number = 16384}, "", 0);
  expect_relation("base/5/16384_vm.12", {.tablespace = 1663, .database = 5, .number = 16384}, "vm",
                  12);
  expect_relation("global/1262_fsm", {.tablespace = 1664, .database = 0, .number = 1262}, "fsm", 0);
  expect_relation("pg_tblspc/16400/PG_17_202406281/5/16385_init",
                  {.tablespace = 16400, .database = 5, .number = 16385}, "init", 0);
}

TEST(RelationPath, AnythingElseIsNone) {
  for (const auto* const path :
       {"", "base", "base/5", "base/5/", "base/5/PG_VERSION", "base/5/pg_filenode.map",
        "base/5/t3_16384", "base/5/16384_other", "base/5/16384.", "base/5/16384.x", "base/x/16384",
        "base/5/6/16384", "global/pg_control", "pg_tblspc/16400/5/16385",
        "pg_tblspc/16400/PG_17_202406281/16385", "base/5/99999999999", "16384", "/5/16384"}) {
    EXPECT_FALSE(parse_relation_path(path)) << path;
  }
}

}  // namespace
}  // namespace walvault
