#include "support/walk_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/format.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;

const std::string settings =
    "track_commit_timestamp = on\nautovacuum = off\nTimeZone = 'UTC'\n"
    "checkpoint_timeout = 1h\nmax_wal_size = 4GB\nwal_keep_size = 160MB\n";

}  // namespace

WalkWorld::WalkWorld(int major, unsigned seed, std::string clock_shim)
    : job_(major, settings),
      clock_shim_(std::move(clock_shim)),
      random_(seed),
      production_(&job_.server()) {
  (void)production_->lines({"CREATE TABLE t (n int)"});
  backup();
  work();
  archive();
}

std::string WalkWorld::rows_in(PostgresServer& server) {
  return server.sql("SELECT coalesce(string_agg(n::text, ', ' ORDER BY n), '') FROM t");
}

std::string WalkWorld::rows_of(std::size_t commits) const {
  std::vector<int> rows;
  for (std::size_t i = 0; i < commits; ++i) rows.push_back(commits_[i].row);
  std::ranges::sort(rows);
  return list_of(rows, [](int row) { return std::to_string(row); });
}

std::string WalkWorld::timeline_of(PostgresServer& server) {
  const std::string file = "pg_walfile_name(pg_current_wal_lsn())";
  return server.sql("SELECT ('x' || substr(" + file + ", 1, 8))::bit(32)::int");
}

void WalkWorld::start(PostgresServer& server) {
  if (!server.start()) throw std::runtime_error("it does not start: " + server.log());
  if (!server.wait_until_promoted()) throw std::runtime_error("not promoted: " + server.log());
}

// Committed one by one; some roll back, some switch the segment, some name a point.
void WalkWorld::work() {
  std::vector<std::string> commands;
  const auto count = 1 + number(4);
  for (std::size_t i = 0; i < count; ++i) {
    if (number(4) == 0) {
      commands.insert(commands.end(), {"BEGIN", "INSERT INTO t VALUES (-1)", "ROLLBACK"});
    }
    ++rows_;
    commands.insert(commands.end(),
                    {"BEGIN", "SELECT txid_current() % (1::bigint << 32)",
                     "INSERT INTO t VALUES (" + std::to_string(rows_) + ")", "COMMIT",
                     "SELECT pg_current_wal_insert_lsn()",
                     "SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint"
                     " || ' ' || pg_xact_commit_timestamp(xmin) FROM t WHERE n = " +
                         std::to_string(rows_)});
    if (number(5) == 0) commands.emplace_back("CHECKPOINT");
    if (number(4) == 0) commands.emplace_back("SELECT 'switch' FROM pg_switch_wal()");
  }
  const auto lines = production_->lines(commands);
  int row = rows_ - static_cast<int>(count);
  for (std::size_t i = 0; i < lines.size();) {
    if (lines[i] == "switch") {
      ++i;
      continue;
    }
    const auto blank = lines.at(i + 2).find(' ');
    commits_.push_back({.row = ++row,
                        .xid = lines[i],
                        .time = lines[i + 2].substr(blank + 1),
                        .us = std::stoll(lines[i + 2].substr(0, blank)),
                        .behind = Lsn::parse(lines[i + 1]).value()});
    i += 3;
  }
  if (number(2) == 0 && production_->sql("SHOW wal_level") != "minimal") {
    points_.push_back(
        {.name = "point " + std::to_string(++points_made_), .commits = commits_.size()});
    // The commit behind it takes it to disk, and to a standby.
    const auto made = "SELECT pg_create_restore_point('" + points_.back().name + "')";
    (void)production_->lines({"BEGIN", made, "SELECT txid_current()", "COMMIT"});
  }
}

// Production's archiver goes on: nobody is stuck.
void WalkWorld::archive() {
  const auto segment =
      production_->sql("SELECT pg_walfile_name(pg_create_restore_point('archived'))");
  (void)production_->lines({"SELECT pg_switch_wal()"});
  const auto query =
      "SELECT coalesce(last_archived_wal, '') >= '" + segment + "' FROM pg_stat_archiver";
  for (int i = 0; i < 300; ++i) {
    if (production_->sql(query) == "t") return;
    std::this_thread::sleep_for(50ms);
  }
  throw std::runtime_error("production is stuck at " + segment + ": " + production_->log());
}

