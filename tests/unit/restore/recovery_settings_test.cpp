#include "restore/recovery_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "postgres/text_lines.h"

namespace walvault {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* begin_mark = "# walvault: recovery settings begin";
constexpr const char* end_mark = "# walvault: recovery settings end";

RecoverySettings settings_for(RecoveryTarget target) {
  return {.restore_command = "walvault-fetch %f %p",
          .target = std::move(target),
          .timeline = {3},
          .action = "promote",
          .archiving = true};
}

RecoveryTarget target_of(TargetKind kind) {
  RecoveryTarget target;
  target.kind = kind;
  return target;
}

RecoveryTarget to_lsn(std::uint64_t lsn) {
  auto target = target_of(TargetKind::lsn);
  target.lsn = {lsn};
  return target;
}

RecoveryTarget to_xid(std::uint64_t xid) {
  auto target = target_of(TargetKind::xid);
  target.xid = xid;
  return target;
}

RecoveryTarget to_name(const std::string& name) {
  auto target = target_of(TargetKind::name);
  target.name = name;
  return target;
}

RecoveryTarget to_time(Timestamp time) {
  auto target = target_of(TargetKind::time);
  target.time = time;
  return target;
}

std::vector<std::string> lines_for(const RecoveryTarget& target) {
  const auto content = with_recovery_settings("", settings_for(target));
  std::vector<std::string> lines;
  for (const auto line : split_lines(content)) lines.emplace_back(line);
  return lines;
}

// The lines of a target other than latest, in the only order that PostgreSQL
// takes: first the four others as empty, then the real one.
void expect_target_last(const RecoveryTarget& target, const std::string& name,
                        const std::string& value) {
  SCOPED_TRACE(name);
  const auto lines = lines_for(target);
  ASSERT_GT(lines.size(), 10u);
  EXPECT_EQ(lines[0], begin_mark);
  EXPECT_EQ(lines[1], "restore_command = 'walvault-fetch %f %p'");
  std::vector<std::string> empty(lines.begin() + 2, lines.begin() + 6);
  std::vector<std::string> expected;
  for (const char* other : {"recovery_target", "recovery_target_name", "recovery_target_time",
                            "recovery_target_xid", "recovery_target_lsn"}) {
    if (other != name) expected.push_back(std::string(other) + " = ''");
  }
  EXPECT_THAT(empty, testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(lines[6], name + " = '" + value + "'");
  EXPECT_EQ(lines[7], "recovery_target_inclusive = 'on'");
  EXPECT_EQ(lines[8], "recovery_target_action = 'promote'");
  EXPECT_EQ(lines[9], "recovery_target_timeline = '3'");
  EXPECT_EQ(lines.back(), end_mark);
}

TEST(RecoverySettings, PutTheRealTargetBehindTheFourEmptyOnes) {
  expect_target_last(to_lsn(0x16'B2000028), "recovery_target_lsn", "16/B2000028");
  expect_target_last(to_xid(731), "recovery_target_xid", "731");
  expect_target_last(to_name("before v2"), "recovery_target_name", "before v2");
  expect_target_last(target_of(TargetKind::immediate), "recovery_target", "immediate");
  const Timestamp time = std::chrono::sys_days{2026y / 11 / 21} + 10h + 41min + 42us;
  expect_target_last(to_time(time), "recovery_target_time", "2026-11-21 10:41:00.000042+00");
}

TEST(RecoverySettings, LeaveAllFiveTargetsEmptyWhenThereIsNone) {
  EXPECT_THAT(
      lines_for(target_of(TargetKind::latest)),
      ElementsAre(begin_mark, "restore_command = 'walvault-fetch %f %p'", "recovery_target = ''",
                  "recovery_target_name = ''", "recovery_target_time = ''",
                  "recovery_target_xid = ''", "recovery_target_lsn = ''",
                  "recovery_target_timeline = '3'", "recovery_end_command = ''",
                  "archive_cleanup_command = ''", "primary_conninfo = ''", "primary_slot_name = ''",
                  "recovery_min_apply_delay = '0'", end_mark));
}

// One that its major does not know keeps a server from starting.
TEST(RecoverySettings, TakeBackWhatIsLeftOverByMajor) {
  for (const int major : {13, 14, 15, 16, 17, 18}) {
    SCOPED_TRACE(major);
    auto settings = settings_for(to_lsn(0x100));
    settings.server_major = major;
    const auto content = with_recovery_settings("", settings);
    EXPECT_EQ(content.find("promote_trigger_file = ''") != std::string::npos, major <= 15);
    EXPECT_EQ(content.find("sync_replication_slots = 'off'") != std::string::npos, major >= 17);
    EXPECT_THAT(content, HasSubstr("recovery_min_apply_delay = '0'"));
    settings.standby = true;
    // What its primary was told as a standby of another, this one may have been, too.
    EXPECT_THAT(with_recovery_settings("", settings), Not(HasSubstr("recovery_min_apply_delay")));
  }
}

TEST(RecoverySettings, KeepACopyFromActingOnOthers) {
  auto settings = settings_for(to_lsn(0x100));
  const auto original = with_recovery_settings("", settings);
  settings.archiving = false;
  const auto copy = with_recovery_settings("", settings);
  for (const auto* const line :
       {"max_logical_replication_workers = '0'\n", "synchronous_standby_names = ''\n"}) {
    EXPECT_THAT(original, Not(HasSubstr(line)));
    EXPECT_THAT(copy, HasSubstr(line));
  }
}

TEST(RecoverySettings, SayWhetherTheTargetItselfIsIncluded) {
  auto target = to_lsn(0x100);
  target.inclusive = false;
  EXPECT_THAT(lines_for(target), testing::Contains("recovery_target_inclusive = 'off'"));
}

TEST(RecoverySettings, SayWhatToDoAtTheTarget) {
  auto settings = settings_for(to_lsn(0x100));
  settings.action = "pause";
  EXPECT_THAT(with_recovery_settings("", settings),
              HasSubstr("recovery_target_action = 'pause'\n"));
}

TEST(RecoverySettings, NameTransactionsByTheLower32BitsOnly) {
  EXPECT_THAT(lines_for(to_xid(0x2'000002DB)), testing::Contains("recovery_target_xid = '731'"));
}

TEST(RecoverySettings, SwitchArchivingOffUnlessItIsWanted) {
  auto settings = settings_for(to_lsn(0x100));
  EXPECT_THAT(with_recovery_settings("", settings), Not(HasSubstr("archive_mode")));
  settings.archiving = false;
  EXPECT_THAT(with_recovery_settings("", settings), HasSubstr("\narchive_mode = 'off'\n"));
}

TEST(RecoverySettings, KeepPostgresFromReadingAheadOnlyWhereItMust) {
  auto settings = settings_for(to_lsn(0x100));
  EXPECT_THAT(with_recovery_settings("", settings), Not(HasSubstr("recovery_prefetch")));
  settings.reads_ahead = false;
  EXPECT_THAT(with_recovery_settings("", settings), HasSubstr("recovery_prefetch = 'off'\n"));
}

TEST(RecoverySettings, DoubleQuotesAndBackslashes) {
  auto settings = settings_for(to_name(R"(it's a \n)"));
  settings.restore_command = R"('/opt/wal vault/fetch' "%p" C:\x)";
  const auto content = with_recovery_settings("", settings);
  EXPECT_THAT(content, HasSubstr(R"(recovery_target_name = 'it''s a \\n')"
                                 "\n"));
  EXPECT_THAT(content, HasSubstr(R"(restore_command = '''/opt/wal vault/fetch'' "%p" C:\\x')"
                                 "\n"));
}

// What ALTER SYSTEM leaves in postgresql.auto.conf.
const std::string users =
    "# Do not edit this file manually!\n"
    "# It will be overwritten by the ALTER SYSTEM command.\n"
    "work_mem = '64MB'\n"
    "recovery_target_time = '2020-01-01 00:00:00+00'\n";

TEST(RecoverySettings, StandBehindAllThatTheUserSet) {
  const auto content = with_recovery_settings(users, settings_for(to_lsn(0x100)));
  EXPECT_THAT(content, StartsWith(users + begin_mark + "\n"));
  EXPECT_TRUE(content.ends_with(std::string(end_mark) + "\n"));
}

TEST(RecoverySettings, ReplaceThoseOfAnEarlierRestore) {
  const auto earlier = with_recovery_settings(users, settings_for(to_lsn(0x100)));
  const auto now = settings_for(to_name("before v2"));
  EXPECT_EQ(with_recovery_settings(earlier, now), with_recovery_settings(users, now));
}

TEST(RecoverySettings, KeepWhatTheUserSetAfterAnEarlierRestore) {
  const auto settings = settings_for(to_lsn(0x100));
  const auto block = with_recovery_settings("", settings);
  EXPECT_EQ(
      with_recovery_settings("a = '1'\n" + block + "b = '2'\n" + block + "c = '3'\n", settings),
      "a = '1'\nb = '2'\nc = '3'\n" + block);
}

TEST(RecoverySettings, KeepEverythingBehindABlockThatDoesNotEnd) {
  const auto settings = settings_for(to_lsn(0x100));
  const auto block = with_recovery_settings("", settings);
  const auto begin = std::string(begin_mark) + "\n";
  EXPECT_EQ(with_recovery_settings("a = '1'\n" + begin + "b = '2'\n", settings),
            "a = '1'\nb = '2'\n" + block);
  EXPECT_EQ(with_recovery_settings(begin + "b = '2'\n" + block + "c = '3'\n", settings),
            "b = '2'\nc = '3'\n" + block);
}

TEST(RecoverySettings, StartOnALineOfTheirOwn) {
  const auto content = with_recovery_settings("work_mem = '64MB'", settings_for(to_lsn(0x100)));
  EXPECT_THAT(content, StartsWith(std::string("work_mem = '64MB'\n") + begin_mark + "\n"));
}

TEST(RecoverySettings, MakeAStandbyFollowItsPrimaryThroughPromotions) {
  auto settings = settings_for(target_of(TargetKind::latest));
  settings.standby = true;
  settings.primary_conninfo = "host=primary password='pw' port=1";
  const auto content = with_recovery_settings("", settings);
  EXPECT_THAT(content, HasSubstr("recovery_target_timeline = 'latest'\n"));
  EXPECT_THAT(content, HasSubstr("primary_conninfo = 'host=primary password=''pw'' port=1'\n"));
  EXPECT_THAT(content, Not(HasSubstr("recovery_target_action")));
  settings.primary_conninfo.clear();
  EXPECT_THAT(with_recovery_settings("", settings), Not(HasSubstr("primary_conninfo")));
}

TEST(RecoverySettings, AreRaisedWhereTheServersOwnAreSmaller) {
  const RequiredSettings required{.max_connections = 60,
                                  .max_worker_processes = 8,
                                  .max_wal_senders = 10,
                                  .max_prepared_transactions = 0,
                                  .max_locks_per_transaction = 64};
  const auto raised = [&](const std::string& auto_conf, const std::optional<std::string>& conf) {
    std::string names;
    for (const auto& each : settings_to_raise(required, auto_conf, conf)) {
      names += each.name + "=" + std::to_string(each.value) + " ";
    }
    return names;
  };
  // What no file says is PostgreSQL's default.
  EXPECT_EQ(raised("", "# nothing\n"), "");
  EXPECT_EQ(raised("", "max_connections = 20\t# few\n"), "max_connections=60 ");
  EXPECT_EQ(raised("", "MAX_CONNECTIONS '100'\n"), "");
  EXPECT_EQ(raised("", "max_connections=20\nmax_connections=100\n"), "");
  EXPECT_EQ(raised("", "#max_connections = 20\nmax_connections_else = 20\n"), "");
  // What ALTER SYSTEM has set counts before that, what an earlier restore wrote does not.
  EXPECT_EQ(raised("max_connections = '20'\n", "max_connections = 100\n"), "max_connections=60 ");
  const auto earlier = with_recovery_settings("", settings_for(to_lsn(0x100)),
                                              {{.name = "max_connections", .value = 90}});
  EXPECT_THAT(earlier, HasSubstr("max_connections = '90'\n"));
  EXPECT_EQ(raised(earlier, "max_connections = 20\n"), "max_connections=60 ");
  // What is not known is PostgreSQL's default at least: it is not made smaller.
  const RequiredSettings many{.max_connections = 300, .max_locks_per_transaction = 64};
  for (const auto& conf :
       {std::optional<std::string>(),
        std::optional<std::string>("include_dir 'conf.d'\nmax_connections = 100\n")}) {
    EXPECT_EQ(raised("", conf), "");
    EXPECT_EQ(settings_to_raise(many, "", conf),
              (std::vector<RaisedSetting>{{.name = "max_connections", .value = 300}}));
  }
  EXPECT_TRUE(settings_to_raise(many, "max_connections = 300\n", std::nullopt).empty());
}

RecoverySettings of_a_copy() {
  auto settings = settings_for(to_lsn(0x3000028));
  settings.archiving = false;
  settings.reads_ahead = false;
  settings.server_major = 17;
  settings.end_command = "walvault recovery-ended --pgdata . || true";
  return settings;
}

// Who copies the server takes its settings along.
TEST(RecoverySettings, OfARecoveryNothingIsLeftBehindIt) {
  const std::string own = "work_mem = '64MB'\nrecovery_target_time = '2020-01-01'\n";
  const auto during =
      with_recovery_settings(own, of_a_copy(), {{.name = "max_connections", .value = 200}});
  EXPECT_THAT(during, HasSubstr("recovery_end_command = 'walvault recovery-ended"));
  const auto after = without_recovery_target(during);
  for (const auto* const gone : {"recovery_target", "recovery_end_command", "recovery_prefetch",
                                 "primary_conninfo", "sync_replication_slots"}) {
    EXPECT_THAT(after, Not(HasSubstr(gone)));
  }
  for (const auto* const stays : {"work_mem = '64MB'", "restore_command = 'walvault-fetch %f %p'",
                                  "archive_mode = 'off'", "max_connections = '200'"}) {
    EXPECT_THAT(after, HasSubstr(stays));
  }
  EXPECT_EQ(without_recovery_target(after), after);
  // The next restore still finds its own.
  EXPECT_EQ(with_recovery_settings(after, settings_for(to_lsn(1))),
            with_recovery_settings("work_mem = '64MB'\n", settings_for(to_lsn(1))));
}

// ALTER SYSTEM writes the file anew, without comments.
TEST(RecoverySettings, WithoutTheMarksOnlyWhatIsSurelyOfARecoveryGoes) {
  std::string unmarked = "primary_conninfo = 'host=a'\n";
  const auto marked = with_recovery_settings("", of_a_copy());
  for (const auto line : split_lines(marked)) {
    if (!line.starts_with('#')) unmarked += std::string(line) + "\n";
  }
  const auto after = without_recovery_target(unmarked);
  EXPECT_THAT(after, Not(HasSubstr("recovery_target")));
  EXPECT_THAT(after, Not(HasSubstr("recovery_end_command")));
  EXPECT_THAT(after, StartsWith("primary_conninfo = 'host=a'\n"));
  const std::string foreign =
      "recovery_end_command = '/usr/local/bin/tell recovery-ended'\nrecovery_target_x.y = '1'\n";
  EXPECT_EQ(without_recovery_target(foreign), foreign);
}

TEST(RecoverySettings, ARoleCanBeChanged) {
  const auto copy = without_recovery_target(with_recovery_settings("a = '1'\n", of_a_copy()));
  const auto original = with_role(copy, true);
  for (const auto* const gone :
       {"archive_mode", "max_logical_replication_workers", "synchronous_standby_names"}) {
    EXPECT_THAT(copy, HasSubstr(gone));
    EXPECT_THAT(original, Not(HasSubstr(gone)));
  }
  EXPECT_EQ(with_role(original, true), original);
  const auto again = with_role(original, false);
  EXPECT_EQ(with_role(again, false), again);
  EXPECT_EQ(with_role(again, true), original);
  EXPECT_EQ(with_role("archive_mode = 'o'\n", true), "archive_mode = 'o'\n");
  EXPECT_EQ(with_role("archive_mode = off # for now\narchive_mode=off\n", true), "");
}

}  // namespace
}  // namespace walvault
