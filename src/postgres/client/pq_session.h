// What every connection over libpq does: connect, send a command, wait for its
// results without blocking for ever, and tell a failure in the server's words.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "postgres/client/connect_plan.h"

namespace walvault {

// Not thread-safe.
class PqSession {
 public:
  using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

  // SQL runs in `database`; when that is empty, in the one that the connection
  // string names, else in postgres.
  PqSession(ConnectOptions options, SessionMode mode, const std::string& database = {});
  ~PqSession() = default;
  // libpq holds a pointer to this.
  PqSession(const PqSession&) = delete;
  PqSession& operator=(const PqSession&) = delete;

  [[nodiscard]] PGconn* connection() const { return connection_.get(); }
  void check_cancelled() const { options_.check_cancelled(); }

  // What is called with each warning that the server sends, and the function of the
  // server's source that it comes from; may be empty.
  std::function<void(const std::string& text, std::string_view function)> on_warning;

  void send(const std::string& command);
  // The next result of what was sent; null at its end.
  [[nodiscard]] Result next_result();
  [[nodiscard]] Result next_result(std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] Result check_rows(Result result, const char* what, int columns_min) const;
  [[nodiscard]] Result expect_rows(const char* what, int columns_min);
  void expect_end();

  void wait_for_socket(short poll_events, std::chrono::steady_clock::time_point deadline) const;
  [[nodiscard]] std::chrono::seconds stall_timeout() const { return options_.stall_timeout; }
  [[nodiscard]] std::chrono::steady_clock::time_point stall_deadline() const;
  [[nodiscard]] Error failure(const std::string& action, const PGresult* result) const;

 private:
  void connect(SessionMode mode, const std::string& database, const std::string& more_settings);
  void try_to_connect(const ConnectAttempt& attempt);
  void pin_settings(SessionMode mode, const std::string& database);

  ConnectOptions options_;
  PqHandle connection_{nullptr, &PQfinish};
  bool is_refused_ = false;  // the last attempt, by the server, with a password
};

// Empty when the result has none.
[[nodiscard]] std::string sqlstate_of(const PGresult* result);

}  // namespace walvault
