#include "postgres/client/pq_session.h"

#include <poll.h>

#include <cerrno>
#include <string_view>
#include <vector>

namespace walvault {
namespace {

using std::chrono::steady_clock;

constexpr int cancel_check_ms = 250;

// What an administrator does about a refusal, by its SQLSTATE or, where the
// connection never got that far, by libpq's words.
std::string hint_for(std::string_view sqlstate, const std::string& message) {
  const auto mentions = [&](std::string_view words) {
    return message.find(words) != std::string::npos;
  };
  if (mentions("max_wal_senders")) {
    return "Raise max_wal_senders (and set wal_level to replica), or end another replication "
           "connection.";
  }
  if (mentions("max_replication_slots")) {
    return "Raise max_replication_slots, or drop a slot that nobody uses (pg_replication_slots).";
  }
  if (mentions("no password supplied")) {
    return "Put the password into ~/.pgpass or the connection's passfile.";
  }
  if (mentions("pg_hba.conf")) {
    return "Allow this host and user in pg_hba.conf, with \"replication\" as the database.";
  }
  if (sqlstate == "28P01") return "Check the user and the password in the connection string.";
  if (sqlstate == "42501" || mentions("REPLICATION") || mentions("replication role")) {
    return "The user needs the REPLICATION attribute: ALTER ROLE ... REPLICATION.";
  }
  if (sqlstate == "XX001") {
    return "Find the damaged relation with pg_amcheck or pg_checksums, and keep the backups "
           "that you have.";
  }
  if (mentions("starting up") || mentions("shutting down")) {
    return "Wait until the server accepts connections, then try again.";
  }
  return "Check that the server runs and that the connection string is right.";
}

// Of connections that nobody uses for so long: these know it.
constexpr int idle_timeout_since = 140000;
constexpr int transaction_timeout_since = 170000;

bool is_behind_login(ConnStatusType status) {
  return status == CONNECTION_AUTH_OK || status == CONNECTION_CHECK_WRITABLE ||
         status == CONNECTION_CONSUME || status == CONNECTION_CHECK_TARGET ||
         status == CONNECTION_CHECK_STANDBY;
}

}  // namespace

std::string sqlstate_of(const PGresult* result) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  return state == nullptr ? "" : state;
}

PqSession::PqSession(ConnectOptions options, SessionMode mode, const std::string& database)
    : options_(std::move(options)) {
  connect(mode, database, {});
  pin_settings(mode, database);
  PQsetNoticeReceiver(
      connection(),
      [](void* session, const PGresult* notice) {
        const auto& receive = static_cast<PqSession*>(session)->on_warning;
        const char* text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
        // Not localized, and known to every server from 9.6 on.
        const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
        if (receive && text != nullptr && severity != nullptr &&
            std::string_view(severity) == "WARNING") {
          const char* function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
          receive(one_line(text), function == nullptr ? "" : function);
        }
      },
      this);
}

void PqSession::connect(SessionMode mode, const std::string& database,
                        const std::string& more_settings) {
  const auto attempts = plan_connection(options_, mode, database, more_settings);
  std::string all;
  for (const auto& attempt : attempts) {
    options_.check_cancelled();
    try {
      return try_to_connect(attempt);
    } catch (const Error& error) {
      // As libpq has it: who is refused by one server does not try the password at the next.
      if (error.kind() != ErrorKind::unavailable || attempts.size() == 1 || is_refused_) throw;
      all += (all.empty() ? "" : " ") + attempt.name + ": " + error.detail();
      if (&attempt != &attempts.back()) continue;
      throw Error(error.kind(), "cannot connect to any of the servers", all, error.hint());
    }
  }
}

