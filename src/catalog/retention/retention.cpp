#include "catalog/retention/retention.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/format.h"

namespace walvault {
namespace {

using std::chrono::milliseconds;

// Clocks of two machines differ.
constexpr std::chrono::minutes clock_slack{5};

long day_of(Timestamp time) {
  return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
}
// 1970-01-01 was a Thursday.
long week_of(Timestamp time) { return (day_of(time) + 3) / 7; }
long year_of(Timestamp time) {
  return int(std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(time)).year());
}
long month_of(Timestamp time) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(time));
  return year_of(time) * 12 + static_cast<long>(unsigned(date.month()));
}

class Judge {
 public:
  Judge(const RetentionPolicy& policy, const RetentionInput& input)
      : policy_(policy), input_(input) {
    for (const auto& backup : input.backups) {
      verdicts_.push_back({.id = backup.id, .reasons = {}, .keeps_wal = false});
    }
  }

  std::vector<BackupVerdict> run() {
    const auto& backups = input_.backups;
    if (backups.empty()) return {};
    if (backups.back().start_time > input_.now + clock_slack) {
      throw Error(ErrorKind::unavailable,
                  "the newest backup lies in the future: nothing is expired by a wrong clock",
                  "Backup " + backups.back().id + " is of " +
                      to_rfc3339(backups.back().start_time) + "; this machine's clock says " +
                      to_rfc3339(input_.now) + ".",
                  "Set the clock right. If it is, and was wrong when that backup was taken: take "
                  "another one.");
    }
    find_what_is_over();
    keep_newest(std::max(1u, policy_.minimum_backups), "one of the last that can be restored");
    if (!policy_.has_rule()) {
      for (std::size_t i = 0; i < verdicts_.size(); ++i) {
        keep_moments(i, "there is no retention policy");
      }
    }
    keep_newest(policy_.keep_last, "keep_last = " + std::to_string(policy_.keep_last));
    keep_young();
    keep_periods(policy_.keep_daily, "keep_daily", day_of);
    keep_periods(policy_.keep_weekly, "keep_weekly", week_of);
    keep_periods(policy_.keep_monthly, "keep_monthly", month_of);
    keep_periods(policy_.keep_yearly, "keep_yearly", year_of);
    keep_chosen();
    keep_stretches();
    keep_unproved();
    return std::move(verdicts_);
  }

 private:
  [[nodiscard]] bool is_restorable(std::size_t i) const {
    return input_.restorable.contains(input_.backups[i].id);
  }

  // A policy that names no window promises the moments between its backups.
  void keep_moments(std::size_t i, const std::string& reason) {
    verdicts_[i].reasons.push_back(reason);
    if (!policy_.window) verdicts_[i].keeps_wal = true;
  }

  // Not only to histories that nobody goes on with: those would push out what goes on.
  [[nodiscard]] bool counts(std::size_t i) const { return is_restorable(i) && !is_over_.at(i); }

