#include "base/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

using SteadyClock = std::chrono::steady_clock;

// The process group that was started; whoever is left of it is killed.
class Group {
 public:
  explicit Group(pid_t leader) : leader_(leader) {}
  ~Group() {
    if (leader_ > 0) {
      ::kill(-leader_, SIGKILL);
      ::waitpid(leader_, nullptr, 0);
    }
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Once its output has ended; nullopt when it does not end.
  std::optional<int> wait_until(SteadyClock::time_point deadline) {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(leader_, &status, WNOHANG)) == 0) {
      if (SteadyClock::now() >= deadline) return std::nullopt;
      ::usleep(5000);
    }
    if (ended < 0) throw system_error("wait for a command", errno);
    leader_ = -1;
    return status;
  }

 private:
  pid_t leader_;
};

pid_t start(const std::string& command, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  // Connections of this process among them, which libraries made.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  // As a shell has it, though this program may ignore it.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &pipe);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  std::array<std::string, 3> words = {"sh", "-c", command};
  std::array<char*, 4> arguments = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t pid = -1;
  const int failure =
      ::posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw system_error("start \"" + command + "\"", failure);
  return pid;
}

}  // namespace

std::string run_command(const std::string& command, std::chrono::seconds timeout,
                        std::size_t bytes_max) {
  const auto deadline = SteadyClock::now() + timeout;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("make a pipe", errno);
  const FileDescriptor output(ends[0]);
  FileDescriptor input(ends[1]);
  Group group(start(command, input.get()));
  input = FileDescriptor();

  const auto failed = [&](const std::string& how) {
    return Error(ErrorKind::unavailable, "the command \"" + command + "\" failed", how,
                 "Run it by hand as the same user.");
  };
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
    pollfd readable{.fd = output.get(), .events = POLLIN, .revents = 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      throw failed("It has not ended after " + std::to_string(timeout.count()) + " s.");
    }
    const auto got = ::read(output.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error("read what \"" + command + "\" prints", errno);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      throw failed("It printed more than " + std::to_string(bytes_max) + " bytes.");
    }
  }
  const auto status = group.wait_until(deadline);
  if (!status) throw failed("It has not ended after " + std::to_string(timeout.count()) + " s.");
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
    throw failed(WIFEXITED(*status)
                     ? "Its exit status is " + std::to_string(WEXITSTATUS(*status)) + "."
                     : "A signal ended it.");
  }
  return text;
}

}  // namespace walvault
