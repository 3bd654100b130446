#include "support/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace walvault {
namespace {

// Appends what comes; false at the end.
bool receive(int connection, std::string& buffer) {
  char bytes[65536];
  const auto got = ::recv(connection, bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  buffer.append(bytes, static_cast<std::size_t>(got));
  return true;
}

bool send_all(int connection, std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

HttpCall parse_head(const std::string& head) {
  HttpCall call;
  std::size_t at = 0;
  for (bool first = true; at < head.size(); first = false) {
    const auto end = std::min(head.find("\r\n", at), head.size());
    const auto line = head.substr(at, end - at);
    at = end + 2;
    if (first) {
      const auto blank = line.find(' ');
      call.method = line.substr(0, blank);
      call.target = line.substr(blank + 1, line.rfind(' ') - blank - 1);
    } else if (const auto colon = line.find(':'); colon != std::string::npos) {
      auto name = line.substr(0, colon);
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      call.headers[name] = line.substr(std::min(colon + 2, line.size()));
    }
  }
  return call;
}

}  // namespace

HttpServer::HttpServer(Handler handler)
    : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 32) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("the HTTP server cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { run(); });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::scoped_lock lock(mutex_);
    for (const int connection : open_) ::shutdown(connection, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
  for (const int connection : open_) ::close(connection);
  ::close(listener_);
}

void HttpServer::run() {
  while (true) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    ++connections_;
    const std::scoped_lock lock(mutex_);
    open_.push_back(connection);
    threads_.emplace_back([this, connection] { serve(connection); });
  }
}

void HttpServer::serve(int connection) {
  std::string buffer;
  while (true) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
      if (!receive(connection, buffer)) return;
    }
    auto call = parse_head(buffer.substr(0, end));
    buffer.erase(0, end + 4);
    const auto announced = call.headers.find("content-length");
    const std::size_t length = announced == call.headers.end() ? 0 : std::stoul(announced->second);
    while (buffer.size() < length) {
      if (!receive(connection, buffer)) return;
    }
    call.body = buffer.substr(0, length);
    buffer.erase(0, length);

    const auto reply = handler_(call);
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " -\r\n";
    for (const auto& [name, value] : reply.headers) text += name + ": " + value + "\r\n";
    text += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n\r\n";
    const bool cut = reply.cut_after >= 0;
    text += cut ? reply.body.substr(0, static_cast<std::size_t>(reply.cut_after)) : reply.body;
    if (!send_all(connection, text) || cut) {
      ::shutdown(connection, SHUT_RDWR);
      return;
    }
  }
}

}  // namespace walvault
