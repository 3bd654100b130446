#include "support/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <stdexcept>
#include <utility>

namespace walvault {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int to, const char* bytes, std::size_t size) {
  while (size > 0) {
    const auto sent = ::send(to, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

int TcpProxy::listen_on_loopback() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = loopback(0);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 64) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  return listener;
}

TcpProxy::TcpProxy(int server_port, int listener) : server_port_(server_port), listener_(listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("the proxy's socket is none");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { run(); });
}

struct TcpProxy::Connection {
  int client = -1;
  int server = -1;
  int directions = 2;  // that are open
  ~Connection() {
    ::close(client);
    ::close(server);
  }
};

TcpProxy::~TcpProxy() {
  let_go();
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  go_down();
  std::unique_lock lock(mutex_);
  closed_.wait(lock, [this] { return open_.empty(); });
  ::close(listener_);
}

void TcpProxy::go_down() {
  const std::scoped_lock lock(mutex_);
  down_ = true;
  for (const auto& connection : open_) {
    ::shutdown(connection->client, SHUT_RDWR);
    ::shutdown(connection->server, SHUT_RDWR);
  }
}

void TcpProxy::run() {
  while (true) {
    const auto connection = std::make_shared<Connection>();
    connection->client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection->client < 0) return;
    connection->server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = loopback(server_port_);
    if (::connect(connection->server, reinterpret_cast<const sockaddr*>(&address),
                  sizeof address) != 0) {
      continue;
    }
    const int on = 1;
    for (const int socket : {connection->client, connection->server}) {
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    const std::scoped_lock lock(mutex_);
    if (down_) continue;
    open_.insert(connection);
    for (const bool from_server : {false, true}) {
      std::thread([this, connection, from_server] { relay(connection, from_server); }).detach();
    }
  }
}

void TcpProxy::relay(const std::shared_ptr<Connection>& connection, bool from_server) {
  const auto [from, to] = from_server ? std::pair(connection->server, connection->client)
                                      : std::pair(connection->client, connection->server);
  if (from_server) {
    forward_answers(from, to);
  } else {
    forward_requests(from, to);
  }
  ::shutdown(from, SHUT_RDWR);
  ::shutdown(to, SHUT_RDWR);
  // The last of all that is touched here: the proxy may go as soon as this is said.
  const std::scoped_lock lock(mutex_);
  if (--connection->directions == 0) open_.erase(connection);
  closed_.notify_all();
}

// A client waits for each answer, so a request begins with what it sends then.
void TcpProxy::note_request(std::string_view sent) {
  const auto line = sent.substr(0, sent.find("\r\n"));
  const auto version = line.rfind(" HTTP/1.1");
  if (version == std::string_view::npos) return;
  {
    const std::scoped_lock lock(mutex_);
    requests_.emplace_back(line.substr(0, version));
  }
  if (requests_left_ > 0 && --requests_left_ == 0) go_down();
  wait_if_held(line);
}

void TcpProxy::hold(const std::string& request) {
  const std::scoped_lock lock(mutex_);
  to_hold_ = request;
}

void TcpProxy::let_go() {
  const std::scoped_lock lock(mutex_);
  to_hold_.clear();
  let_go_.notify_all();
}

void TcpProxy::wait_if_held(std::string_view line) {
  std::unique_lock lock(mutex_);
  if (to_hold_.empty() || line.find(to_hold_) == std::string_view::npos) return;
  holding_ = true;
  let_go_.wait(lock, [this] { return to_hold_.empty(); });
  holding_ = false;
}

std::vector<std::string> TcpProxy::take_requests() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(requests_, {});
}

void TcpProxy::forward_requests(int from, int to) {
  std::vector<char> buffer(1u << 20);
  std::size_t passed = 0;
  while (true) {
    const auto got = ::recv(from, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    const auto size = static_cast<std::size_t>(got);
    bytes_from_client_ += size;
    note_request({buffer.data(), size});
    passed += size;
    if (!send_all(to, buffer.data(), size)) return;
    if (cuts_left_ > 0 && passed >= cut_after_ && cuts_left_.fetch_sub(1) > 0) return;
  }
}

// Each piece arrives its time after it was sent, whatever is on the way meanwhile: a distance,
// which does not make the way narrow.
void TcpProxy::forward_answers(int from, int to) {
  using SteadyClock = std::chrono::steady_clock;
  struct Piece {
    SteadyClock::time_point due;
    std::vector<char> bytes;
  };
  constexpr std::size_t under_way_max = 64u << 20;
  std::vector<char> buffer(1u << 20);
  std::deque<Piece> under_way;
  std::size_t bytes_under_way = 0;
  std::size_t passed = 0;
  bool ended = false;
  while (!ended || !under_way.empty()) {
    const auto now = SteadyClock::now();
    if (!under_way.empty() && under_way.front().due <= now) {
      const auto& bytes = under_way.front().bytes;
      if (!send_all(to, bytes.data(), bytes.size())) return;
      bytes_under_way -= bytes.size();
      under_way.pop_front();
      continue;
    }
    timespec until_due{};
    if (!under_way.empty()) {
      const auto wait = std::chrono::nanoseconds(under_way.front().due - now);
      until_due.tv_sec = static_cast<time_t>(wait.count() / std::nano::den);
      until_due.tv_nsec = static_cast<long>(wait.count() % std::nano::den);
    }
    const bool is_full = ended || bytes_under_way >= under_way_max;
    pollfd readable{.fd = is_full ? -1 : from, .events = POLLIN, .revents = 0};
    if (::ppoll(&readable, 1, under_way.empty() ? nullptr : &until_due, nullptr) <= 0) continue;
    const auto got = ::recv(from, buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      ended = true;
      continue;
    }
    const auto size = static_cast<std::size_t>(got);
    if (const auto every = corrupt_every_.load(); every > 0) {
      const auto next = (passed / every + 1) * every;
      if (next < passed + size) buffer[next - passed] ^= 1;
    }
    passed += size;
    bytes_under_way += size;
    under_way.push_back({SteadyClock::now() + delay_.load(),
                         {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)}});
  }
}

}  // namespace walvault