  void find_what_is_over() {
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      const auto leads_to = [&](const RetentionStretch& stretch) {
        return stretch.backups.contains(verdicts_[i].id);
      };
      is_over_[i] = std::ranges::any_of(input_.stretches, leads_to) &&
                    std::ranges::all_of(input_.stretches, [&](const RetentionStretch& stretch) {
                      return stretch.is_over || stretch.recovers_since || !leads_to(stretch);
                    });
    }
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      if (counts(i)) return;
    }
    is_over_.assign(verdicts_.size(), false);  // nothing else is there
  }

  void keep_newest(unsigned count, const std::string& reason) {
    for (std::size_t i = verdicts_.size(); i-- > 0 && count > 0;) {
      if (!counts(i)) continue;
      keep_moments(i, reason);
      --count;
    }
  }

  void keep_young() {
    if (!policy_.keep_for) return;
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      if (input_.backups[i].stop_time >= input_.now - *policy_.keep_for) {
        keep_moments(i, "keep_for: it is younger");
      }
    }
  }

  void keep_periods(unsigned count, const std::string& rule,
                    const std::function<long(Timestamp)>& period_of) {
    std::optional<long> last;
    for (std::size_t i = verdicts_.size(); i-- > 0 && count > 0;) {
      if (!counts(i)) continue;
      const auto period = period_of(input_.backups[i].stop_time);
      if (last && period >= *last) continue;
      last = period;
      keep_moments(i, rule + ": the newest of its period");
      --count;
    }
  }

  void keep_chosen() {
    for (auto& verdict : verdicts_) {
      const auto it = input_.keeps.find(verdict.id);
      if (it == input_.keeps.end()) continue;
      const auto& until = it->second.until;
      if (!until) {
        verdict.reasons.emplace_back("kept for ever, by decision");
      } else if (*until >= input_.now) {
        verdict.reasons.push_back("kept until " + to_rfc3339(*until) + ", by decision");
      }
    }
  }

  // The backup from which the moments of a stretch are restored: of those that ended
  // by `time` the newest, else the oldest.
  [[nodiscard]] std::optional<std::size_t> base_at(const RetentionStretch& stretch, Timestamp time,
                                                   bool is_clean) const {
    std::optional<std::size_t> base;
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      if (!stretch.backups.contains(verdicts_[i].id) || (is_clean && !is_restorable(i))) continue;
      if (!base || input_.backups[i].stop_time <= time) base = i;
    }
    return base;
  }

  void keep_stretches() {
    std::optional<Timestamp> newest_written;
    for (const auto& stretch : input_.stretches) {
      if (!stretch.is_over && !stretch.recovers_since)
        newest_written = std::max(newest_written, stretch.last_written);
    }
    Timestamp newest_backup{};
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      if (is_restorable(i)) newest_backup = std::max(newest_backup, input_.backups[i].stop_time);
    }
    const auto begin = input_.now - policy_.window.value_or(milliseconds{0});
    for (const auto& stretch : input_.stretches) {
      if (stretch.recovers_since) {
        keep_base(stretch, Timestamp::max(),
                  "a restore of " + to_rfc3339(*stretch.recovers_since) + " recovers from it");
        continue;
      }
      const auto& written = stretch.last_written;
      // Which history goes on is not known for sure: clocks of hosts differ, and an
      // old primary may still archive.
      if (!stretch.is_over && (!written || written == newest_written || *written > newest_backup ||
                               stretch.grew_beside)) {
        keep_base(stretch, Timestamp::max(), "the last of a history that goes on");
      }
      if (policy_.window && (!written || *written >= begin)) {
        keep_base(stretch, begin, "window: its moments are restored from it");
      }
    }
  }

  void keep_base(const RetentionStretch& stretch, Timestamp time, const std::string& reason) {
    const auto clean = base_at(stretch, time, true);
    if (clean) keep_with_wal(*clean, reason);
    // Moments before that one are restored from one with damaged pages, or not at all.
    if (!clean || input_.backups[*clean].stop_time > time) {
      if (const auto any = base_at(stretch, time, false)) keep_with_wal(*any, reason);
    }
  }

  void keep_with_wal(std::size_t i, const std::string& reason) {
    auto& verdict = verdicts_[i];
    verdict.keeps_wal = true;
    if (std::ranges::find(verdict.reasons, reason) == verdict.reasons.end()) {
      verdict.reasons.push_back(reason);
    }
  }

  // What is missing of it may come back, and it may be the best there is, as long
  // as nothing newer takes its place.
  void keep_unproved() {
    bool older_stays = input_.restorable.empty();
    for (std::size_t i = 0; i < verdicts_.size(); ++i) {
      if (is_restorable(i)) {
        older_stays |= verdicts_[i].stays();
      } else if (older_stays) {
        keep_with_wal(i, "it is not whole, and none that is comes first");
      }
    }
  }

  const RetentionPolicy& policy_;
  const RetentionInput& input_;
  std::vector<BackupVerdict> verdicts_;
  std::vector<bool> is_over_ = std::vector<bool>(input_.backups.size(), false);
};

}  // namespace

bool RetentionPolicy::has_rule() const {
  return keep_last + keep_daily + keep_weekly + keep_monthly + keep_yearly > 0 || keep_for ||
         window;
}

std::vector<BackupVerdict> judge_backups(const RetentionPolicy& policy,
                                         const RetentionInput& input) {
  return Judge(policy, input).run();
}

}  // namespace walvault
