// A process that works in a directory, as a server works in its data directory.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace walvault {

class ProcessIn {
 public:
  // `name`: what it is called; empty: as this one.
  explicit ProcessIn(const std::string& directory, const std::string& name = {}) {
    int ready[2];
    if (::pipe(ready) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (!name.empty()) (void)::prctl(PR_SET_NAME, name.c_str());
      const char done = ::chdir(directory.c_str()) == 0 ? '1' : '0';
      (void)!::write(ready[1], &done, 1);
      while (true) ::pause();
    }
    char done = '0';
    (void)!::read(ready[0], &done, 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~ProcessIn() {
    end();
    (void)::waitpid(pid_, nullptr, 0);
  }
  ProcessIn(const ProcessIn&) = delete;
  ProcessIn& operator=(const ProcessIn&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // It is a zombie from then on.
  void end() const {
    ::kill(pid_, SIGKILL);
    siginfo_t ended;
    (void)::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_ = -1;
};

}  // namespace walvault
