// How a server is connected to.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace walvault {

struct ConnectOptions {
  std::string conninfo;  // as libpq takes it
  std::chrono::seconds connect_timeout{15};
  // A server may be silent while it checkpoints; a dead connection is found by
  // TCP keepalives long before.
  std::chrono::seconds stall_timeout{15 * 60};
  // Asked between waits; throws to end the operation.
  std::function<void()> check_cancelled = [] {};
};

}  // namespace walvault
