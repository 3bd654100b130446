// For random workloads and random targets: the point that the plan names is the
// one at which PostgreSQL stops, with exactly the rows that were committed by then.
#include <gmock/gmock.h>

#include <boost/filesystem.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "postgres/lsn.h"
#include "support/main_job.h"
#include "support/seed.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

constexpr int steps = 60;
constexpr std::int64_t second = 1'000'000;

// The end of a transaction, as its client saw it.
struct End {
  bool commit = true;
  bool part_aborted = false;  // a subtransaction of it, in a record of its own
  Lsn lsn;                    // behind its record, and before the next one's end
  std::int64_t time = 0;      // microseconds; of an abort not exact
  std::int64_t time_to = 0;
  std::string xid;
  std::vector<std::string> other_xids;  // of subtransactions
  std::vector<int> rows;
};

class RecoveryProperty : public ::testing::TestWithParam<int> {
 protected:
  RecoveryProperty() {
    const auto shim = job_.directory().path("clock_shim.so");
    std::filesystem::copy_file(WALVAULT_CLOCK_SHIM, shim);
    clock_ = job_.directory().path("clock");
    set_clock(0);
    fs::permissions(shim, fs::perms::all_all);
    give_to_server_user(clock_);
    job_.server().stop();
    environment_ = {{"LD_PRELOAD", shim}, {"WALVAULT_TEST_CLOCK", clock_}};
    job_.server().set_environment(environment_);
    if (!job_.server().start()) throw std::runtime_error(job_.server().log());
  }

  // In place: the server has it mapped.
  void set_clock(std::int64_t microseconds) {
    std::fstream file(clock_, std::ios::binary | std::ios::in | std::ios::out);
    if (!file.is_open()) file.open(clock_, std::ios::binary | std::ios::out);
    file.write(reinterpret_cast<const char*>(&microseconds), sizeof microseconds);
    ASSERT_TRUE(file.flush().good());
  }

  std::vector<std::string> run(const std::vector<std::string>& commands) {
    return server_->lines(commands);
  }

  static inline const std::string xid_of = "SELECT txid_current() % (1::bigint << 32)";
  static inline const std::string where = "SELECT pg_current_wal_insert_lsn()";
  static inline const std::string now =
      "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
  static std::string time_of(const std::string& xid) {
    return "SELECT (extract(epoch FROM pg_xact_commit_timestamp('" + xid +
           "'::xid)) * 1000000)::bigint";
  }
  [[nodiscard]] std::string insert() {
    pending_.push_back(++row_);
    return "INSERT INTO t VALUES (" + std::to_string(row_) + ")";
  }

  void finish(End end) {
    end.rows = std::exchange(pending_, {});
    if (!end.commit) end.rows.clear();
    if (end.commit) end.time = end.time_to = std::stoll(run({time_of(end.xid)}).at(0));
    ends_.push_back(std::move(end));
  }

  void step() {
    switch (random_() % 9) {
      case 0: {  // with a subtransaction, and one that is rolled back
        const auto out = run({"BEGIN", xid_of, insert(), "SAVEPOINT a", insert(),
                              "SELECT xmin FROM t WHERE n = " + std::to_string(row_), "SAVEPOINT b",
                              "INSERT INTO t VALUES (-1)", "ROLLBACK TO b", "COMMIT", where});
        End end;
        end.xid = out.at(0);
        end.other_xids = {out.at(1)};
        end.part_aborted = true;
        end.lsn = Lsn::parse(out.at(2)).value();
        return finish(end);
      }
      case 1: {
        const auto before = run({now}).at(0);
        const auto out = run({"BEGIN", xid_of, insert(), "ROLLBACK", where, now});
        End end;
        end.commit = false;
        end.time = std::stoll(before);
        end.xid = out.at(0);
        end.lsn = Lsn::parse(out.at(1)).value();
        end.time_to = std::stoll(out.at(2));
        return finish(end);
      }
      case 2: {  // prepared; what comes between has its own turn
        const auto out = run({"BEGIN", xid_of, insert(), "PREPARE TRANSACTION 'p'",
                              "SELECT pg_switch_wal()", "COMMIT PREPARED 'p'", where});
        End end;
        end.xid = out.at(0);
        end.lsn = Lsn::parse(out.at(2)).value();
        return finish(end);
      }
      case 3:
        points_.push_back("point " + std::to_string(++named_));
        point_ends_.push_back(
            Lsn::parse(run({"SELECT pg_create_restore_point('" + points_.back() + "')"}).at(0))
                .value());
        return;
      case 4: (void)run({"SELECT pg_switch_wal()"}); return;
      case 5: set_clock(static_cast<std::int64_t>(random_() % 7200) * second); return;
      default: {
        const auto out = run({"BEGIN", xid_of, insert(), "COMMIT", where});
        End end;
        end.xid = out.at(0);
        end.lsn = Lsn::parse(out.at(1)).value();
        return finish(end);
      }
    }
  }

