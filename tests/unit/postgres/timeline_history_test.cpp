#include "postgres/timeline_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"

namespace walvault {
namespace {

using testing::HasSubstr;

TimelineHistory history(std::uint32_t timeline, std::string_view content) {
  return TimelineHistory::parse({timeline}, as_bytes(content));
}

TimelineSwitch leaving(std::uint32_t timeline, std::uint64_t end) {
  return {.timeline = {timeline}, .end = {end}};
}

TEST(TimelineHistory, ReadsWhatAServerWritesWhenItIsPromoted) {
  const auto three = history(3,
                             "1\t0/30001C0\tno recovery target specified\n"
                             "\n"
                             "2\t0/50000A0\tbefore 2026-11-21 10:41:00+00\n");
  EXPECT_EQ(three.timeline(), TimelineId{3});
  EXPECT_EQ(three.ancestors(), (std::vector{leaving(1, 0x30001C0), leaving(2, 0x50000A0)}));
}

TEST(TimelineHistory, SkipsCommentsAndBlankLines) {
  const auto two = history(2,
                           "# made by hand\n"
                           "   # and indented\n"
                           " \t \n"
                           "\r\n"
                           "1\t0/30001C0\n");
  EXPECT_EQ(two.ancestors(), (std::vector{leaving(1, 0x30001C0)}));
}

TEST(TimelineHistory, NeedsNeitherAReasonNorALineEndNorTabs) {
  EXPECT_EQ(history(2, "1 0/30001C0").ancestors(), (std::vector{leaving(1, 0x30001C0)}));
  EXPECT_EQ(history(2, "  1  0/30001C0  why\r\n").ancestors(),
            (std::vector{leaving(1, 0x30001C0)}));
}

TEST(TimelineHistory, MayJumpByMoreThanOne) {
  const auto nine = history(9, "1\t0/3000000\n4\t0/5000000\n");
  EXPECT_EQ(nine.at({0x3000000}), TimelineId{4});
  EXPECT_EQ(nine.at({0x5000000}), TimelineId{9});
}

TEST(TimelineHistory, MayHaveNoAncestors) {
  EXPECT_TRUE(history(2, "").ancestors().empty());
  EXPECT_TRUE(history(2, "# nothing\n").ancestors().empty());
}

TEST(TimelineHistory, RefusesIdsThatDoNotAscend) {
  for (const char* content : {"2\t0/1000\n1\t0/2000\n", "1\t0/1000\n1\t0/2000\n"}) {
    const auto error = expect_error(ErrorKind::corrupt, [&] { (void)history(5, content); });
    EXPECT_THAT(error.message(), HasSubstr("00000005.history"));
    EXPECT_THAT(error.detail(), HasSubstr("1\t0/2000"));
  }
}

TEST(TimelineHistory, RefusesAncestorsThatAreNotBelowTheTimelineItself) {
  for (const char* content : {"3\t0/1000\n", "4\t0/1000\n", "1\t0/1000\n3\t0/2000\n"}) {
    SCOPED_TRACE(content);
    expect_error(ErrorKind::corrupt, [&] { (void)history(3, content); });
  }
}

TEST(TimelineHistory, RefusesMalformedLinesAndNamesThem) {
  for (const char* line :
       {"1", "1\t", "1\t0", "1\t0/", "1\t/1000", "1\t0/XYZ", "1\t0/1000G", "1\t0/123456789",
        "one\t0/1000", "-1\t0/1000", "0x1\t0/1000", "4294967296\t0/1000", "\t0/1000", "1,0/1000"}) {
    SCOPED_TRACE(line);
    const auto error = expect_error(
        ErrorKind::corrupt, [&] { (void)history(3, "# first\n" + std::string(line) + "\n"); });
    EXPECT_THAT(error.detail(), HasSubstr(line));
  }
}

TEST(TimelineHistory, GivesAByteToTheTimelineThatWroteIt) {
  const auto three = history(3, "1\t0/3000000\n2\t0/5000000\n");
  EXPECT_EQ(three.at({0}), TimelineId{1});
  EXPECT_EQ(three.at({0x2FFFFFF}), TimelineId{1});
  EXPECT_EQ(three.at({0x3000000}), TimelineId{2});
  EXPECT_EQ(three.at({0x4FFFFFF}), TimelineId{2});
  EXPECT_EQ(three.at({0x5000000}), TimelineId{3});
  EXPECT_EQ(three.at({~std::uint64_t{0}}), TimelineId{3});
}

TEST(TimelineHistory, PassesOverATimelineThatWasLeftWhereItBegan) {
  const auto three = history(3, "1\t0/3000000\n2\t0/3000000\n");
  EXPECT_EQ(three.at({0x2FFFFFF}), TimelineId{1});
  EXPECT_EQ(three.at({0x3000000}), TimelineId{3});
}

TEST(TimelineHistory, KnowsWhereItLeavesEachAncestorAndNoOther) {
  const auto five = history(5, "1\t0/3000000\n3\t0/5000000\n");
  EXPECT_EQ(five.leaves({1}), Lsn{0x3000000});
  EXPECT_EQ(five.leaves({3}), Lsn{0x5000000});
  EXPECT_EQ(five.leaves({2}), std::nullopt);
  EXPECT_EQ(five.leaves({5}), std::nullopt);
}

TEST(TimelineHistory, OfARootIsTheRootEverywhere) {
  const auto one = TimelineHistory::root({1});
  EXPECT_EQ(one.timeline(), TimelineId{1});
  EXPECT_EQ(one.at({0}), TimelineId{1});
  EXPECT_EQ(one.at({~std::uint64_t{0}}), TimelineId{1});
  EXPECT_EQ(one.leaves({1}), std::nullopt);
}

}  // namespace
}  // namespace walvault
