#include "catalog/retention/retention.h"

#include <gtest/gtest.h>

#include "support/catalog_examples.h"
#include "support/test_data.h"

namespace walvault {
namespace {

using std::chrono::days;
using std::chrono::hours;

// 2026-11-20 12:00, a Friday.
const Timestamp now =
    Timestamp(std::chrono::sys_days(std::chrono::year(2026) / 11 / 20)) + hours(12);

class RetentionTest : public testing::Test {
 protected:
  // One that ended so long ago; its id says so.
  void add(hours age, bool restorable = true) {
    auto backup = backup_of(std::to_string(age.count() / 24) + "d", 1, 1, 1);
    if (age < days(1)) backup.id = std::to_string(age.count()) + "h";
    backup.start_time = now - age - std::chrono::minutes(10);
    backup.stop_time = now - age;
    if (restorable) input_.restorable.insert(backup.id);
    input_.backups.push_back(std::move(backup));
  }
  void add_days(int oldest, int newest) {
    for (int day = oldest; day >= newest; --day) add(days(day));
  }
  // All of them lie on it.
  void add_history(hours written_ago) {
    RetentionStretch history{.backups = {}, .last_written = now - written_ago};
    for (const auto& backup : input_.backups) history.backups.insert(backup.id);
    input_.stretches.push_back(std::move(history));
  }
  [[nodiscard]] std::vector<std::string> kept(const RetentionPolicy& policy) const {
    std::vector<std::string> ids;
    for (const auto& verdict : judge_backups(policy, input_)) {
      if (verdict.stays()) ids.push_back(verdict.id);
    }
    return ids;
  }
  [[nodiscard]] std::vector<std::string> with_wal(const RetentionPolicy& policy) const {
    std::vector<std::string> ids;
    for (const auto& verdict : judge_backups(policy, input_)) {
      if (verdict.keeps_wal) ids.push_back(verdict.id);
    }
    return ids;
  }
  static RetentionPolicy policy_of(const std::function<void(RetentionPolicy&)>& change) {
    RetentionPolicy policy;
    change(policy);
    return policy;
  }

  RetentionInput input_{.backups = {}, .restorable = {}, .keeps = {}, .stretches = {}, .now = now};
};

using Ids = std::vector<std::string>;

TEST_F(RetentionTest, WithoutARuleEverythingStaysWithItsWal) {
  add_days(400, 398);
  EXPECT_EQ(kept({}), (Ids{"400d", "399d", "398d"}));
  EXPECT_EQ(with_wal({}), (Ids{"400d", "399d", "398d"}));
  EXPECT_TRUE(
      judge_backups({}, {.backups = {}, .restorable = {}, .keeps = {}, .stretches = {}, .now = now})
          .empty());
}

TEST_F(RetentionTest, CountsTheNewest) {
  add_days(10, 1);
  const auto policy = policy_of([](auto& p) { p.keep_last = 3; });
  EXPECT_EQ(kept(policy), (Ids{"3d", "2d", "1d"}));
  EXPECT_EQ(with_wal(policy), (Ids{"3d", "2d", "1d"}));
}

TEST_F(RetentionTest, NeverLetsTheLastOneGo) {
  add_days(90, 80);
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_for = days(7); })), (Ids{"80d"}));
  EXPECT_EQ(kept(policy_of([](auto& p) {
              p.keep_for = days(7);
              p.minimum_backups = 3;
            })),
            (Ids{"82d", "81d", "80d"}));
  EXPECT_EQ(kept(policy_of([](auto& p) {
              p.keep_for = days(7);
              p.minimum_backups = 0;
            })),
            (Ids{"80d"}));
}

TEST_F(RetentionTest, KeepsByAge) {
  add_days(10, 1);
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_for = days(2); })), (Ids{"2d", "1d"}));
}

TEST_F(RetentionTest, TheMostGenerousRuleWins) {
  add_days(10, 1);
  EXPECT_EQ(kept(policy_of([](auto& p) {
              p.keep_last = 1;
              p.keep_for = days(3);
            })),
            (Ids{"3d", "2d", "1d"}));
}

