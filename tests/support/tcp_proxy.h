// A network between a client and a server on loopback: slow, broken, or lying.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace walvault {

class TcpProxy {
 public:
  explicit TcpProxy(int server_port) : TcpProxy(server_port, listen_on_loopback()) {}
  // Takes the socket, one that listens on the loopback of whatever network it was made in.
  TcpProxy(int server_port, int listener);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  // In the network of the calling thread.
  [[nodiscard]] static int listen_on_loopback();

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // What the server sends arrives so much later.
  void delay(std::chrono::milliseconds delay) { delay_ = delay; }
  // Ends every connection, and each new one at once, until it is up again.
  void go_down();
  void come_up() {
    requests_left_ = 0;
    down_ = false;
  }
  // Goes down as soon as so many more requests have begun.
  void go_down_after(int requests) { requests_left_ = requests; }
  [[nodiscard]] bool is_down() const { return down_; }
  // The first request whose line has this in it waits, and whoever sent it, until it is let go.
  void hold(const std::string& request);
  [[nodiscard]] bool holds() const { return holding_; }
  void let_go();
  // Every so many bytes from the server one bit is turned; 0: none.
  void corrupt_every(std::size_t bytes) { corrupt_every_ = bytes; }
  // So many connections end, each after so many bytes from the client.
  void cut(int connections, std::size_t after_bytes) {
    cut_after_ = after_bytes;
    cuts_left_ = connections;
  }
  [[nodiscard]] int cuts_left() const { return cuts_left_; }

  [[nodiscard]] std::size_t bytes_from_client() const { return bytes_from_client_; }

  // The requests since the last call, "GET /bucket/key?query" each.
  [[nodiscard]] std::vector<std::string> take_requests();

 private:
  void run();
  void note_request(std::string_view sent);
  void wait_if_held(std::string_view line);
  struct Connection;
  void relay(const std::shared_ptr<Connection>& connection, bool from_server);
  void forward_requests(int from, int to);
  void forward_answers(int from, int to);

  int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<std::chrono::milliseconds> delay_{std::chrono::milliseconds(0)};
  std::atomic<bool> down_{false};
  std::atomic<int> requests_left_{0};
  std::atomic<bool> holding_{false};
  std::condition_variable let_go_;
  std::string to_hold_;
  std::atomic<std::size_t> corrupt_every_{0};
  std::atomic<std::size_t> cut_after_{0};
  std::atomic<int> cuts_left_{0};
  std::atomic<std::size_t> bytes_from_client_{0};
  std::mutex mutex_;
  std::set<std::shared_ptr<Connection>> open_;
  std::condition_variable closed_;
  std::vector<std::string> requests_;
  std::thread acceptor_;
};

}  // namespace walvault
