#include "postgres/timeline_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/format.h"
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

// Restored in place twice, further back the second time.
TEST(TimelineHistory, ALaterSwitchPointCutsShortWhatWasLeftBehindIt) {
  const auto three = history(3, "1\t0/17003698\n2\t0/B003698\n");
  EXPECT_EQ(three.ancestors(), (std::vector{leaving(1, 0xB003698)}));
  EXPECT_EQ(three.leaves({1}), Lsn{0xB003698});
  EXPECT_EQ(three.leaves({2}), std::nullopt);
  EXPECT_EQ(three.at({0xB003697}), TimelineId{1});
  EXPECT_EQ(three.at({0xB003698}), TimelineId{3});
  EXPECT_EQ(three.at({0x17003698}), TimelineId{3});
}

TEST(TimelineHistory, CutsShortNoMoreThanThat) {
  const auto five = history(5, "1\t0/3000000\n2\t0/9000000\n3\t0/A000000\n4\t0/5000000\n");
  EXPECT_EQ(five.ancestors(), (std::vector{leaving(1, 0x3000000), leaving(2, 0x5000000)}));
  const auto all = history(4, "1\t0/3000000\n2\t0/4000000\n3\t0/2000000\n");
  EXPECT_EQ(all.ancestors(), (std::vector{leaving(1, 0x2000000)}));
}

// What PostgreSQL does, line by line: each is a stretch from where the one before ends,
// looked through from the newest on (readTimeLineHistory, tliOfPointInHistory).
struct ServersHistory {
  struct Stretch {
    std::uint32_t timeline;
    std::uint64_t begin;
    std::uint64_t end;  // 0: none
  };
  std::vector<Stretch> newest_first;

  [[nodiscard]] std::uint32_t at(std::uint64_t lsn) const {
    for (const auto& each : newest_first) {
      if ((each.begin == 0 || each.begin <= lsn) && (each.end == 0 || lsn < each.end)) {
        return each.timeline;
      }
    }
    return 0;
  }
};

TEST(TimelineHistory, SaysWhatPostgresqlSaysOfRandomSwitchPoints) {
  std::mt19937 random(20261129);
  for (int round = 0; round < 2000; ++round) {
    const auto lines = std::uniform_int_distribution(1, 6)(random);
    ServersHistory servers;
    std::string content;
    std::uint64_t begin = 0;
    for (int i = 1; i <= lines; ++i) {
      const auto end = std::uniform_int_distribution<std::uint64_t>(1, 12)(random);
      content += std::to_string(i) + "\t0/" + to_upper_hex(static_cast<std::uint32_t>(end)) + "\n";
      servers.newest_first.insert(servers.newest_first.begin(),
                                  {static_cast<std::uint32_t>(i), begin, end});
      begin = end;
    }
    const auto newest = static_cast<std::uint32_t>(lines + 1);
    servers.newest_first.insert(servers.newest_first.begin(), {newest, begin, 0});
    SCOPED_TRACE(content);
    const auto own = history(newest, content);
    for (std::uint64_t lsn = 0; lsn < 14; ++lsn) {
      ASSERT_EQ(own.at({lsn}).value, servers.at(lsn)) << lsn;
    }
    // A timeline is left behind the last position that is on it.
    for (std::uint32_t id = 1; id < newest; ++id) {
      std::optional<Lsn> leaves;
      for (std::uint64_t lsn = 0; lsn < 14; ++lsn) {
        if (servers.at(lsn) == id) leaves = Lsn{lsn + 1};
      }
      ASSERT_EQ(own.leaves({id}), leaves) << id;
    }
  }
}

TEST(TimelineHistory, NamesTheFilesThatPostgresqlAsksFor) {
  const auto three = history(3, "1\t0/3000000\n2\t0/3800000\n");
  const auto asked = [&](std::uint64_t segment) {
    std::vector<std::uint32_t> ids;
    for (const auto id : three.asked_for({segment << 24}, {(segment + 1) << 24})) {
      ids.push_back(id.value);
    }
    return ids;
  };
  EXPECT_EQ(asked(2), (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(asked(3), (std::vector<std::uint32_t>{3, 2}));
  EXPECT_EQ(asked(4), (std::vector<std::uint32_t>{3}));
  const auto in_one = history(3, "1\t0/3400000\n2\t0/3800000\n");
  EXPECT_EQ(in_one.asked_for({0x3000000}, {0x4000000}), (std::vector<TimelineId>{{3}, {2}, {1}}));
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