void WalkWorld::backup(const std::vector<std::string>& more) {
  std::vector<std::string> command{"backup", "--pg", production_->conninfo(), "--json"};
  command.insert(command.end(), more.begin(), more.end());
  const auto done = walvault(command);
  ASSERT_EQ(done.exit_code, 0) << done.text();
  backups_.emplace_back(nlohmann::json::parse(done.out).at("backup").at("id"), commits_.size());
  sure_from_ = commits_.size();
}

void WalkWorld::backup_with_a_wrong_clock() {
  const auto shim = job_.directory().path("clock_shim.so");
  if (!fs::exists(shim)) std::filesystem::copy_file(clock_shim_, shim);
  fs::permissions(shim, fs::perms::all_all);
  const auto clock = job_.directory().path("clock");
  const std::int64_t ahead = std::int64_t{300} * 86400 * 1'000'000;
  write_text(clock, {reinterpret_cast<const char*>(&ahead), sizeof ahead});
  give_to_server_user(clock);
  const auto done = walvault::run(
      {MainJob::binary("walvault"), "backup", "--pg", production_->conninfo(), "--repo",
       job_.repository(), "--cluster", "main"},
      {{"LD_PRELOAD", shim}, {"WALVAULT_TEST_CLOCK", clock}}, job_.directory().path());
  ASSERT_EQ(done.exit_code, 0) << done.text();
  backup();
}

WalkTarget WalkWorld::draw() {
  const auto chosen = number(commits_.size());
  const auto& commit = commits_[chosen];
  WalkTarget target;
  switch (number(6)) {
    case 0:
      target = {.arguments = {"--to-xid", commit.xid}, .commits = chosen + 1};
      if (number(2) == 0) {
        target.arguments.emplace_back("--exclusive");
        --target.commits;
      }
      return target;
    case 1:
      return {.arguments = {"--to-lsn", commit.behind.text(), "--exclusive"},
              .commits = chosen + 1};
    case 2:
      if (!points_.empty()) {
        const auto& point = points_[number(points_.size())];
        return {.arguments = {"--to-name", point.name}, .commits = point.commits};
      }
      [[fallthrough]];
    case 3: return {.arguments = {}, .commits = commits_.size()};
    case 4:
      // A time of a history that a restore left.
      if (!left_times_.empty()) {
        const auto& time = left_times_[number(left_times_.size())];
        const auto us = std::stoll(time.substr(0, time.find(' ')));
        target.arguments = {"--to", time.substr(time.find(' ') + 1)};
        while (target.commits < commits_.size() && commits_[target.commits].us <= us) {
          ++target.commits;
        }
        return target;
      }
      [[fallthrough]];
    default: return {.arguments = {"--to", commit.time}, .commits = chosen + 1};
  }
}

void WalkWorld::expect_rows(PostgresServer& server, std::size_t commits, const std::string& what) {
  ASSERT_EQ(rows_in(server), rows_of(commits)) << what << "\n" << server.log();
}

void WalkWorld::restore_beside(const WalkTarget& target) {
  const auto place = new_place();
  std::vector<std::string> command{"restore", "--as", "copy", "--pgdata",
                                   job_.directory().path(place)};
  command.insert(command.end(), target.arguments.begin(), target.arguments.end());
  SCOPED_TRACE(list_of(command, std::identity()));
  const auto done = walvault(command);
  if (target.commits <= sure_from_ && done.exit_code == 7) return;
  ASSERT_EQ(done.exit_code, 0) << done.text() << walvault({"info"}).out;
  const auto server = job_.server_in(place);
  start(*server);
  expect_rows(*server, target.commits, done.text());
  server->stop("immediate");
  fs::remove_all(job_.directory().path(place));
}

void WalkWorld::expect_right(int targets) {
  for (int i = 0; i < targets && !::testing::Test::HasFatalFailure(); ++i) restore_beside(draw());
}

