#include "support/main_job.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/filesystem.hpp>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "repository/object_table.h"
#include "storage/posix_storage.h"
#include "storage/s3/s3_storage.h"
#include "support/s3_bucket.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;
using namespace std::chrono_literals;

int next_port() {
  // Sockets lie in directories of their own, so a port needs to be unique only
  // among the servers of one test.
  static std::atomic<int> port{6500};
  return ++port;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

std::string server_programs(int major) {
  const auto suffix = "/usr/lib/postgresql/" + std::to_string(major) + "/bin";
  std::string found = suffix;
  if (!fs::exists(found + "/postgres")) {
    // Asked as this user, not as the server's: the answer depends on it.
    const std::unique_ptr<FILE, decltype(&::pclose)> answer(
        ::popen("bash " WALVAULT_SOURCE_DIR "/scripts/servers-dir.sh", "r"), &::pclose);
    std::array<char, 4096> line{};
    if (::fgets(line.data(), line.size(), answer.get()) == nullptr) line[0] = 0;
    found = trimmed(line.data()) + "/" + std::to_string(major) + suffix;
  }
  if (!fs::exists(found + "/postgres")) {
    throw std::runtime_error("PostgreSQL " + std::to_string(major) + " is not there; run " +
                             "scripts/install-servers.sh " + std::to_string(major));
  }
  return found;
}

bool long_tests() {
  const char* value = ::getenv("WALVAULT_TEST_LONG");
  return value != nullptr && std::string(value) == "1";
}

PostgresServer::PostgresServer(TestDirectory& directory, int major, std::string name,
                               const std::vector<std::string>& initdb_options)
    : PostgresServer(directory, major, name, directory.path(name)) {
  std::vector<std::string> command{
      program("initdb"), "--no-sync", "-A", "trust", "--no-locale", "-k", "-U",
      "postgres",        "-D",        data_};
  command.insert(command.end(), initdb_options.begin(), initdb_options.end());
  const auto made = run(command, {}, directory_.path());
  if (made.exit_code != 0) throw std::runtime_error("initdb: " + made.text());
  configure("fsync = off\nlisten_addresses = ''\nunix_socket_directories = '" + directory_.path() +
            "'\nlog_line_prefix = '%m '\n");
}

PostgresServer::PostgresServer(TestDirectory& directory, int major, std::string name,
                               std::string data)
    : directory_(directory),
      programs_(server_programs(major)),
      name_(std::move(name)),
      data_(std::move(data)),
      port_(next_port()) {}

PostgresServer::~PostgresServer() {
  if (running_) stop("immediate");
}

void PostgresServer::configure(const std::string& lines) {
  const auto path = data_ + "/postgresql.conf";
  write_text(path, read_text(path) + lines);
}

bool PostgresServer::start() {
  const auto started = run({program("pg_ctl"), "-D", data_, "-l", directory_.path(name_ + ".log"),
                            "-o", "-c port=" + std::to_string(port_), "-w", "-t", "60", "start"},
                           environment_, directory_.path());
  running_ = fs::exists(data_ + "/postmaster.pid");
  return started.exit_code == 0;
}

void PostgresServer::stop(const std::string& mode) {
  (void)run({program("pg_ctl"), "-D", data_, "-m", mode, "-w", "stop"}, {}, directory_.path());
  running_ = false;
}

bool PostgresServer::wait_until_promoted() {
  for (int i = 0; i < 600; ++i) {
    if (tool({"psql", "-XAtqc", "SELECT pg_is_in_recovery()", "postgres"}).out == "f\n")
      return true;
    std::this_thread::sleep_for(100ms);
  }
  return false;
}

std::string PostgresServer::conninfo() const {
  return "host=" + directory_.path() + " port=" + std::to_string(port_) + " user=postgres";
}

std::string PostgresServer::socket() const {
  return directory_.path() + "/.s.PGSQL." + std::to_string(port_);
}

std::string PostgresServer::log() const { return read_text(directory_.path(name_ + ".log")); }

Outcome PostgresServer::tool(std::vector<std::string> command) {
  return start_tool(std::move(command))->wait();
}

std::unique_ptr<Child> PostgresServer::start_tool(std::vector<std::string> command) {
  command[0] = program(command[0]);
  return std::make_unique<Child>(
      command,
      std::map<std::string, std::string>{
          {"PGHOST", directory_.path()}, {"PGPORT", std::to_string(port_)}, {"PGUSER", "postgres"}},
      directory_.path());
}

std::vector<std::string> PostgresServer::lines(const std::vector<std::string>& commands) {
  std::vector<std::string> arguments{"psql", "-XAtq", "-v", "ON_ERROR_STOP=1"};
  for (const auto& command : commands) {
    arguments.emplace_back("-c");
    arguments.push_back(command);
  }
  arguments.emplace_back("postgres");
  const auto done = tool(arguments);
  if (done.exit_code != 0) throw std::runtime_error(done.text() + log());
  std::istringstream all(done.out);
  std::vector<std::string> result;
  for (std::string line; std::getline(all, line);) result.push_back(line);
  return result;
}

std::string PostgresServer::sql(const std::string& query, const std::string& database) {
  const auto result = tool({"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query, database});
  if (result.exit_code != 0) throw std::runtime_error(query + ": " + result.text() + log());
  return trimmed(result.out);
}

// Where the server's user may run them, whoever owns the build. Copied once: with what debuggers
// need they have 200 MB.
std::string MainJob::binary(const std::string& name) {
  static const TestDirectory programs;
  static const bool are_copied = [] {
    for (const auto* each : {"walvault", "walvault-archive", "walvault-fetch"}) {
      // Boost's does not copy to another file system.
      std::filesystem::copy_file(std::string(WALVAULT_BIN_DIR) + "/" + each, programs.path(each));
    }
    return true;
  }();
  (void)are_copied;
  return programs.path(name);
}

MainJob::MainJob(int major, const std::string& settings,
                 const std::vector<std::string>& initdb_options, MainJobPlace place)
    : major_(major), repository_(directory_.path("repo")), cluster_(std::move(place.cluster)) {
  const char* const on_object_store = ::getenv("WALVAULT_TEST_ON_OBJECT_STORE");
  if (place.bucket) {
    use_bucket(*place.bucket);
  } else if (on_object_store != nullptr && std::string(on_object_store) == "1") {
    use_bucket(new_bucket("main-job"));
  } else {
    storage_ = std::make_unique<PosixStorage>(repository_, RandomId{});
  }
  if (place.copy_of.empty()) {
    server_ = std::make_unique<PostgresServer>(directory_, major, "pg", initdb_options);
  } else {
    const auto copied =
        run({"cp", "-a", place.copy_of, directory_.path("pg")}, {}, directory_.path());
    if (copied.exit_code != 0) throw std::runtime_error("cp: " + copied.text());
    server_ = server_in("pg");
    server_->configure("unix_socket_directories = '" + directory_.path() + "'\n");
  }
  server_->configure(archiving_settings() + settings);
  if (!server_->start()) throw std::runtime_error("the server does not start: " + server_->log());
  std::vector<std::vector<std::string>> commands{
      {"cluster", "add", cluster_, "--pg", server_->conninfo()}};
  if (!place.repository_exists) commands.insert(commands.begin(), {"init"});
  for (const auto& arguments : commands) {
    const auto done = walvault(arguments);
    if (done.exit_code != 0) throw std::runtime_error(arguments[0] + ": " + done.text());
  }
}

std::string MainJob::archiving_settings() const {
  return "archive_mode = on\narchive_command = '" + binary("walvault-archive") +
         (config_.empty() ? "" : " --config " + config_) + " --repo " + repository() +
         " --cluster " + cluster_ + " %p'\n";
}

void MainJob::use_bucket(const S3Settings& bucket) {
  storage_ = std::make_unique<S3Storage>(bucket, test_credentials, system_clock());
  repository_ = "s3://" + bucket.bucket + "/" + bucket.prefix;
  config_ = directory_.path("walvault.toml");
  const auto cache = directory_.path("cache");
  write_text(config_, "[cache]\npath = \"" + cache + "\"\n[repository]\nendpoint = \"" +
                          bucket.endpoint + "\"\nallow_http = true\naccess_key_id = \"" +
                          ObjectStore::access_key + "\"\nsecret_access_key = \"" +
                          ObjectStore::secret_key + "\"\n");
  give_to_server_user(config_);
  ::chmod(config_.c_str(), 0600);
}

MainJob::~MainJob() {
  try {
    expect_known_objects();
  } catch (const Error& error) {
    // Some tests take it away.
    if (error.kind() != ErrorKind::unavailable) ADD_FAILURE() << one_line(error);
  }
}

// Tests damage objects on purpose: of one that has lost its envelope the kind is not looked at.
void MainJob::expect_known_objects() const {
  const bool is_directory = dynamic_cast<PosixStorage*>(storage_.get()) != nullptr;
  storage_->list("", [&](const ObjectInfo& object) {
    const auto place = place_of(object.key);
    EXPECT_TRUE(place) << object.key << " is in no place of the table of objects";
    // In a bucket each look is a request.
    if (!place || !is_directory) return;
    const auto head = storage_->find(object.key, {.offset = 0, .length = envelope_bytes});
    if (!head || head->size() < envelope_bytes || as_text(*head).substr(0, 8) != "WALVAULT") return;
    const bool is_given_up =
        *place == ObjectPlace::backups && is_of_kind(*head, ObjectKind::tombstone);
    EXPECT_TRUE(is_given_up || is_of_kind(*head, info_of(*place).kind))
        << object.key << " is of another kind than the table of objects says";
  });
}

void MainJob::remove_object(const std::string& key) {
  if (!storage_->find_size(key)) throw std::runtime_error("there is no object " + key);
  storage_->remove({key});
}

void MainJob::expect_others_untouched(const std::vector<std::string>& into_cluster,
                                      const std::vector<std::string>& into_files) {
  const auto expect_refused = [&](const std::string& into, const std::vector<std::string>& with) {
    std::vector<std::string> command{"restore", "--pgdata", into};
    command.insert(command.end(), with.begin(), with.end());
    const auto refused = walvault(command);
    EXPECT_EQ(refused.exit_code, 4) << refused.text();
    return refused.err;
  };
  PostgresServer other(directory_, major_, "other");
  EXPECT_NE(expect_refused(other.data(), into_cluster).find("another database cluster"),
            std::string::npos);
  (void)expect_refused(other.data(), into_files);
  EXPECT_TRUE(other.start()) << "it was touched";
  other.stop();

  const auto photos = directory_.path("photos");
  boost::filesystem::create_directory(photos);
  write_text(photos + "/holiday.jpg", "x");
  give_to_server_user(photos);
  (void)expect_refused(photos, into_files);
  EXPECT_EQ(::access((photos + "/holiday.jpg").c_str(), F_OK), 0);
}

std::map<std::string, std::string> MainJob::environment() const {
  std::map<std::string, std::string> variables{{"WALVAULT_REPO", repository()},
                                               {"WALVAULT_CLUSTER", cluster_}};
  if (!config_.empty()) variables["WALVAULT_CONFIG"] = config_;
  return variables;
}

std::unique_ptr<Child> MainJob::start(std::vector<std::string> command) {
  command.front() = binary(command.front());
  return std::make_unique<Child>(command, environment(), directory_.path());
}

std::unique_ptr<Child> MainJob::start_walvault(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{"walvault"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return start(std::move(command));
}

Outcome MainJob::walvault(const std::vector<std::string>& arguments) {
  return start_walvault(arguments)->wait();
}

nlohmann::json MainJob::walvault_json(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const auto done = walvault(arguments);
  if (done.exit_code != 0)
    throw std::runtime_error("walvault " + arguments[0] + ": " + done.text());
  return nlohmann::json::parse(done.out);
}

nlohmann::json MainJob::backup(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"backup", "--pg", server_->conninfo()});
  return walvault_json(arguments).at("backup");
}

void MainJob::archive_everything() {
  // So that there is something to switch behind, on an idle server too.
  const auto segment =
      server_->sql("SELECT pg_walfile_name(pg_create_restore_point('archive everything'))");
  (void)server_->sql("SELECT pg_switch_wal()");
  for (int i = 0; i < 300; ++i) {
    if (server_->sql("SELECT coalesce(last_archived_wal, '') >= '" + segment +
                     "' FROM pg_stat_archiver") == "t") {
      return;
    }
    std::this_thread::sleep_for(100ms);
  }
  throw std::runtime_error("WAL is not archived: " + server_->log());
}

std::unique_ptr<PostgresServer> MainJob::server_in(const std::string& name) {
  return std::make_unique<PostgresServer>(directory_, major_, name, directory_.path(name));
}

std::unique_ptr<PostgresServer> MainJob::restore(const std::string& name,
                                                 std::vector<std::string> arguments) {
  const auto data = directory_.path(name);
  arguments.insert(arguments.begin(), {"restore", "--pgdata", data});
  const auto done = walvault(arguments);
  if (done.exit_code != 0) throw std::runtime_error("restore: " + done.text());
  auto restored = server_in(name);
  if (!restored->start()) throw std::runtime_error("it does not start: " + restored->log());
  return restored;
}

}  // namespace walvault
