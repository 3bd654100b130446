// Which servers a connection string means, one after another, and with which settings.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postgres/client/connect_options.h"

namespace walvault {

enum class SessionMode {
  replication,  // physical replication: no SQL
  sql,
};

// Keywords and values for libpq; a later one of the same keyword wins.
using ConnectParameters = std::vector<std::pair<std::string, std::string>>;

using PqHandle = std::unique_ptr<PGconn, decltype(&PQfinish)>;

// One address to try, with a deadline of its own: libpq's asynchronous connect heeds no
// connect_timeout, and never leaves a host that does not answer.
struct ConnectAttempt {
  std::string name;  // for people
  ConnectParameters parameters;
  std::chrono::seconds timeout{15};
};

// The attempts that a connection string stands for, service files and PG* variables
// included, in order; never empty. Names are looked up, which may take what the system's
// resolver takes. A string that libpq does not understand is one attempt, which libpq
// refuses.
//
// Every attempt pins in its startup packet what a database's owner could otherwise decide for us
// (ALTER DATABASE ... SET): when a session ends, and how it reads what we write.
// `more_settings` are pinned as well: "-c name=value ...".
[[nodiscard]] std::vector<ConnectAttempt> plan_connection(const ConnectOptions& options,
                                                          SessionMode mode,
                                                          const std::string& database,
                                                          const std::string& more_settings);

// libpq's messages may have several lines, indented, and some end in a full
// stop.
[[nodiscard]] std::string one_line(const char* message);

// Begins to connect, and waits for nothing. Throws std::bad_alloc.
[[nodiscard]] PqHandle start_connecting(const ConnectParameters& parameters);

}  // namespace walvault