// As the original, forwards to the end or back; a second try follows at once now and then.
void WalkWorld::restore_in_place() {
  auto target = draw();
  // What lies just before a backup may be out of its reach.
  if (target.commits <= sure_from_) target = {.arguments = {}, .commits = commits_.size()};
  production_->stop(number(2) == 0 ? "fast" : "immediate");
  std::vector<std::string> command{"restore",  number(2) == 0 ? "--force" : "--delta",
                                   "--pgdata", production_->data(),
                                   "--as",     "original"};
  command.insert(command.end(), target.arguments.begin(), target.arguments.end());
  SCOPED_TRACE(list_of(command, std::identity()));
  const auto done = walvault(command);
  ASSERT_EQ(done.exit_code, 0) << done.text() << walvault({"info"}).out;
  start(*production_);
  expect_rows(*production_, target.commits, done.text());
  for (std::size_t i = target.commits; i < commits_.size(); ++i) {
    left_times_.push_back(std::to_string(commits_[i].us) + " " + commits_[i].time);
  }
  commits_.resize(target.commits);
  std::erase_if(points_, [&](const NamedPoint& point) {
    return point.commits > commits_.size() || target.arguments.empty() == false;
  });
  sure_from_ = std::min(sure_from_, commits_.size());
  work();
}

// A standby takes over.
void WalkWorld::fail_over() {
  const auto place = new_place();
  const auto made = walvault({"restore", "--standby", "--pg", production_->conninfo(), "--pgdata",
                              job_.directory().path(place)});
  ASSERT_EQ(made.exit_code, 0) << made.text();
  auto standby = job_.server_in(place);
  if (!standby->start()) throw std::runtime_error(standby->log());
  work();
  const auto lsn = production_->sql("SELECT pg_current_wal_lsn()");
  for (int i = 0; i < 200; ++i) {
    if (standby->sql("SELECT pg_last_wal_replay_lsn() >= '" + lsn + "'") == "t") break;
    std::this_thread::sleep_for(50ms);
  }
  production_->stop("immediate");
  if (number(2) == 0) {
    const auto rescued = walvault({"wal", "rescue", "--pgdata", production_->data()});
    ASSERT_EQ(rescued.exit_code, 0) << rescued.text();
  }
  (void)standby->sql("SELECT pg_promote()");
  if (!standby->wait_until_promoted()) throw std::runtime_error(standby->log());
  others_.push_back(std::move(standby));
  production_ = others_.back().get();
  expect_rows(*production_, commits_.size(), "the standby");
  work();
}

// Somebody restores a copy as the original, and it archives a newer timeline.
void WalkWorld::let_a_copy_archive_a_timeline() {
  const auto place = new_place();
  const auto made =
      walvault({"restore", "--as", "original", "--pgdata", job_.directory().path(place)});
  ASSERT_EQ(made.exit_code, 0) << made.text();
  const auto copy = job_.server_in(place);
  start(*copy);
  (void)copy->lines({"INSERT INTO t VALUES (-2)", "SELECT pg_switch_wal()"});
  const auto timeline = timeline_of(*copy);
  for (int i = 0; i < 200; ++i) {
    if (copy->sql("SELECT archived_count > 0 FROM pg_stat_archiver") == "t") break;
    std::this_thread::sleep_for(50ms);
  }
  (void)copy->lines({"SELECT pg_sleep(1.2)"});
  work();
  archive();
  copy->stop();
  fs::remove_all(job_.directory().path(place));
  // Nobody follows the copy unasked.
  const auto asked =
      walvault({"restore", "--dry-run", "--pgdata", job_.directory().path("nowhere")});
  ASSERT_EQ(asked.exit_code, 7) << asked.text();
  ASSERT_EQ(walvault({"check", "--pg", production_->conninfo()}).exit_code, 8);
  ASSERT_EQ(walvault({"timeline", "abandon", timeline}).exit_code, 0);
  ASSERT_EQ(walvault({"check", "--pg", production_->conninfo()}).exit_code, 0);
}

