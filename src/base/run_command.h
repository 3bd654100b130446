// Runs a command of the administrator's and takes what it prints.
#pragma once

#include <chrono>
#include <string>

namespace walvault {

// What `command`, given to /bin/sh, writes to its standard output. Its standard
// error stays this process's. Throws Error{unavailable} when it fails, prints more
// than `bytes_max`, or has not ended after `timeout`; then it is killed. What it
// printed is in no error: it may be a secret.
[[nodiscard]] std::string run_command(const std::string& command, std::chrono::seconds timeout,
                                      std::size_t bytes_max);

}  // namespace walvault