TEST_F(RetentionTest, KeepsTheNewestOfEachPeriod) {
  // Every 12 hours, at noon and midnight, for 60 days.
  for (int age = 60 * 24; age >= 0; age -= 12) add(hours(age));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_daily = 3; })).size(), 3u);
  const auto daily = judge_backups(policy_of([](auto& p) { p.keep_daily = 3; }), input_);
  // The newest of today, and the noons of the two days before.
  for (std::size_t i = 0; i < daily.size(); ++i) {
    const auto age = now - input_.backups[i].stop_time;
    EXPECT_EQ(daily[i].stays(), age == hours(0) || age == hours(24) || age == hours(48))
        << daily[i].id;
  }
  // Sundays' noons: 15, 8 and 1 November.
  const auto weekly = judge_backups(policy_of([](auto& p) { p.keep_weekly = 4; }), input_);
  for (std::size_t i = 0; i < weekly.size(); ++i) {
    const auto age = now - input_.backups[i].stop_time;
    EXPECT_EQ(weekly[i].stays(),
              age == hours(0) || age == days(5) || age == days(12) || age == days(19))
        << weekly[i].id;
  }
  // 31 October and 30 September.
  const auto monthly = judge_backups(policy_of([](auto& p) { p.keep_monthly = 3; }), input_);
  for (std::size_t i = 0; i < monthly.size(); ++i) {
    const auto age = now - input_.backups[i].stop_time;
    EXPECT_EQ(monthly[i].stays(), age == hours(0) || age == days(20) || age == days(51))
        << monthly[i].id;
  }
}

TEST_F(RetentionTest, APeriodWithoutABackupDoesNotCount) {
  add(days(400));
  add(days(300));
  add(days(10));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_daily = 2; })), (Ids{"300d", "10d"}));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_yearly = 2; })), (Ids{"400d", "10d"}));
}

TEST_F(RetentionTest, AWindowKeepsTheBackupBeforeItAndTheWalSince) {
  add_days(10, 1);
  add_history(hours(1));
  const auto policy = policy_of([](auto& p) { p.window = days(3) + hours(1); });
  EXPECT_EQ(kept(policy), (Ids{"4d", "1d"}));
  EXPECT_EQ(with_wal(policy), (Ids{"4d", "1d"}));
  // Where none comes before it, the oldest.
  EXPECT_EQ(kept(policy_of([](auto& p) { p.window = days(30); })), (Ids{"10d", "1d"}));
}

TEST_F(RetentionTest, WithAWindowOtherBackupsNeedTheirOwnWalOnly) {
  add_days(10, 1);
  add_history(hours(1));
  const auto policy = policy_of([](auto& p) {
    p.window = days(2);
    p.keep_daily = 5;
  });
  EXPECT_EQ(kept(policy), (Ids{"5d", "4d", "3d", "2d", "1d"}));
  EXPECT_EQ(with_wal(policy), (Ids{"2d", "1d"}));
}

TEST_F(RetentionTest, AWindowCoversHistoriesThatWereLeftMeanwhile) {
  add(days(40));
  add(days(9));
  input_.stretches = {{.backups = {"40d", "9d"}, .last_written = now - days(5)},
                      {.backups = {"40d"}, .last_written = now - hours(1)}};
  // The one that goes on began from the old backup; the other one is in the window.
  EXPECT_EQ(kept(policy_of([](auto& p) { p.window = days(7); })), (Ids{"40d", "9d"}));
  add(days(1));
  input_.stretches[1].backups.insert("1d");
  input_.stretches[0].last_written = now - days(8);
  // By now that one lies before it, but the newer began within.
  EXPECT_EQ(kept(policy_of([](auto& p) { p.window = days(7); })), (Ids{"40d", "1d"}));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.window = hours(12); })), (Ids{"1d"}));
}

