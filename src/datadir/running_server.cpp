#include "datadir/running_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"

namespace walvault {
namespace {

namespace fs = boost::filesystem;

constexpr std::uint64_t pid_file_bytes_max = 65536;

std::string directory_of(pid_t pid) { return "/proc/" + std::to_string(pid); }

// As the kernel cuts it, at 15 characters; empty: there is no such process.
std::string name_of(pid_t pid) try {
  auto name = std::string(as_text(read_file(directory_of(pid) + "/comm", 256)));
  while (name.ends_with('\n')) name.pop_back();
  return name;
} catch (const Error&) {
  return {};
}

bool is_of_postgresql(const std::string& name) {
  return name == "postgres" || name == "postmaster" || name == "edb-postgres";
}

enum class WorksThere { yes, no, cannot_be_seen };

WorksThere works_in(pid_t pid, const struct stat& directory) {
  struct stat status {};
  if (::stat((directory_of(pid) + "/cwd").c_str(), &status) == 0) {
    return status.st_dev == directory.st_dev && status.st_ino == directory.st_ino ? WorksThere::yes
                                                                                  : WorksThere::no;
  }
  // One that ended, a zombie too, works nowhere.
  return errno == EACCES || errno == EPERM ? WorksThere::cannot_be_seen : WorksThere::no;
}

// The process that postmaster.pid names; 0: none. That of a single-user server is negative.
pid_t pid_in_file(const std::string& data_directory) {
  const auto path = data_directory + "/postmaster.pid";
  const auto file = find_file(path, O_RDONLY | O_NONBLOCK);
  if (!file) return 0;
  Bytes content(pid_file_bytes_max);
  content.resize(read_at(*file, content, 0, path));
  const auto text = as_text(content);
  int pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return std::abs(pid);
}

bool is_server_by_its_file(pid_t pid, const struct stat& directory) {
  if (pid <= 0 || pid == ::getpid() || pid == ::getppid()) return false;
  const bool is_there = ::kill(pid, 0) == 0 || errno == EPERM;
  if (!is_there) return false;
  struct stat process {};
  if (::stat(directory_of(pid).c_str(), &process) != 0) {
    // Not to be seen here, or there is no /proc: whom we may signal is of our user.
    return ::access("/proc/self", F_OK) != 0 && ::kill(pid, 0) == 0;
  }
  switch (works_in(pid, directory)) {
    case WorksThere::yes:
      return process.st_uid == directory.st_uid || is_of_postgresql(name_of(pid));
    case WorksThere::no: return false;
    case WorksThere::cannot_be_seen:
      return process.st_uid == directory.st_uid && is_of_postgresql(name_of(pid));
  }
  return false;
}

// Any process of a server that works there, whatever became of its postmaster.pid.
pid_t find_working_in(const struct stat& directory) {
  boost::system::error_code failure;
  for (fs::directory_iterator it("/proc", failure); !failure && it != fs::directory_iterator();
       it.increment(failure)) {
    const auto name = it->path().filename().string();
    pid_t pid = 0;
    const auto* const end = name.data() + name.size();
    if (std::from_chars(name.data(), end, pid).ptr != end || pid <= 0) continue;
    if (works_in(pid, directory) == WorksThere::yes && is_of_postgresql(name_of(pid))) return pid;
  }
  return 0;
}

}  // namespace

std::optional<std::string> find_server(const std::string& data_directory) {
  const auto directory = find_status(data_directory);
  if (!directory) return std::nullopt;
  auto pid = pid_in_file(data_directory);
  if (!is_server_by_its_file(pid, *directory)) pid = find_working_in(*directory);
  if (pid == 0) return std::nullopt;
  const auto name = name_of(pid);
  return "process " + std::to_string(pid) + (name.empty() ? "" : " (" + name + ")");
}

void expect_stopped(const std::string& data_directory) {
  const auto server = find_server(data_directory);
  if (!server) return;
  throw Error(ErrorKind::conflict, "a server is running in \"" + data_directory + "\"",
              "It is " + *server + ".", "Stop that server first, or name another directory.");
}

}  // namespace walvault
