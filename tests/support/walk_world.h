// A production server, its repository, and what has to come back of it: whatever is done to both.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "postgres/lsn.h"
#include "support/main_job.h"

namespace walvault {

// A transaction that production committed, in the order of its history.
struct Committed {
  int row = 0;
  std::string xid;
  std::string time;     // as PostgreSQL keeps it, in UTC
  std::int64_t us = 0;  // the same, in microseconds
  Lsn behind;           // its record, before the next one
};

struct NamedPoint {
  std::string name;
  std::size_t commits = 0;  // before it
};

// What a restore is asked for, and what it has to bring.
struct WalkTarget {
  std::vector<std::string> arguments;
  std::size_t commits = 0;
};

class WalkWorld {
 public:
  // `clock_shim`: the library of clock_shim.cpp.
  WalkWorld(int major, unsigned seed, std::string clock_shim);

  // One random step, and everything archived behind it. Its name.
  std::string step();

  // Restores random targets beside production: each brings what was committed by then, or is
  // refused where the history before the newest backup may be.
  void expect_right(int targets);

  // check and verify of what is there in the end.
  void expect_whole();

 private:
  void work();
  void backup(const std::vector<std::string>& more = {});
  void backup_with_a_wrong_clock();
  void restore_in_place();
  void fail_over();
  void let_a_copy_archive_a_timeline();
  void let_a_clone_archive();
  void load_with_minimal_wal();
  void expire();
  void set_aside();
  void change_identity();

  void archive();
  void start(PostgresServer& server);
  void record(const std::vector<std::string>& lines, std::size_t rows);
  [[nodiscard]] std::string rows_in(PostgresServer& server);
  [[nodiscard]] std::string rows_of(std::size_t commits) const;
  [[nodiscard]] WalkTarget draw();
  // In a server that recovers to it.
  void expect_rows(PostgresServer& server, std::size_t commits, const std::string& what);
  void restore_beside(const WalkTarget& target);
  [[nodiscard]] std::size_t number(std::size_t below) { return random_() % below; }
  [[nodiscard]] std::string new_place() { return "place" + std::to_string(++places_); }
  [[nodiscard]] Outcome walvault(const std::vector<std::string>& arguments) {
    return job_.walvault(arguments);
  }
  [[nodiscard]] std::string timeline_of(PostgresServer& server);

  MainJob job_;
  std::string clock_shim_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<PostgresServer>> others_;  // that became production
  PostgresServer* production_ = nullptr;

  std::vector<Committed> commits_;  // of production's history
  std::vector<NamedPoint> points_;
  std::vector<std::string> left_times_;                       // of commits that a restore left
  std::vector<std::pair<std::string, std::size_t>> backups_;  // their commits
  // What lies before that many commits may be refused.
  std::size_t sure_from_ = 0;
  int rows_ = 0;
  int points_made_ = 0;
  int places_ = 0;
};

}  // namespace walvault
