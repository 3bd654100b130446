#include "support/object_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

namespace walvault {
namespace {

constexpr int ports = 5;  // http, https, the monitor's; Swift: http, and four of its own

bool is_free(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int result = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::close(socket);
  return result == 0;
}

// Below those that the kernel gives to clients.
int free_ports() {
  std::random_device random;
  for (int tries = 0; tries < 100; ++tries) {
    const int port = 10'000 + static_cast<int>(random() % 20'000);
    bool free = true;
    for (int i = 0; i < ports; ++i) free = free && is_free(port + i);
    if (free) return port;
  }
  throw std::runtime_error("no free ports");
}

}  // namespace

ObjectStore& ObjectStore::shared() {
  static const std::unique_ptr<ObjectStore> store = [] {
    const char* const port = ::getenv("WALVAULT_TEST_OBJECT_STORE");
    return port == nullptr ? std::make_unique<ObjectStore>("memstore")
                           : std::unique_ptr<ObjectStore>(new ObjectStore(std::stoi(port)));
  }();
  return *store;
}

ObjectStore::ObjectStore(int port) : port_(port) {
  const char* const directory = ::getenv("WALVAULT_TEST_OBJECT_STORE_DIRECTORY");
  if (directory != nullptr) directory_ = directory;
}

ObjectStore::ObjectStore(const std::string& kind) : port_(free_ports()) {
  std::string name = "/tmp/walvault-store-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  directory_ = name;
  ::chmod(directory_.c_str(), 0755);
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) {
    throw std::runtime_error("cannot make pipes");
  }
  const auto port = std::to_string(port_);
  const std::string script = kind == "swift" ? WALVAULT_SOURCE_DIR "/tests/support/swift_store.sh"
                                             : WALVAULT_SOURCE_DIR "/tests/support/object_store.sh";
  pid_ = ::fork();
  if (pid_ == 0) {
    // What ends the tests (Ctrl-C) leaves the script to its cleaning up.
    ::setpgid(0, 0);
    ::dup2(to[0], 0);
    ::dup2(from[1], 1);
    ::execlp("bash", "bash", script.c_str(), directory_.c_str(), port.c_str(), kind.c_str(),
             nullptr);
    ::_exit(127);
  }
  ::close(to[0]);
  ::close(from[1]);
  input_ = to[1];
  output_ = from[0];
  await_ready();
}

ObjectStore::~ObjectStore() {
  if (pid_ < 0) return;
  ::close(input_);
  ::waitpid(pid_, nullptr, 0);
  ::close(output_);
  boost::system::error_code ignored;
  boost::filesystem::remove_all(directory_, ignored);
}

void ObjectStore::await_ready() {
  std::string line;
  char byte = 0;
  while (::read(output_, &byte, 1) == 1) {
    if (byte != '\n') {
      line += byte;
    } else if (line == "ready") {
      return;
    } else {
      line.clear();
    }
  }
  throw std::runtime_error("the object store does not start; scripts/install-deps.sh --long");
}

std::string ObjectStore::endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

std::string ObjectStore::tls_endpoint() const {
  return "https://localhost:" + std::to_string(port_ + 1);
}

void ObjectStore::kill_daemon(const std::string& name) const {
  std::ifstream file(directory_ + "/run/" + name + ".pid");
  pid_t pid = 0;
  if (!(file >> pid) || ::kill(pid, SIGKILL) != 0) {
    throw std::runtime_error("there is no " + name + " to kill");
  }
  // Or a zombie, where nobody reaps it; until then it may still be taken for running, and
  // holds its locks.
  for (int i = 0; i < 500; ++i) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(stat, line) || line.find(") Z ") != std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

void ObjectStore::restart() {
  if (::write(input_, "restart\n", 8) != 8) throw std::runtime_error("the store's script is gone");
  await_ready();
}

}  // namespace walvault