  // Rows of the first `count` ends.
  [[nodiscard]] std::string rows_of(std::size_t count) const {
    std::vector<int> rows;
    for (std::size_t i = 0; i < count; ++i) {
      rows.insert(rows.end(), ends_[i].rows.begin(), ends_[i].rows.end());
    }
    std::ranges::sort(rows);
    std::string text;
    for (const int row : rows) text += (text.empty() ? "" : ",") + std::to_string(row);
    return text;
  }

  static std::string text_of(std::int64_t microseconds) {
    const auto seconds = static_cast<std::time_t>(microseconds / second);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    (void)std::snprintf(text.data(), text.size(), "%04d-%02d-%02d %02d:%02d:%02d.%06d+00",
                        parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                        parts.tm_min, parts.tm_sec, static_cast<int>(microseconds % second));
    return text.data();
  }

  struct Target {
    std::vector<std::string> arguments;
    std::size_t ends = 0;  // that are replayed
  };

  // nullopt: what was drawn says nothing sure.
  std::optional<Target> draw() {
    const auto chosen = only_from_ + random_() % (ends_.size() - only_from_);
    const auto& end = ends_[chosen];
    const bool exclusive = random_() % 2 == 0;
    Target target;
    switch (random_() % 4) {
      case 0: {
        const auto xid =
            end.other_xids.empty() || random_() % 2 == 0 ? end.xid : end.other_xids.front();
        target.arguments = {"--to-xid", xid};
        target.ends = exclusive ? chosen : chosen + 1;
        break;
      }
      case 1: {
        if (points_.empty() || only_from_ > 0) return std::nullopt;
        const auto which = random_() % points_.size();
        target.arguments = {"--to-name", points_[which]};
        while (target.ends < ends_.size() && ends_[target.ends].lsn <= point_ends_[which]) {
          ++target.ends;
        }
        return target;
      }
      case 2: {
        // Behind the record: what comes next starts there or later.
        target.arguments = {"--to-lsn", end.lsn.text(), "--exclusive"};
        target.ends = chosen + 1;
        return target;
      }
      default: {
        if (!end.commit) return std::nullopt;
        const auto time = end.time + static_cast<std::int64_t>(random_() % 3) - 1;
        // Behind the last of all nothing is proved.
        if ((exclusive ? time - 1 : time) > ends_.back().time) return std::nullopt;
        target.arguments = {"--to", text_of(time)};
        const auto is_past = [&](std::int64_t each) {
          return exclusive ? each >= time : each > time;
        };
        while (target.ends < ends_.size()) {
          const auto& each = ends_[target.ends];
          if (is_past(each.time)) break;
          if (is_past(each.time_to)) return std::nullopt;  // an abort of just then
          ++target.ends;
        }
        // With clocks that jump, an end before the newest backup may be past it:
        // from that backup replay does not meet it.
        if (target.ends < only_from_) return std::nullopt;
        break;
      }
    }
    if (exclusive) target.arguments.emplace_back("--exclusive");
    return target;
  }

  // Random targets of one timeline, each restored.
  void expect_all_reached(int count, const std::string& timeline) {
    for (int i = 0; i < count;) {
      auto target = draw();
      if (!target) continue;
      target->arguments.insert(target->arguments.end(), {"--timeline", timeline});
      expect_reached(*target);
      if (HasFatalFailure()) return;
      ++i;
    }
  }

  // A commit with a later time than all, so that every moment before it is
  // proved, and all of it archived.
  void close() {
    latest_ += 9000 * second;
    set_clock(latest_);
    const auto out = run({"BEGIN", xid_of, insert(), "COMMIT", where});
    End end;
    end.xid = out.at(0);
    end.lsn = Lsn::parse(out.at(1)).value();
    finish(end);
    const auto segment = run({"SELECT pg_walfile_name(pg_current_wal_lsn())"}).at(0);
    (void)run({"SELECT pg_switch_wal()"});
    const auto query =
        "SELECT coalesce(last_archived_wal, '') >= '" + segment + "' FROM pg_stat_archiver";
    for (int i = 0; i < 600; ++i) {
      if (run({query}).at(0) == "t") return;
      (void)run({"SELECT pg_sleep(0.1)"});
    }
    FAIL() << segment << " is not archived: " << server_->log();
  }

  // Restores to a moment, promotes, and goes on from there: what came behind it
  // is of the old timeline alone.
  std::unique_ptr<PostgresServer> branch() {
    const auto kept = ends_.size() / 2;
    const auto behind = ends_[kept].lsn;
    const auto done =
        job_.walvault({"restore", "--pgdata", job_.directory().path("branch"), "--to-lsn",
                       behind.text(), "--exclusive", "--archiving", "keep"});
    if (done.exit_code != 0) throw std::runtime_error(done.text());
    job_.server().stop();
    auto server = job_.server_in("branch");
    server->set_environment(environment_);
    if (!server->start() || !server->wait_until_promoted()) throw std::runtime_error(server->log());
    server_ = server.get();
    ends_.resize(kept + 1);
    while (!points_.empty() && point_ends_.back() > behind) {
      points_.pop_back();
      point_ends_.pop_back();
    }
    return server;
  }

