#include "support/proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace walvault {
namespace {

constexpr int port = 7432;
constexpr int poll_ms = 50;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

Proxy::Proxy(std::string server_socket, std::string directory, std::uint64_t bytes, Then then)
    : server_socket_(std::move(server_socket)),
      directory_(std::move(directory)),
      bytes_left_(bytes),
      then_(then),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const auto path = directory_ + "/.s.PGSQL." + std::to_string(port);
  ::unlink(path.c_str());
  const auto address = address_of(path);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, 8) != 0 || ::chmod(path.c_str(), 0777) != 0) {
    throw std::runtime_error("the proxy cannot listen at " + path);
  }
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  wanted_ = false;
  thread_.join();
  ::close(listener_);
  for (const auto& pair : pairs_) {
    ::close(pair.client);
    ::close(pair.server);
  }
}

std::string Proxy::conninfo() const {
  return "host=" + directory_ + " port=" + std::to_string(port) + " user=postgres";
}

void Proxy::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(server_socket_);
  if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(client);
    ::close(server);
    return;
  }
  pairs_.push_back({.client = client, .server = server});
}

bool Proxy::relay(int from, int to, bool from_server) {
  std::array<char, 65536> buffer{};
  auto wanted = buffer.size();
  if (from_server) {
    if (bytes_left_ == 0) return then_ == Then::stall;
    wanted = std::min<std::uint64_t>(wanted, bytes_left_);
  }
  const auto got = ::recv(from, buffer.data(), wanted, 0);
  if (got <= 0) return false;
  if (from_server) bytes_left_ -= static_cast<std::uint64_t>(got);
  return ::send(to, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
}

void Proxy::run() {
  while (wanted_) {
    std::vector<pollfd> entries{{.fd = listener_, .events = POLLIN, .revents = 0}};
    // A stalled proxy reads nothing of the server any more.
    const short server_events = bytes_left_ == 0 && then_ == Then::stall ? 0 : POLLIN;
    for (const auto& pair : pairs_) {
      entries.push_back({.fd = pair.client, .events = POLLIN, .revents = 0});
      entries.push_back({.fd = pair.server, .events = server_events, .revents = 0});
    }
    if (::poll(entries.data(), entries.size(), poll_ms) <= 0) continue;
    std::vector<Pair> kept;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const auto& pair = pairs_[i];
      bool keep = true;
      if (entries[1 + 2 * i].revents != 0) keep = relay(pair.client, pair.server, false);
      if (keep && (entries[2 + 2 * i].revents & server_events) != 0) {
        keep = relay(pair.server, pair.client, true);
      }
      if (bytes_left_ == 0 && then_ == Then::cut) keep = false;
      if (keep) {
        kept.push_back(pair);
      } else {
        ::close(pair.client);
        ::close(pair.server);
      }
    }
    if (entries[0].revents != 0) {
      pairs_ = std::move(kept);
      accept_one();
    } else {
      pairs_ = std::move(kept);
    }
  }
}

}  // namespace walvault
