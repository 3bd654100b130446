#include "postgres/backup_label.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/damage.h"
#include "support/errors.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using testing::HasSubstr;

// As a server of 15 sends it.
constexpr std::array<std::string_view, 7> lines = {
    "START WAL LOCATION: 16/B2000028 (file 0000000A00000016000000B2)\n",
    "CHECKPOINT LOCATION: 16/B2000060\n",
    "BACKUP METHOD: streamed\n",
    "BACKUP FROM: primary\n",
    "START TIME: 2026-11-21 10:41:00 UTC\n",
    "LABEL: walvault nightly\n",
    "START TIMELINE: 10\n",
};

// The label with line `index` replaced.
std::string with_line(std::size_t index, std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) text += i == index ? line : lines.at(i);
  return text;
}
const std::string label_text = with_line(lines.size(), "");

BackupLabel parse(std::string_view text) { return parse_backup_label(as_bytes(text)); }

void expect_refused(std::string_view text, const std::string& naming) {
  SCOPED_TRACE(text);
  const auto error = expect_error(ErrorKind::corrupt, [&] { (void)parse(text); });
  EXPECT_THAT(error.detail(), HasSubstr("\"" + naming + "\""));
}

TEST(BackupLabel, SaysWhereTheBackupBegins) {
  const auto label = parse(label_text);
  EXPECT_EQ(label.start, Lsn::parse("16/B2000028"));
  EXPECT_EQ(label.start_file, "0000000A00000016000000B2");
  EXPECT_EQ(label.checkpoint, Lsn::parse("16/B2000060"));
  EXPECT_EQ(label.timeline, TimelineId{10});
  EXPECT_FALSE(label.from_standby);
  EXPECT_EQ(label.label, "walvault nightly");
}

TEST(BackupLabel, SaysWhichKindOfServerItWasTakenFrom) {
  EXPECT_TRUE(parse(with_line(3, "BACKUP FROM: standby\n")).from_standby);
  EXPECT_FALSE(parse(with_line(3, "BACKUP FROM: master\n")).from_standby);  // 13
  expect_refused(with_line(3, "BACKUP FROM: somewhere\n"), "BACKUP FROM");
}

TEST(BackupLabel, NamesTheLineThatIsMissing) {
  expect_refused("", "START WAL LOCATION");
  expect_refused(with_line(0, ""), "START WAL LOCATION");
  expect_refused(with_line(1, ""), "CHECKPOINT LOCATION");
  expect_refused(with_line(3, ""), "BACKUP FROM");
  expect_refused(with_line(6, ""), "START TIMELINE");
}

TEST(BackupLabel, NamesTheLineThatIsMalformed) {
  for (const char* line :
       {"START WAL LOCATION: 16/B2000028\n", "START WAL LOCATION: (file 00)\n",
        "START WAL LOCATION: 16B2000028 (file 0000000A00000016000000B2)\n",
        "START WAL LOCATION: 16/B2000028 (file 0000000A00000016000000B2\n",
        "START WAL LOCATION: 16/B2000028 (file \n", "START WAL LOCATION:  (file )\n",
        "START WAL LOCATION: 16/G (file 0000000A00000016000000B2)\n"}) {
    expect_refused(with_line(0, line), "START WAL LOCATION");
  }
  expect_refused(with_line(1, "CHECKPOINT LOCATION: here\n"), "CHECKPOINT LOCATION");
  for (const char* line : {"START TIMELINE: 0\n", "START TIMELINE: -1\n", "START TIMELINE: A\n",
                           "START TIMELINE: 10 \n", "START TIMELINE: 4294967296\n"}) {
    expect_refused(with_line(6, line), "START TIMELINE");
  }
}

TEST(BackupLabel, MayLackItsLabelAndHaveLinesThatAreNotKnown) {
  EXPECT_EQ(parse(with_line(5, "")).label, "");
  EXPECT_EQ(parse(with_line(5, "LABEL: \n")).label, "");
  EXPECT_EQ(parse(with_line(2, "INCREMENTAL FROM LSN: 16/1\n")).timeline, TimelineId{10});
}

TEST(BackupLabel, RefusesEveryCutThatLosesTheTimeline) {
  const auto needed = label_text.substr(0, label_text.size() - 2);  // up to "1" of "10"
  for_each_truncation(as_bytes(needed), [](ByteView cut) {
    SCOPED_TRACE(as_text(cut));
    expect_error(ErrorKind::corrupt, [&] { (void)parse_backup_label(cut); });
  });
}

TEST(BackupLabel, SurvivesEverySingleBitFlip) {
  for_each_bit_flip(as_bytes(label_text), [](ByteView damaged, std::size_t bit) {
    try {
      (void)parse_backup_label(damaged);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt) << bit;
    }
  });
}

using Tablespaces = std::vector<Tablespace>;

Tablespaces parse_map(std::string_view text) { return parse_tablespace_map(as_bytes(text)); }

TEST(TablespaceMap, HasOneLineATablespace) {
  const std::string text = "16385 /srv/fast disk\n16390 /srv/slow\n";
  const Tablespaces tablespaces = {{16385, "/srv/fast disk"}, {16390, "/srv/slow"}};
  EXPECT_EQ(parse_map(text), tablespaces);
  EXPECT_EQ(format_tablespace_map(tablespaces), text);
}

TEST(TablespaceMap, EscapesLineBreaksAndBackslashes) {
  EXPECT_EQ(format_tablespace_map({{1, "/a\nb\\c\rd"}}), "1 /a\\\nb\\\\c\\\rd\n");
}

TEST(TablespaceMap, ReadsBackEveryLocation) {
  const Tablespaces tablespaces = {{1, "/plain"},      {2, "/two\nlines"}, {3, "/back\\slash"},
                                   {4, "/end\\"},      {5, "/end\n"},      {6, "/\\\n\r\\\\"},
                                   {7, "/ä \t blank"}, {4294967295, "/"}};
  EXPECT_EQ(parse_map(format_tablespace_map(tablespaces)), tablespaces);
}

TEST(TablespaceMap, OfNoTablespacesIsEmpty) {
  EXPECT_EQ(format_tablespace_map({}), "");
  EXPECT_EQ(parse_map(""), Tablespaces{});
  EXPECT_EQ(parse_map("\n\r\n"), Tablespaces{});
}

TEST(TablespaceMap, RefusesMalformedLines) {
  for (const char* text : {"16385\n", "16385 \n", " /srv\n", "/srv\n", "x /srv\n", "-1 /srv\n",
                           "4294967296 /srv\n", "16385\t/srv\n", "1 /ok\nbad\n"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::corrupt, [&] { (void)parse_map(text); });
  }
}

TEST(BackupLabel, OfAnIncrementalBackupBecomesThatOfAWholeOne) {
  EXPECT_EQ(backup_label_of_whole(as_bytes("START TIMELINE: 1\nINCREMENTAL FROM LSN: 0/2000028\n"
                                           "INCREMENTAL FROM TLI: 1\n")),
            bytes_of("START TIMELINE: 1\n"));
  EXPECT_EQ(backup_label_of_whole(as_bytes("LABEL: INCREMENTAL FROM LSN\nlast")),
            bytes_of("LABEL: INCREMENTAL FROM LSN\nlast"));
  EXPECT_TRUE(backup_label_of_whole({}).empty());
}

}  // namespace
}  // namespace walvault
