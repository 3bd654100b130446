#include "support/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/filesystem.hpp>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace walvault {
namespace {

namespace fs = boost::filesystem;

const passwd* server_user() {
  static const passwd* const user = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
  return user;
}

}  // namespace

std::string Outcome::text() const {
  return "exit code " + std::to_string(exit_code) + ", signal " + std::to_string(signal) +
         "\nstdout: " + out + "\nstderr: " + err;
}

void give_to_server_user(const std::string& path) {
  const auto* user = server_user();
  if (user != nullptr && ::chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
    throw std::runtime_error("cannot chown " + path);
  }
}

TestDirectory::TestDirectory() {
  const char* const above = ::getenv("WALVAULT_TEST_DIR");
  std::string name = std::string(above != nullptr ? above : "/tmp") + "/walvault-test-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  path_ = name;
  ::chmod(path_.c_str(), 0755);
  give_to_server_user(path_);
}

TestDirectory::~TestDirectory() {
  boost::system::error_code ignored;
  if (::getenv("WALVAULT_TEST_KEEP") == nullptr) fs::remove_all(path_, ignored);
}

Child::Child(const std::vector<std::string>& command,
             const std::map<std::string, std::string>& environment, std::string directory)
    : directory_(std::move(directory)) {
  static std::atomic<int> count{0};
  output_prefix_ = directory_ + "/.output-" + std::to_string(++count);
  const auto out_path = output_prefix_ + ".out";
  const auto err_path = output_prefix_ + ".err";
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const auto* user = server_user();

  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) {
    ::setpgid(0, 0);
    const int in = ::open("/dev/null", O_RDONLY);
    const int out = ::open(out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    const int err = ::open(err_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(err, 2);
    if (user != nullptr && (::initgroups(user->pw_name, user->pw_gid) != 0 ||
                            ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) {
      ::_exit(126);
    }
    if (::chdir(directory_.c_str()) != 0) ::_exit(126);
    ::setenv("LC_ALL", "C", 1);
    // What a test's programs remember of this machine ends with the test.
    ::setenv("XDG_STATE_HOME", (directory_ + "/state").c_str(), 1);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
}

Child::~Child() {
  if (!reaped_) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
}

void Child::send(int signal) const { ::kill(pid_, signal); }

bool Child::is_running() {
  if (reaped_) return false;
  reaped_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !reaped_;
}

Outcome Child::wait(std::chrono::seconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto pause = std::chrono::milliseconds(1);
  while (is_running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
  Outcome outcome;
  if (!reaped_) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
    reaped_ = true;
    outcome.err = "[ended: it ran for longer than the test allows]\n";
  }
  if (WIFEXITED(status_)) outcome.exit_code = WEXITSTATUS(status_);
  if (WIFSIGNALED(status_)) outcome.signal = WTERMSIG(status_);
  outcome.out = read_text(output_prefix_ + ".out");
  outcome.err += read_text(output_prefix_ + ".err");
  return outcome;
}

Outcome run(const std::vector<std::string>& command,
            const std::map<std::string, std::string>& environment, const std::string& directory) {
  return Child(command, environment, directory).wait();
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
  file.close();
  give_to_server_user(path);
}

}  // namespace walvault