// A copy's, newer by all that is known of it, must not cost the original its last one.
TEST_F(RetentionTest, OfTwoHistoriesThatGrewBesideEachOtherEachKeepsABackup) {
  add(days(9));
  add(days(5));
  add(hours(2));
  input_.stretches = {{.backups = {"9d", "5d"}, .last_written = now - hours(3)},
                      {.backups = {"9d", "2h"}, .last_written = now - hours(1)}};
  const auto policy = policy_of([](auto& p) { p.keep_last = 1; });
  EXPECT_EQ(kept(policy), Ids{"2h"});
  input_.stretches[0].grew_beside = true;
  EXPECT_EQ(kept(policy), (Ids{"5d", "2h"}));
  // Once somebody says that it is over, it is as any other.
  input_.stretches[0].is_over = true;
  EXPECT_EQ(kept(policy), Ids{"2h"});
  // And what is over does not pass for the one that goes on.
  input_.stretches[0].is_over = false;
  input_.stretches[0].grew_beside = false;
  input_.stretches[1].is_over = true;
  EXPECT_EQ(kept(policy), Ids{"5d"});
  // Where all are over, the newest is better than none.
  input_.stretches[0].is_over = true;
  EXPECT_EQ(kept(policy), Ids{"2h"});
}

TEST_F(RetentionTest, TheHistoryThatGoesOnKeepsABackup) {
  add(days(9));
  add(days(5));
  // Restored to before the newest backup, and none taken since.
  input_.stretches = {{.backups = {"9d", "5d"}, .last_written = now - days(4)},
                      {.backups = {"9d"}, .last_written = now - hours(1)}};
  const auto policy = policy_of([](auto& p) { p.keep_last = 1; });
  EXPECT_EQ(kept(policy), (Ids{"9d", "5d"}));
  EXPECT_EQ(with_wal(policy), (Ids{"9d", "5d"}));
  add(days(0));
  input_.stretches[1].backups.insert("0h");
  EXPECT_EQ(kept(policy), (Ids{"0h"}));
}

TEST_F(RetentionTest, ADecisionKeepsOneUntilItEnds) {
  add_days(10, 1);
  const auto policy = policy_of([](auto& p) { p.keep_last = 1; });
  input_.keeps["9d"] = {.when = now - days(9), .until = std::nullopt};
  input_.keeps["8d"] = {.when = now - days(8), .until = now + days(1)};
  input_.keeps["7d"] = {.when = now - days(7), .until = now - hours(1)};
  EXPECT_EQ(kept(policy), (Ids{"9d", "8d", "1d"}));
  EXPECT_EQ(with_wal(policy), (Ids{"1d"}));
}

TEST_F(RetentionTest, WhatCannotBeRestoredTakesNoPlace) {
  add(days(5));
  add(days(4));
  add(days(3), false);
  add(days(2));
  add(days(1), false);
  // 3d and 1d are newer than one that stays.
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_last = 2; })), (Ids{"4d", "3d", "2d", "1d"}));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_last = 1; })), (Ids{"2d", "1d"}));
}

TEST_F(RetentionTest, WhereNothingCanBeRestoredNothingGoes) {
  add(days(5), false);
  add(days(4), false);
  EXPECT_EQ(kept(policy_of([](auto& p) { p.keep_last = 1; })), (Ids{"5d", "4d"}));
  EXPECT_EQ(with_wal(policy_of([](auto& p) { p.keep_last = 1; })), (Ids{"5d", "4d"}));
  // Nor when a better one comes, as long as a window needs them.
  add(days(0));
  add_history(hours(0));
  EXPECT_EQ(kept(policy_of([](auto& p) { p.window = days(4) + hours(1); })), (Ids{"5d", "0h"}));
  EXPECT_EQ(with_wal(policy_of([](auto& p) { p.window = days(4) + hours(1); })), (Ids{"5d", "0h"}));
}

TEST_F(RetentionTest, AClockThatIsWrongExpiresNothing) {
  add_days(3, 1);
  const auto policy = policy_of([](auto& p) { p.keep_last = 1; });
  input_.now = now - days(1) - hours(1);
  EXPECT_EQ(error_of([&] { (void)judge_backups(policy, input_); }), "unavailable");
  input_.now = now - days(1) - std::chrono::minutes(12);  // as far as two clocks differ
  EXPECT_EQ(kept(policy), (Ids{"1d"}));
}

}  // namespace
}  // namespace walvault
