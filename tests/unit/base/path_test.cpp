#include "base/path.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

TEST(InnerPath, StaysBelowWhereItIsPut) {
  for (const char* path : {"a", "a/b", "base/1/1259", "..a", "a..", ".a", "a/.../b", "a b"}) {
    EXPECT_TRUE(is_inner_path(path)) << path;
  }
}

TEST(InnerPath, IsNeitherEmptyNorAbsoluteNorWithEmptyOrDottedParts) {
  for (const char* path :
       {"", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b"}) {
    EXPECT_FALSE(is_inner_path(path)) << path;
  }
}

TEST(InnerPath, HasNoZeroBytes) {
  using namespace std::string_view_literals;
  EXPECT_FALSE(is_inner_path("a\0b"sv));
}

}  // namespace
}  // namespace walvault
