#include "postgres/text_lines.h"

#include <gtest/gtest.h>

namespace walvault {
namespace {

using Lines = std::vector<std::string_view>;

TEST(SplitLines, DropsEitherKindOfLineEnd) {
  EXPECT_EQ(split_lines("one\ntwo\r\nthree\n"), (Lines{"one", "two", "three"}));
}

TEST(SplitLines, NeedsNoEndAfterTheLastLine) {
  EXPECT_EQ(split_lines("one\ntwo"), (Lines{"one", "two"}));
  EXPECT_EQ(split_lines("one"), (Lines{"one"}));
}

TEST(SplitLines, KeepsEmptyLines) {
  EXPECT_EQ(split_lines("\n\none\n\n"), (Lines{"", "", "one", ""}));
  EXPECT_EQ(split_lines(""), Lines{});
}

}  // namespace
}  // namespace walvault
