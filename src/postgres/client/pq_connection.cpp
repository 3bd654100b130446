#include "postgres/client/pq_connection.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/error.h"

namespace walvault {
namespace {

using std::chrono::steady_clock;

constexpr int cancel_check_ms = 250;

// libpq's messages may have several lines, indented, and some end in a full
// stop.
std::string one_line(const char* message) {
  std::string text;
  for (const char c : std::string_view(message == nullptr ? "" : message)) {
    const bool is_space = c == ' ' || c == '\n' || c == '\t';
    if (!is_space) {
      text.push_back(c);
    } else if (!text.empty() && text.back() != ' ') {
      text.push_back(' ');
    }
  }
  while (text.ends_with(' ') || text.ends_with('.')) text.pop_back();
  return text;
}

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

void check_conninfo(const std::string& conninfo) {
  char* message = nullptr;
  PQconninfoOption* options = PQconninfoParse(conninfo.c_str(), &message);
  const auto why = one_line(message);
  PQfreemem(message);
  if (options == nullptr) {
    throw Error(ErrorKind::usage, "the connection string is not understood", why + ".",
                "Write it as 'host=... port=... user=...', or as a postgresql:// URL.");
  }
  PQconninfoFree(options);
}

std::uint64_t parse_number(const char* text) {
  std::uint64_t value = 0;
  const std::string_view view = text;
  std::from_chars(view.data(), view.data() + view.size(), value);
  return value;
}

WalPosition position_of(const PGresult* row) {
  const auto lsn = Lsn::parse(PQgetvalue(row, 0, 0));
  if (!lsn) {
    throw Error(ErrorKind::corrupt, "the server's answer has no WAL position",
                std::string("It says \"") + PQgetvalue(row, 0, 0) + "\".");
  }
  return {.lsn = *lsn,
          .timeline = {static_cast<std::uint32_t>(parse_number(PQgetvalue(row, 0, 1)))}};
}

// Takes a zero-terminated text off the front of a message.
std::string take_text(ByteView& message) {
  const auto text = as_text(message);
  const auto end = text.find('\0');
  if (end == std::string_view::npos) {
    throw Error(ErrorKind::corrupt, "the server sent a malformed base backup message");
  }
  message = message.subspan(end + 1);
  return std::string(text.substr(0, end));
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out.push_back('\'');
    out.push_back(c);
  }
  return out + "'";
}

std::string base_backup_command(const BaseBackupOptions& options) {
  auto command = "BASE_BACKUP (LABEL " + quoted(options.label) + ", PROGRESS true, CHECKPOINT " +
                 (options.fast_checkpoint ? "'fast'" : "'spread'") +
                 ", WAIT false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', TABLESPACE_MAP true";
  if (options.max_rate_kilobytes) {
    command += ", MAX_RATE " + std::to_string(*options.max_rate_kilobytes);
  }
  return command + ")";
}

std::string base_backup_command_before_15(const BaseBackupOptions& options) {
  auto command = "BASE_BACKUP LABEL " + quoted(options.label) + " PROGRESS" +
                 (options.fast_checkpoint ? " FAST" : "") + " NOWAIT";
  if (options.max_rate_kilobytes) {
    command += " MAX_RATE " + std::to_string(*options.max_rate_kilobytes);
  }
  return command + " TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'";
}

}  // namespace

PqConnection::PqConnection(ConnectOptions options) : options_(std::move(options)) {
  check_conninfo(options_.conninfo);
  connect();
}

void PqConnection::connect() {
  // Parameters after dbname override what the connection string says; those
  // before it are defaults that it may override.
  const std::array<const char*, 9> keywords = {"keepalives_idle",
                                               "keepalives_interval",
                                               "keepalives_count",
                                               "application_name",
                                               "dbname",
                                               "replication",
                                               "client_encoding",
                                               "options",
                                               nullptr};
  const std::array<const char*, 9> values = {
      "30", "10", "5", "walvault", options_.conninfo.c_str(), "true", "UTF8", nullptr, nullptr};
  connection_.reset(PQconnectStartParams(keywords.data(), values.data(), 1));
  if (!connection_) throw std::bad_alloc();
  const auto deadline = steady_clock::now() + options_.connect_timeout;
  auto state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_.get()) != CONNECTION_BAD) {
    if (state == PGRES_POLLING_OK) break;
    if (state == PGRES_POLLING_FAILED) break;
    wait_for_socket(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
    state = PQconnectPoll(connection_.get());
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw failure("connect to the server", nullptr);
  }
}

