// Runs programs as a user would, as the server's user when the tests run as
// root (a PostgreSQL server refuses to run as root).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace walvault {

struct Outcome {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string out;
  std::string err;

  // For the message of a failed expectation.
  [[nodiscard]] std::string text() const;
};

// A directory below /tmp that the server's user owns; gone at the end.
class TestDirectory {
 public:
  TestDirectory();
  ~TestDirectory();
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(const std::string& relative) const {
    return path_ + "/" + relative;
  }

 private:
  std::string path_;
};

// A started program. Ended by force when it goes out of scope.
class Child {
 public:
  Child(const std::vector<std::string>& command,
        const std::map<std::string, std::string>& environment, std::string directory);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void send(int signal) const;
  [[nodiscard]] bool is_running();
  [[nodiscard]] Outcome wait(std::chrono::seconds timeout = std::chrono::seconds(240));

 private:
  std::string directory_;
  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  std::string output_prefix_;
};

// Starts and waits. `directory` is a scratch directory for its output.
[[nodiscard]] Outcome run(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment,
                          const std::string& directory);

[[nodiscard]] std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

// Gives a path to the server's user, when the tests run as root.
void give_to_server_user(const std::string& path);

}  // namespace walvault
