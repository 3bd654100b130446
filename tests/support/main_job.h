// Everything the main job needs, in one temporary directory: a server of a
// major, a repository, the three programs.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "storage/s3/s3_client.h"
#include "storage/storage.h"
#include "support/process.h"

namespace walvault {

// The major of tests that any will do for, and the newest.
inline constexpr int usual_major = 15;
inline constexpr int newest_major = 18;

// "Postgres15", of a parameter that is a major.
inline constexpr auto name_of_major = [](const auto& major) {
  return "Postgres" + std::to_string(major.param);
};

// The directory of a major's server programs; fails the test, naming the
// script that installs them, when they are not there.
[[nodiscard]] std::string server_programs(int major);

// Whether `scripts/test.sh --long` asked for the longest tests.
[[nodiscard]] bool long_tests();

class PostgresServer {
 public:
  // Runs initdb; nothing is started. Servers listen on a Unix socket in their
  // own test directory only.
  PostgresServer(TestDirectory& directory, int major, std::string name,
                 const std::vector<std::string>& initdb_options = {});
  // A server of a data directory that is there already.
  PostgresServer(TestDirectory& directory, int major, std::string name, std::string data);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  void configure(const std::string& lines);
  // Of the server's own process, from its next start on.
  void set_environment(std::map<std::string, std::string> environment) {
    environment_ = std::move(environment);
  }
  // Of its programs.
  [[nodiscard]] const std::string& programs() const { return programs_; }
  // False when it did not come up; log() tells why.
  [[nodiscard]] bool start();
  void stop(const std::string& mode = "fast");
  // Waits until recovery has ended and it accepts writes.
  [[nodiscard]] bool wait_until_promoted();

  [[nodiscard]] std::string sql(const std::string& query, const std::string& database = "postgres");
  // One command after another, over one connection; a line for each that gives one.
  [[nodiscard]] std::vector<std::string> lines(const std::vector<std::string>& commands);
  [[nodiscard]] Outcome tool(std::vector<std::string> command);
  [[nodiscard]] std::unique_ptr<Child> start_tool(std::vector<std::string> command);

  [[nodiscard]] const std::string& data() const { return data_; }
  [[nodiscard]] std::string conninfo() const;
  [[nodiscard]] std::string socket() const;
  [[nodiscard]] std::string log() const;

 private:
  [[nodiscard]] std::string program(const std::string& name) const {
    return programs_ + "/" + name;
  }

  TestDirectory& directory_;
  std::string programs_;
  std::string name_;
  std::string data_;
  int port_;
  std::map<std::string, std::string> environment_;
  bool running_ = false;
};

struct MainJobPlace {
  // What the repository lies in. None: a directory; with WALVAULT_TEST_ON_OBJECT_STORE=1 in
  // the environment a new bucket of the shared ObjectStore.
  std::optional<S3Settings> bucket = {};
  std::string cluster = "main";
  bool repository_exists = false;
  // The data directory of a stopped server that this one's is a copy of.
  std::string copy_of = {};
};

// A registered, archiving server.
class MainJob {
 public:
  explicit MainJob(int major, const std::string& settings = "",
                   const std::vector<std::string>& initdb_options = {}, MainJobPlace place = {});
  MainJob(int major, MainJobPlace place) : MainJob(major, "", {}, std::move(place)) {}
  // Holds what is left in the repository to the table of objects (repository/object_table.h).
  ~MainJob();

  [[nodiscard]] TestDirectory& directory() { return directory_; }
  [[nodiscard]] PostgresServer& server() { return *server_; }
  [[nodiscard]] const std::string& repository() const { return repository_; }
  [[nodiscard]] int major() const { return major_; }
  // For a server that archives as this one does.
  [[nodiscard]] std::string archiving_settings() const;
  [[nodiscard]] static std::string binary(const std::string& name);

  // Of what its programs are given; empty where they need none.
  [[nodiscard]] const std::string& config() const { return config_; }

  // Behind its back; `key` as in storage/storage.h.
  void remove_object(const std::string& key);

  // walvault with --repo and --cluster in its environment.
  [[nodiscard]] Outcome walvault(const std::vector<std::string>& arguments);
  [[nodiscard]] std::unique_ptr<Child> start_walvault(const std::vector<std::string>& arguments);
  // Any of the three programs, its name first.
  [[nodiscard]] std::unique_ptr<Child> start(std::vector<std::string> command);
  // The same, expected to succeed, its JSON.
  [[nodiscard]] nlohmann::json walvault_json(std::vector<std::string> arguments);

  // Takes a backup; returns its part of the JSON.
  [[nodiscard]] nlohmann::json backup(std::vector<std::string> arguments = {});

  // Forces a switch and waits until what was written so far is archived.
  void archive_everything();

  // A server, not started, of the directory of that name.
  [[nodiscard]] std::unique_ptr<PostgresServer> server_in(const std::string& name);

  // Restores into directory().path(name) and starts a server there.
  [[nodiscard]] std::unique_ptr<PostgresServer> restore(const std::string& name,
                                                        std::vector<std::string> arguments);

  // That a restore with these leaves another cluster's data directory alone, and with
  // `into_files` a directory with somebody's photos, which is left at directory().path("photos").
  void expect_others_untouched(const std::vector<std::string>& into_cluster,
                               const std::vector<std::string>& into_files);

 private:
  [[nodiscard]] std::map<std::string, std::string> environment() const;

  void use_bucket(const S3Settings& bucket);
  void expect_known_objects() const;

  TestDirectory directory_;
  int major_;
  std::string repository_;
  std::string cluster_;
  std::string config_;  // empty: none
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<PostgresServer> server_;
};

}  // namespace walvault