steady_clock::time_point PqConnection::stall_deadline() const {
  return steady_clock::now() + options_.stall_timeout;
}

void PqConnection::wait_for_socket(short poll_events, steady_clock::time_point deadline) {
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

Error PqConnection::failure(const std::string& action, const PGresult* result) const {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string sqlstate = state == nullptr ? "" : state;
  const auto message = one_line(result != nullptr && *PQresultErrorMessage(result) != '\0'
                                    ? PQresultErrorMessage(result)
                                    : PQerrorMessage(connection_.get()));
  return {sqlstate == "XX001" ? ErrorKind::corrupt : ErrorKind::unavailable, "cannot " + action,
          message + ".", hint_for(sqlstate, message)};
}

void PqConnection::send(const std::string& command) {
  if (PQsendQuery(connection_.get(), command.c_str()) != 1) {
    throw failure("send " + command.substr(0, command.find(' ')), nullptr);
  }
}

PqConnection::Result PqConnection::next_result(steady_clock::time_point deadline) {
  while (PQisBusy(connection_.get()) != 0) {
    wait_for_socket(POLLIN, deadline);
    if (PQconsumeInput(connection_.get()) != 1) throw failure("read from the server", nullptr);
  }
  return {PQgetResult(connection_.get()), &PQclear};
}

PqConnection::Result PqConnection::next_result() { return next_result(stall_deadline()); }

PqConnection::Result PqConnection::expect_rows(const char* what, int columns_min) {
  return check_rows(next_result(), what, columns_min);
}

PqConnection::Result PqConnection::check_rows(Result result, const char* what, int columns_min) {
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    throw failure(std::string("run ") + what, result.get());
  }
  if (PQnfields(result.get()) < columns_min || PQntuples(result.get()) < 1) {
    throw Error(ErrorKind::corrupt,
                std::string("the server's answer to ") + what + " has another form than expected");
  }
  return result;
}

void PqConnection::expect_end() {
  while (auto result = next_result()) {
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      throw failure("finish a command", result.get());
    }
  }
}

SystemIdentity PqConnection::identify_system() {
  send("IDENTIFY_SYSTEM");
  const auto row = expect_rows("IDENTIFY_SYSTEM", 3);
  SystemIdentity identity;
  identity.system_identifier = parse_number(PQgetvalue(row.get(), 0, 0));
  identity.timeline = {static_cast<std::uint32_t>(parse_number(PQgetvalue(row.get(), 0, 1)))};
  identity.flushed = Lsn::parse(PQgetvalue(row.get(), 0, 2)).value_or(Lsn{});
  expect_end();
  return identity;
}

std::optional<std::string> PqConnection::show(const std::string& setting) {
  send("SHOW " + setting);
  auto result = next_result();
  std::optional<std::string> value;
  if (PQresultStatus(result.get()) == PGRES_TUPLES_OK) {
    value = PQgetvalue(result.get(), 0, 0);
  } else {
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    // 42501: not allowed to see it; 42704: this version has no such setting.
    if (state == nullptr ||
        (std::string_view(state) != "42501" && std::string_view(state) != "42704")) {
      throw failure("run SHOW", result.get());
    }
  }
  while (next_result()) {
  }
  return value;
}

Bytes PqConnection::timeline_history(TimelineId timeline) {
  send("TIMELINE_HISTORY " + std::to_string(timeline.value));
  const auto row = expect_rows("TIMELINE_HISTORY", 2);
  // The content column is sent raw, in a text column.
  const auto* data = reinterpret_cast<const std::uint8_t*>(PQgetvalue(row.get(), 0, 1));
  Bytes content(data, data + PQgetlength(row.get(), 0, 1));
  expect_end();
  return content;
}

WalPosition PqConnection::base_backup(const BaseBackupOptions& options,
                                      const BaseBackupEvents& events) {
  const bool from_15 = server_version() >= 150000;
  send(from_15 ? base_backup_command(options) : base_backup_command_before_15(options));

  // The first answer comes after a checkpoint, and a spread one takes as long
  // as the server's settings say: TCP keepalives find a dead connection, no
  // limit of ours ends a slow one.
  const auto start =
      position_of(check_rows(next_result(steady_clock::time_point::max()), "BASE_BACKUP", 2).get());
  const auto header = expect_rows("BASE_BACKUP", 3);
  std::vector<Tablespace> tablespaces;
  std::uint64_t estimated_bytes = 0;
  for (int row = 0; row < PQntuples(header.get()); ++row) {
    estimated_bytes += parse_number(PQgetvalue(header.get(), row, 2)) * 1024;
    if (PQgetisnull(header.get(), row, 0) != 0) continue;
    tablespaces.push_back(
        {.oid = static_cast<std::uint32_t>(parse_number(PQgetvalue(header.get(), row, 0))),
         .location = PQgetvalue(header.get(), row, 1)});
  }
  events.start(start, estimated_bytes);

  const auto end =
      from_15 ? receive_messages(tablespaces, events) : receive_copies(tablespaces, events);
  expect_end();
  return end;
}