// A clone on the same timeline, with the settings of its original.
void WalkWorld::let_a_clone_archive() {
  const auto place = new_place();
  // Not all majors are here with their client programs; a newer one will do.
  const auto made =
      walvault::run({server_programs(newest_major) + "/pg_basebackup", "-d",
                     production_->conninfo(), "-D", job_.directory().path(place), "-c", "fast"},
                    {}, job_.directory().path());
  ASSERT_EQ(made.exit_code, 0) << made.text();
  work();
  archive();
  const auto clone = job_.server_in(place);
  ASSERT_TRUE(clone->start()) << clone->log();
  for (int i = 0; i < 2; ++i) {
    (void)clone->lines({"INSERT INTO t VALUES (-3)", "SELECT pg_switch_wal()"});
  }
  for (int i = 0; i < 100; ++i) {
    if (clone->sql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t") break;
    std::this_thread::sleep_for(50ms);
  }
  clone->stop("immediate");
  const auto refused = walvault({"restore", "--force", "--pgdata", clone->data()});
  ASSERT_EQ(refused.exit_code, 4) << refused.text();
  fs::remove_all(clone->data());
  work();
}

void WalkWorld::load_with_minimal_wal() {
  production_->stop();
  production_->configure("wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off\n");
  start(*production_);
  work();
  production_->stop();
  production_->configure("wal_level = replica\nmax_wal_senders = 10\narchive_mode = on\n");
  start(*production_);
  work();
  archive();
  const auto refused =
      walvault({"restore", "--dry-run", "--pgdata", job_.directory().path("nowhere")});
  ASSERT_EQ(refused.exit_code, 7) << refused.text();
  backup();
  // Of segments that were filled meanwhile, none was archived.
  (void)walvault({"window", "accept-gap", "--reason", "a bulk load", "--yes"});
}

void WalkWorld::expire() {
  const auto done = walvault({"expire", "--keep-last", "2"});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  const auto collected = walvault({"gc", "--grace", "0s"});
  ASSERT_EQ(collected.exit_code, 0) << collected.text();
}

// As after a timeline id that was used twice.
void WalkWorld::set_aside() {
  const auto done = walvault({"timeline", "set-aside", timeline_of(*production_), "--yes"});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  work();
  backup();
  // What was archived of it before is of the branch that was set aside.
  (void)walvault({"window", "accept-gap", "--reason", "set aside", "--yes"});
}

// As after pg_upgrade: other system identifier, nothing of the old history.
void WalkWorld::change_identity() {
  production_->stop();
  const auto place = new_place();
  others_.push_back(std::make_unique<PostgresServer>(job_.directory(), job_.major(), place));
  production_ = others_.back().get();
  production_->configure(settings + job_.archiving_settings());
  if (!production_->start()) throw std::runtime_error(production_->log());
  const auto done = walvault({"cluster", "upgrade", "main", "--pg", production_->conninfo()});
  ASSERT_EQ(done.exit_code, 0) << done.text();
  commits_.clear();
  points_.clear();
  left_times_.clear();
  (void)production_->lines({"CREATE TABLE t (n int)"});
  backup();
  work();
}

std::string WalkWorld::step() {
  struct Step {
    const char* name;
    void (WalkWorld::*take)();
    std::size_t weight;
  };
  static constexpr std::array<Step, 10> steps = {
      {{"restore in place", &WalkWorld::restore_in_place, 6},
       {"fail over", &WalkWorld::fail_over, 3},
       {"a copy archives a timeline", &WalkWorld::let_a_copy_archive_a_timeline, 2},
       {"a clone archives", &WalkWorld::let_a_clone_archive, 2},
       {"minimal", &WalkWorld::load_with_minimal_wal, 2},
       {"expire", &WalkWorld::expire, 2},
       {"set aside", &WalkWorld::set_aside, 2},
       {"another identity", &WalkWorld::change_identity, 1},
       {"a wrong clock", &WalkWorld::backup_with_a_wrong_clock, 2},
       {"work", &WalkWorld::work, 3}}};
  std::size_t all = 0;
  for (const auto& each : steps) all += each.weight;
  auto drawn = number(all);
  const auto* chosen = steps.begin();
  while (drawn >= chosen->weight) drawn -= (chosen++)->weight;
  (this->*chosen->take)();
  if (::testing::Test::HasFatalFailure()) return chosen->name;
  if (number(3) == 0) backup();
  work();
  archive();
  return chosen->name;
}

void WalkWorld::expect_whole() {
  const auto verified = walvault({"verify", "--deep"});
  EXPECT_EQ(verified.exit_code, 0) << verified.text();
  const auto checked = walvault({"check", "--pg", production_->conninfo()});
  EXPECT_EQ(checked.exit_code, 0) << checked.text();
}

}  // namespace walvault
