#include "postgres/client/pq_connection.h"

#include <poll.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "postgres/data_path.h"

namespace walvault {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view data_corrupted = "XX001";

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
  if (options.incremental) command += ", INCREMENTAL";
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
    const auto state = sqlstate_of(result.get());
    // 42501: not allowed to see it; 42704: this version has no such setting.
    if (state != "42501" && state != "42704") {
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

void PqConnection::skip_results() {
  while (next_result()) {
  }
}

void PqConnection::upload_manifest(const std::function<void(const Sink&)>& write) {
  constexpr auto action = "hand the server the manifest of an earlier backup";
  constexpr std::size_t piece_bytes = 64u << 10;
  send("UPLOAD_MANIFEST");
  const auto begun = next_result();
  if (PQresultStatus(begun.get()) != PGRES_COPY_IN) {
    const auto refusal = failure(action, begun.get());
    skip_results();
    throw Error(refusal);
  }
  // Until the socket has taken all of it, or nothing for too long.
  const auto flush = [&] {
    int left = 0;
    while ((left = PQflush(connection())) == 1) wait_for_socket(POLLOUT, stall_deadline());
    if (left != 0) throw failure(action, nullptr);
  };
  struct NonBlocking {
    explicit NonBlocking(PGconn* of) : connection(of) { (void)PQsetnonblocking(connection, 1); }
    ~NonBlocking() { (void)PQsetnonblocking(connection, 0); }
    NonBlocking(const NonBlocking&) = delete;
    NonBlocking& operator=(const NonBlocking&) = delete;
    PGconn* connection;
  } const scope(connection());
  const auto end_copy = [&](const char* why_not) {
    if (PQputCopyEnd(connection(), why_not) != 1) throw failure(action, nullptr);
    flush();
    return next_result();
  };
  bool is_broken = false;  // the connection
  try {
    write([&](ByteView bytes) {
      is_broken = true;
      while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), piece_bytes));
        if (PQputCopyData(connection(), reinterpret_cast<const char*>(part.data()),
                          static_cast<int>(part.size())) != 1) {
          throw failure(action, nullptr);
        }
        flush();
        bytes = bytes.subspan(part.size());
      }
      is_broken = false;
    });
  } catch (const Error&) {
    // What was to be sent cannot be had: the server is none the worse for it.
    if (!is_broken) {
      (void)end_copy("it cannot be read");
      skip_results();
    }
    throw;
  }
  const auto end = end_copy(nullptr);
  const bool is_taken =
      PQresultStatus(end.get()) == PGRES_COMMAND_OK || PQresultStatus(end.get()) == PGRES_TUPLES_OK;
  const auto refusal = failure(action, end.get());
  skip_results();
  if (!is_taken) throw Error(refusal);
}

BaseBackupEnd PqConnection::base_backup(const BaseBackupOptions& options,
                                        const BaseBackupEvents& events) {
  // Gone with this call, as what it refers to may be.
  struct WarningScope {
    explicit WarningScope(PqSession& of) : session(of) {}
    ~WarningScope() { session.on_warning = {}; }
    WarningScope(const WarningScope&) = delete;
    WarningScope& operator=(const WarningScope&) = delete;
    PqSession& session;
  } const scope(*this);
  on_warning = [&](const std::string& text, std::string_view function) {
    // All that it warns of, and the text may be in any language.
    const auto path = function == "sendDir" ? path_in_message(text) : std::nullopt;
    if (path) {
      events.skipped(*path);
    } else {
      events.warning(text);
    }
  };
  const bool from_15 = server_version() >= 150000;
  send(from_15 ? base_backup_command(options) : base_backup_command_before_15(options));

  // The first answer comes after a checkpoint, and a spread one takes as long
  // as the server's settings say: a day at most.
  const auto patience = options.fast_checkpoint ? std::chrono::seconds(4 * stall_timeout())
                                                : stall_timeout() + std::chrono::hours(24);
  auto first = next_result(steady_clock::now() + patience);
  if (PQresultStatus(first.get()) == PGRES_FATAL_ERROR) {
    const auto refusal = failure("run BASE_BACKUP", first.get());
    skip_results();
    throw Error(refusal);
  }
  const auto start = position_of(check_rows(std::move(first), "BASE_BACKUP", 2).get());
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

  BaseBackupEnd end{.position = from_15 ? receive_messages(tablespaces, events)
                                        : receive_copies(tablespaces, events)};
  // Pages that failed their checksum become an error only here, behind all that
  // a backup consists of.
  while (auto result = next_result()) {
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) continue;
    if (sqlstate_of(result.get()) != data_corrupted) {
      throw failure("finish the base backup", result.get());
    }
    end.has_damaged_pages = true;
  }
  return end;
}

PqSession::Result PqConnection::receive_copy(Result begun,
                                             const std::function<void(ByteView)>& data) {
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
    throw failure("receive the base backup", begun.get());
  }
  while (true) {
    char* raw = nullptr;
    const int length = PQgetCopyData(connection(), &raw, 1);
    const std::unique_ptr<char, decltype(&PQfreemem)> owner(raw, &PQfreemem);
    if (length == 0) {
      wait_for_socket(POLLIN, stall_deadline());
      if (PQconsumeInput(connection()) != 1) {
        throw failure("receive the base backup", nullptr);
      }
      continue;
    }
    if (length < -1) throw failure("receive the base backup", nullptr);
    if (length == -1) break;
    check_cancelled();
    data({reinterpret_cast<const std::uint8_t*>(raw), static_cast<std::size_t>(length)});
  }
  auto next = next_result();
  // It may have been cut short: that is told before anyone takes it for whole.
  if (PQresultStatus(next.get()) == PGRES_FATAL_ERROR) {
    throw failure("receive the base backup", next.get());
  }
  return next;
}

// The stream up to 14: a copy for each tablespace in the order announced, one
// for the data directory, one for the manifest.
WalPosition PqConnection::receive_copies(const std::vector<Tablespace>& tablespaces,
                                         const BaseBackupEvents& events) {
  auto next = next_result();
  for (std::size_t i = 0; i <= tablespaces.size(); ++i) {
    events.archive(i < tablespaces.size() ? std::optional(tablespaces[i]) : std::nullopt);
    next = receive_copy(std::move(next), events.archive_data);
    events.archive_end();
  }
  next = receive_copy(std::move(next), events.manifest_data);
  return position_of(check_rows(std::move(next), "BASE_BACKUP", 2).get());
}

// The stream from 15 on (basebackup_copy.c): messages that start with a letter:
// 'n' a new archive (name, tablespace path), 'm' the manifest begins, 'd' data,
// 'p' progress.
WalPosition PqConnection::receive_messages(const std::vector<Tablespace>& tablespaces,
                                           const BaseBackupEvents& events) {
  bool in_archive = false;
  bool in_manifest = false;
  auto next = receive_copy(next_result(), [&](ByteView message) {
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
  const auto end = position_of(check_rows(std::move(next), "BASE_BACKUP", 2).get());
  if (in_archive) events.archive_end();
  return end;
}

int PqConnection::server_version() { return PQserverVersion(connection()); }

bool PqConnection::is_local() {
  const char* host = PQhost(connection());
  if (host == nullptr || *host == '\0' || *host == '/') return true;
  const char* address = PQhostaddr(connection());
  const std::string_view text = address == nullptr ? "" : address;
  return text.starts_with("127.") || text == "::1";
}

std::unique_ptr<ReplicationConnection> connect_replication(ConnectOptions options) {
  return std::make_unique<PqConnection>(std::move(options));
}

}  // namespace walvault
