// A host of its own on this machine, as far as a network goes: what runs there has its own
// loopback, its own name, and one way out, a TcpProxy to the object store.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>

#include "support/tcp_proxy.h"

namespace walvault {

class TestHost {
 public:
  // Whether this user may make one here.
  [[nodiscard]] static bool can_be_made();

  TestHost(const std::string& name, int store_port);
  ~TestHost();
  TestHost(const TestHost&) = delete;
  TestHost& operator=(const TestHost&) = delete;

  // In a thread of its own; programs that it starts run on this host.
  [[nodiscard]] std::future<void> run(std::function<void()> work) const;

  // Seen from the host, the store is at network().endpoint().
  [[nodiscard]] TcpProxy& network() { return *network_; }

 private:
  int network_namespace_ = -1;
  int name_namespace_ = -1;
  std::unique_ptr<TcpProxy> network_;
};

}  // namespace walvault
