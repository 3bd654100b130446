#include "maintenance/server_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace walvault {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string command = "walvault-archive --cluster main %p";

std::map<std::string, std::string> right_settings() {
  return {{"wal_level", "replica"},    {"archive_mode", "on"},    {"archive_command", command},
          {"archive_timeout", "1min"}, {"max_wal_senders", "10"}, {"max_replication_slots", "10"},
          {"full_page_writes", "on"},  {"data_checksums", "on"}};
}

// The findings that are not good, as "name verdict".
std::vector<std::string> complaints(const std::map<std::string, std::string>& settings) {
  std::vector<std::string> found;
  for (const auto& finding : judge_settings(settings, command)) {
    if (finding.verdict == Verdict::good) continue;
    EXPECT_NE(finding.advice, "") << finding.name;
    found.push_back(finding.name + " " + verdict_name(finding.verdict));
  }
  return found;
}

std::vector<std::string> complaints_with(const std::string& name, const std::string& value) {
  auto settings = right_settings();
  settings[name] = value;
  return complaints(settings);
}

TEST(ServerCheck, HasNothingToSayOfARightServer) {
  EXPECT_THAT(complaints(right_settings()), IsEmpty());
  EXPECT_EQ(judge_settings(right_settings(), command).size(), judged_settings().size());
  EXPECT_THAT(complaints_with("wal_level", "logical"), IsEmpty());
  EXPECT_THAT(complaints_with("archive_mode", "always"), IsEmpty());
  EXPECT_THAT(complaints_with("archive_timeout", "5min"), IsEmpty());
}

TEST(ServerCheck, NamesEverySettingThatIsWrong) {
  EXPECT_THAT(complaints_with("wal_level", "minimal"), ElementsAre("wal_level failed"));
  EXPECT_THAT(complaints_with("archive_mode", "off"), ElementsAre("archive_mode failed"));
  EXPECT_THAT(complaints_with("archive_command", ""), ElementsAre("archive_command failed"));
  EXPECT_THAT(complaints_with("archive_command", "cp %p /backup/%f"),
              ElementsAre("archive_command warning"));
  EXPECT_THAT(complaints_with("archive_timeout", "0"), ElementsAre("archive_timeout warning"));
  EXPECT_THAT(complaints_with("archive_timeout", "1h"), ElementsAre("archive_timeout warning"));
  EXPECT_THAT(complaints_with("max_wal_senders", "1"), ElementsAre("max_wal_senders failed"));
  EXPECT_THAT(complaints_with("max_replication_slots", "0"),
              ElementsAre("max_replication_slots warning"));
  EXPECT_THAT(complaints_with("full_page_writes", "off"), ElementsAre("full_page_writes failed"));
  EXPECT_THAT(complaints_with("data_checksums", "off"), ElementsAre("data_checksums warning"));
}

TEST(ServerCheck, GivesTheLineForTheConfiguration) {
  auto settings = right_settings();
  settings["archive_command"] = "";
  const auto findings = judge_settings(settings, command);
  const auto it = std::ranges::find(findings, "archive_command", &Finding::name);
  ASSERT_NE(it, findings.end());
  EXPECT_EQ(it->advice, "archive_command = '" + command + "'");
}

TEST(ServerCheck, WarnsOfWhatItMayNotSee) {
  std::vector<std::string> expected;
  for (const auto& name : judged_settings()) {
    auto settings = right_settings();
    settings.erase(name);
    EXPECT_THAT(complaints(settings), ElementsAre(name + " warning"));
  }
}

TEST(ServerCheck, TellsAnArchiverThatFails) {
  EXPECT_EQ(judge_archiver({}).verdict, Verdict::good);
  const auto failing = judge_archiver(
      {.failing_file = "000000010000000000000003", .failing_since = "2026-11-21 10:00:00+00"});
  EXPECT_EQ(failing.verdict, Verdict::bad);
  EXPECT_THAT(failing.text, HasSubstr("000000010000000000000003"));
  EXPECT_THAT(failing.text, HasSubstr("2026-11-21 10:00:00+00"));
}

}  // namespace
}  // namespace walvault
