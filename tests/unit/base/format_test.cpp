#include "base/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/errors.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t MiB = 1u << 20;

TEST(FormatSize, HasOneDecimalFromKibibytesOn) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(512), "512 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1.0 KiB");
  EXPECT_EQ(format_size(MiB - 1), "1.0 MiB");
  EXPECT_EQ(format_size(1468006), "1.4 MiB");
  EXPECT_EQ(format_size(16 * MiB), "16.0 MiB");
  EXPECT_EQ(format_size(std::uint64_t{3} << 40), "3.0 TiB");
}

TEST(FormatDuration, GetsCoarserAsItGetsLonger) {
  EXPECT_EQ(format_duration(0ms), "0.00 s");
  EXPECT_EQ(format_duration(420ms), "0.42 s");
  EXPECT_EQ(format_duration(7300ms), "7.3 s");
  EXPECT_EQ(format_duration(200s), "3 min 20 s");
  EXPECT_EQ(format_duration(185s), "3 min 05 s");
  EXPECT_EQ(format_duration(2h + 5min), "2 h 05 min");
  EXPECT_EQ(format_duration(100h), "100 h 00 min");
}

TEST(FormatDuration, IsNeverNegative) { EXPECT_EQ(format_duration(-3s), "0.00 s"); }

TEST(ParseSize, ReadsUnitsAsPostgresDoes) {
  EXPECT_EQ(parse_size("512B", "x"), 512u);
  EXPECT_EQ(parse_size("1kB", "x"), 1024u);
  EXPECT_EQ(parse_size("1KiB", "x"), 1024u);
  EXPECT_EQ(parse_size("64MiB", "x"), 64 * MiB);
  EXPECT_EQ(parse_size("64MB", "x"), 64 * MiB);
  EXPECT_EQ(parse_size("64 MB", "x"), 64 * MiB);
  EXPECT_EQ(parse_size("1GB", "x"), 1024 * MiB);
  EXPECT_EQ(parse_size("2TiB", "x"), 2 * MiB * MiB);
  EXPECT_EQ(parse_size("0B", "x"), 0u);
}

TEST(ParseSize, RefusesWhatIsNoWholeNumberWithAUnit) {
  for (const char* text : {"",      " ",      "MB",   "64",    "64 ",  " 64MB", "64MB ",   "64mb",
                           "64m",   "64M",    "64PB", "-1MB",  "-0MB", "+1MB",  "1.5GB",   "1,5GB",
                           "1e3MB", "0x10MB", "NaN",  "nanMB", "inf",  "infMB", "64MB64MB"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_size(text, "x"); });
  }
}

TEST(ParseSize, RefusesWhatOverflowsRatherThanWrapping) {
  EXPECT_EQ(parse_size("8388607TB", "x"), (std::uint64_t{1} << 63) - (std::uint64_t{1} << 40));
  for (const char* text :
       {"8388608TB", "16777217TB", "9223372036854775808B", "18446744073709551615B",
        "18446744073709551616B", "99999999999999999999999999B"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_size(text, "x"); });
  }
}

TEST(ParseSize, NamesTheSettingAndTheUnits) {
  const auto error = expect_error(ErrorKind::usage, [] { (void)parse_size("64", "--chunk"); });
  EXPECT_EQ(error.message(), "\"64\" is not a value for --chunk");
  EXPECT_THAT(error.detail(), HasSubstr("MiB"));
}

TEST(ParseDuration, ReadsItsUnits) {
  EXPECT_EQ(parse_duration("500ms", "x"), 500ms);
  EXPECT_EQ(parse_duration("30s", "x"), 30s);
  EXPECT_EQ(parse_duration("10min", "x"), 10min);
  EXPECT_EQ(parse_duration("12h", "x"), 12h);
  EXPECT_EQ(parse_duration("30d", "x"), 720h);
  EXPECT_EQ(parse_duration("2w", "x"), 336h);
  EXPECT_EQ(parse_duration("0s", "x"), 0ms);
}

TEST(ParseDuration, RefusesWhatIsNoWholeNumberWithAUnit) {
  for (const char* text : {"", "s", "30", "30S", "10m", "10M", "-1s", "+1s", "1.5h", "1e3s", "NaN",
                           "nans", "infinity", "1h30min", "1y", " 1s", "1s "}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_duration(text, "x"); });
  }
}

TEST(ParseDuration, RefusesWhatNoTimeCanBeMovedBy) {
  EXPECT_EQ(parse_duration("366000d", "x"), std::chrono::days(366'000));
  for (const char* text : {"366001d", "15250284452w", "15250284453w", "9223372036854775808ms",
                           "18446744073709551616ms"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::usage, [&] { (void)parse_duration(text, "x"); });
  }
}

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("backup", "backup"), 0u);
  EXPECT_EQ(edit_distance("", "wal"), 3u);
  EXPECT_EQ(edit_distance("wal", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(edit_distance("verfiy", "verify"), 1u);
  EXPECT_EQ(edit_distance("abc", "cab"), 2u);
  EXPECT_EQ(edit_distance("axxb", "bxxa"), 2u);
}

TEST(NearestWord, FindsTheMostSimilarOne) {
  constexpr std::array<std::string_view, 3> commands = {"restore", "backup", "verify"};
  EXPECT_EQ(nearest_word("bakup", commands), "backup");
  EXPECT_EQ(nearest_word("restor", commands), "restore");
  EXPECT_EQ(nearest_word("verfiy", commands), "verify");
  EXPECT_EQ(nearest_word("backup", commands), "backup");
}

TEST(NearestWord, PrefersTheNearerOverTheEarlier) {
  EXPECT_EQ(nearest_word("cluster", std::array{"clusters12", "clusters"}), "clusters");
}

TEST(NearestWord, FindsNothingFurtherThanThreeChangesAway) {
  constexpr std::array<std::string_view, 1> long_word = {"wal_compression"};
  EXPECT_EQ(nearest_word("wal_compres", long_word), std::nullopt);
  EXPECT_EQ(nearest_word("wal_compress", long_word), "wal_compression");
}

TEST(NearestWord, FindsNoShortWordOfWhichMoreThanHalfIsOther) {
  constexpr std::array<std::string_view, 2> short_words = {"pg", "jobs"};
  EXPECT_EQ(nearest_word("pq", short_words), "pg");
  EXPECT_EQ(nearest_word("jbos", short_words), "jobs");
  EXPECT_EQ(nearest_word("url", short_words), std::nullopt);
  EXPECT_EQ(nearest_word("", short_words), std::nullopt);
}

TEST(NearestWord, FindsNothingAmongNothing) {
  EXPECT_EQ(nearest_word("x", std::vector<std::string>{}), std::nullopt);
}

TEST(ParseNumber, TakesWhatLiesWithinTheLimits) {
  EXPECT_EQ(parse_number("1", "x", 1, 256), 1u);
  EXPECT_EQ(parse_number("256", "x", 1, 256), 256u);
  for (const auto* const text :
       {"", "0", "257", "-1", "+1", "1.5", "7x", " 7", "99999999999999999999"}) {
    EXPECT_THROW((void)parse_number(text, "x", 1, 256), Error) << text;
  }
}

TEST(Format, QuotesAWordForAShell) {
  EXPECT_EQ(shell_quoted("plain"), "'plain'");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("a b$c`d\"e\\f"), "'a b$c`d\"e\\f'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace walvault
