// Stands between a client and a server's Unix socket, and after so many bytes
// from the server cuts every connection, or lets nothing through any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace walvault {

class Proxy {
 public:
  enum class Then { cut, stall };

  // `server_socket`: the path of the socket. The proxy's own lies in
  // `directory`.
  Proxy(std::string server_socket, std::string directory, std::uint64_t bytes, Then then);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  [[nodiscard]] std::string conninfo() const;

 private:
  struct Pair {
    int client = -1;
    int server = -1;
  };
  void run();
  void accept_one();
  // False when the pair is finished with.
  [[nodiscard]] bool relay(int from, int to, bool from_server);

  std::string server_socket_;
  std::string directory_;
  std::uint64_t bytes_left_;
  Then then_;
  int listener_ = -1;
  std::vector<Pair> pairs_;
  std::atomic<bool> wanted_{true};
  std::thread thread_;
};

}  // namespace walvault