  void expect_reached(const Target& target) {
    const auto name = "new" + std::to_string(++restores_);
    std::string shown = name + ":";
    for (const auto& argument : target.arguments) shown += " " + argument;
    SCOPED_TRACE(shown);
    std::vector<std::string> arguments{"restore",  "--pgdata", job_.directory().path(name),
                                       "--action", "pause",    "--json"};
    arguments.insert(arguments.end(), target.arguments.begin(), target.arguments.end());
    const auto restored = job_.walvault(arguments);
    ASSERT_EQ(restored.exit_code, 0) << restored.text();
    const auto plan = nlohmann::json::parse(restored.out).at("plan").at("target");
    auto server = job_.server_in(name);
    ASSERT_TRUE(server->start()) << server->log();
    std::string paused;
    for (int i = 0; i < 300 && paused != "t"; ++i) {
      paused = server->sql("SELECT pg_is_wal_replay_paused()");
      if (paused != "t") (void)server->sql("SELECT pg_sleep(0.1)");
    }
    ASSERT_EQ(paused, "t") << server->log();
    EXPECT_EQ(server->sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM t"),
              rows_of(target.ends));
    // The last end that was replayed has the time that it had on the original. One
    // before `only_from_` may lie before the backup, and then none was.
    std::size_t last_commit = target.ends;
    while (last_commit > 0 && !ends_[last_commit - 1].commit) --last_commit;
    // PostgreSQL does not count the record behind which it stops, but those of
    // the transaction before whose end it stops.
    const bool part_of_next = target.ends < ends_.size() && ends_[target.ends].part_aborted;
    if (last_commit == target.ends && last_commit > only_from_ && !part_of_next &&
        plan.at("stops") == "before") {
      EXPECT_EQ(server->sql("SELECT (extract(epoch FROM pg_last_xact_replay_timestamp()) * "
                            "1000000)::bigint"),
                std::to_string(ends_[last_commit - 1].time));
    }
    // And nothing was replayed from the record on that the plan says is not.
    if (!plan.at("lsn").is_null()) {
      const auto planned = Lsn::parse(plan.at("lsn").get<std::string>()).value();
      const auto reached = Lsn::parse(server->sql("SELECT pg_last_wal_replay_lsn()")).value();
      if (plan.at("stops") == "behind") {
        EXPECT_GT(reached, planned);
      } else {
        EXPECT_LE(reached, planned);
      }
    }
    server->stop("immediate");
    fs::remove_all(job_.directory().path(name));
  }

  MainJob job_{GetParam(),
               "track_commit_timestamp = on\nmax_prepared_transactions = 5\n"
               "autovacuum = off\n"};
  std::string clock_;
  std::map<std::string, std::string> environment_;
  PostgresServer* server_ = &job_.server();  // that the workload runs on
  std::mt19937 random_;
  std::vector<End> ends_;
  std::vector<int> pending_;
  std::vector<std::string> points_;
  std::vector<Lsn> point_ends_;
  int row_ = 0;
  int named_ = 0;
  int restores_ = 0;
  std::int64_t latest_ = 0;    // that the clock was set off by
  std::size_t only_from_ = 0;  // the first end that a target may mean
};
INSTANTIATE_TEST_SUITE_P(Majors, RecoveryProperty, ::testing::Values(13, 14, 15, 16, 17, 18),
                         name_of_major);

TEST_P(RecoveryProperty, StopsWhereThePlanSays) {
  const auto seed = test_seed();
  SCOPED_TRACE("WALVAULT_TEST_SEED=" + std::to_string(seed));
  random_.seed(seed);
  (void)run({"CREATE TABLE t (n int)"});
  (void)job_.backup();
  for (int i = 0; i < steps; ++i) step();
  close();
  const int times = long_tests() ? 10 : 1;
  expect_all_reached(4 * times, "1");
  if (HasFatalFailure()) return;

  // A second history, and both of them.
  const auto old_ends = ends_;
  const auto old_points = points_;
  const auto old_point_ends = point_ends_;
  const auto second_server = branch();
  for (int i = 0; i < steps / 4; ++i) step();
  close();
  expect_all_reached(times, "2");
  if (HasFatalFailure()) return;
  // From a backup of the server that was itself restored.
  (void)job_.walvault_json({"backup", "--pg", second_server->conninfo()});
  const auto backed_up = ends_.size();
  for (int i = 0; i < steps / 4; ++i) step();
  close();
  only_from_ = backed_up;
  expect_all_reached(times, "2");
  if (HasFatalFailure()) return;
  only_from_ = 0;
  ends_ = old_ends;
  points_ = old_points;
  point_ends_ = old_point_ends;
  expect_all_reached(times, "1");
}

}  // namespace
}  // namespace walvault