void PqSession::try_to_connect(const ConnectAttempt& attempt) {
  // Before the next one: a server may have no place for two.
  connection_.reset();
  connection_ = start_connecting(attempt.parameters);
  is_refused_ = false;
  bool is_let_in = false;
  const auto deadline = steady_clock::now() + attempt.timeout;
  auto state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_.get()) != CONNECTION_BAD) {
    if (state == PGRES_POLLING_OK) break;
    if (state == PGRES_POLLING_FAILED) break;
    wait_for_socket(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
    state = PQconnectPoll(connection_.get());
    is_let_in |= is_behind_login(PQstatus(connection_.get()));
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    // What the server says of itself comes behind the login, all at once as a rule.
    is_let_in |= PQparameterStatus(connection_.get(), "server_version") != nullptr;
    is_refused_ = !is_let_in && PQconnectionUsedPassword(connection_.get()) != 0;
    throw failure("connect to the server", nullptr);
  }
}

// Before anything else: no operator or function of a database's owner is to be found. What not
// every major knows cannot be in the startup packet of all.
void PqSession::pin_settings(SessionMode mode, const std::string& database) {
  const auto version = PQserverVersion(connection());
  if (mode == SessionMode::sql) {
    send(std::string("SET search_path = pg_catalog, pg_temp") +
         (version >= idle_timeout_since ? "; SET idle_session_timeout = 0" : "") +
         (version >= transaction_timeout_since ? "; SET transaction_timeout = 0" : ""));
    return expect_end();
  }
  // A replication connection cannot set anything once it stands.
  if (version < idle_timeout_since) return;
  send("SHOW idle_session_timeout");
  const bool has_timeout = std::string_view(PQgetvalue(expect_rows("SHOW", 1).get(), 0, 0)) != "0";
  expect_end();
  if (has_timeout) connect(mode, database, "-c idle_session_timeout=0");
}

steady_clock::time_point PqSession::stall_deadline() const {
  return steady_clock::now() + options_.stall_timeout;
}

void PqSession::wait_for_socket(short poll_events, steady_clock::time_point deadline) const {
  while (true) {
    options_.check_cancelled();
    pollfd entry{.fd = PQsocket(connection_.get()), .events = poll_events, .revents = 0};
    const int ready = ::poll(&entry, 1, cancel_check_ms);
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw system_error("wait for the server", errno);
    if (steady_clock::now() >= deadline) {
      throw Error(ErrorKind::unavailable, "the server does not answer",
                  "Nothing came for too long.", "Check the server and the network to it.")
          .transient();
    }
  }
}

Error PqSession::failure(const std::string& action, const PGresult* result) const {
  const auto sqlstate = sqlstate_of(result);
  const auto message = one_line(result != nullptr && *PQresultErrorMessage(result) != '\0'
                                    ? PQresultErrorMessage(result)
                                    : PQerrorMessage(connection_.get()));
  return {sqlstate == "XX001" ? ErrorKind::corrupt : ErrorKind::unavailable, "cannot " + action,
          message + (message.ends_with('?') ? "" : "."), hint_for(sqlstate, message)};
}

void PqSession::send(const std::string& command) {
  if (PQsendQuery(connection_.get(), command.c_str()) != 1) {
    throw failure("send " + command.substr(0, command.find(' ')), nullptr);
  }
}

PqSession::Result PqSession::next_result(steady_clock::time_point deadline) {
  while (PQisBusy(connection_.get()) != 0) {
    wait_for_socket(POLLIN, deadline);
    if (PQconsumeInput(connection_.get()) != 1) throw failure("read from the server", nullptr);
  }
  return {PQgetResult(connection_.get()), &PQclear};
}

PqSession::Result PqSession::next_result() { return next_result(stall_deadline()); }

PqSession::Result PqSession::expect_rows(const char* what, int columns_min) {
  return check_rows(next_result(), what, columns_min);
}

PqSession::Result PqSession::check_rows(Result result, const char* what, int columns_min) const {
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    throw failure(std::string("run ") + what, result.get());
  }
  if (PQnfields(result.get()) < columns_min || PQntuples(result.get()) < 1) {
    throw Error(ErrorKind::corrupt,
                std::string("the server's answer to ") + what + " has another form than expected");
  }
  return result;
}

void PqSession::expect_end() {
  while (auto result = next_result()) {
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      throw failure("finish a command", result.get());
    }
  }
}

}  // namespace walvault