void PqConnection::receive_copy(const std::function<void(ByteView)>& data) {
  const auto copy = next_result();
  if (PQresultStatus(copy.get()) != PGRES_COPY_OUT) {
    throw failure("receive the base backup", copy.get());
  }
  while (true) {
    char* raw = nullptr;
    const int length = PQgetCopyData(connection_.get(), &raw, 1);
    const std::unique_ptr<char, decltype(&PQfreemem)> owner(raw, &PQfreemem);
    if (length == 0) {
      wait_for_socket(POLLIN, stall_deadline());
      if (PQconsumeInput(connection_.get()) != 1) {
        throw failure("receive the base backup", nullptr);
      }
      continue;
    }
    if (length < -1) throw failure("receive the base backup", nullptr);
    if (length == -1) return;
    options_.check_cancelled();
    data({reinterpret_cast<const std::uint8_t*>(raw), static_cast<std::size_t>(length)});
  }
}

// The stream up to 14: a copy for each tablespace in the order announced, one
// for the data directory, one for the manifest.
WalPosition PqConnection::receive_copies(const std::vector<Tablespace>& tablespaces,
                                         const BaseBackupEvents& events) {
  for (std::size_t i = 0; i <= tablespaces.size(); ++i) {
    events.archive(i < tablespaces.size() ? std::optional(tablespaces[i]) : std::nullopt);
    receive_copy(events.archive_data);
    events.archive_end();
  }
  receive_copy(events.manifest_data);
  return position_of(expect_rows("BASE_BACKUP", 2).get());
}

// The stream from 15 on (basebackup_copy.c): messages that start with a letter:
// 'n' a new archive (name, tablespace path), 'm' the manifest begins, 'd' data,
// 'p' progress.
WalPosition PqConnection::receive_messages(const std::vector<Tablespace>& tablespaces,
                                           const BaseBackupEvents& events) {
  bool in_archive = false;
  bool in_manifest = false;
  receive_copy([&](ByteView message) {
    if (message.empty()) throw Error(ErrorKind::corrupt, "the server sent an empty message");
    const auto type = message[0];
    message = message.subspan(1);
    switch (type) {
      case 'n': {
        if (in_archive) events.archive_end();
        in_archive = true;
        (void)take_text(message);  // the archive's file name
        const auto path = take_text(message);
        const auto it = std::ranges::find(tablespaces, path, &Tablespace::location);
        if (!path.empty() && it == tablespaces.end()) {
          throw Error(ErrorKind::corrupt, "the server sends a tablespace that it did not announce",
                      "Its location is \"" + path + "\".");
        }
        events.archive(path.empty() ? std::nullopt : std::optional<Tablespace>(*it));
        break;
      }
      case 'm':
        if (in_archive) events.archive_end();
        in_archive = false;
        in_manifest = true;
        break;
      case 'd':
        if (in_manifest) {
          events.manifest_data(message);
        } else if (in_archive) {
          events.archive_data(message);
        } else {
          throw Error(ErrorKind::corrupt, "the server sends data before it names an archive");
        }
        break;
      case 'p': break;
      default:
        throw Error(ErrorKind::corrupt, "the server sent a base backup message of unknown type",
                    "Its type is " + std::to_string(type) + ".");
    }
  });
  // A failure (a page checksum, a shutdown) comes in place of the end: looked
  // at before the tar stream is, which then breaks off.
  const auto end = position_of(expect_rows("BASE_BACKUP", 2).get());
  if (in_archive) events.archive_end();
  return end;
}

int PqConnection::server_version() { return PQserverVersion(connection_.get()); }

bool PqConnection::is_local() {
  const char* host = PQhost(connection_.get());
  if (host == nullptr || *host == '\0' || *host == '/') return true;
  const char* address = PQhostaddr(connection_.get());
  const std::string_view text = address == nullptr ? "" : address;
  return text.starts_with("127.") || text == "::1";
}

std::unique_ptr<ReplicationConnection> connect_replication(ConnectOptions options) {
  return std::make_unique<PqConnection>(std::move(options));
}

}  // namespace walvault
