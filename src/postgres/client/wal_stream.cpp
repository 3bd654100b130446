// Streaming of WAL over a replication connection.
#include <poll.h>

#include <string_view>

#include "postgres/client/pq_connection.h"
#include "postgres/wal_message.h"

namespace walvault {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view duplicate_object = "42710";

constexpr int wanted_check_ms = 50;
// A status this often, in which an answer is asked for: so a server that is
// silent for long is gone, however its own timeouts are set.
constexpr std::chrono::seconds status_interval{10};
constexpr std::chrono::seconds silence_max{60};

}  // namespace

bool PqConnection::create_temporary_slot(const std::string& name, SlotWal wal) {
  send("CREATE_REPLICATION_SLOT \"" + name + "\" TEMPORARY PHYSICAL" +
       (wal == SlotWal::kept ? " RESERVE_WAL" : ""));
  auto result = next_result();
  // To the end in any case: the connection is used on without the slot.
  while (next_result()) {
  }
  if (sqlstate_of(result.get()) == duplicate_object) return false;
  (void)check_rows(std::move(result), "CREATE_REPLICATION_SLOT", 1);
  return true;
}

void PqConnection::send_status(Lsn received, Lsn durable) {
  const auto message = standby_status_message(received, durable);
  if (PQputCopyData(connection(), reinterpret_cast<const char*>(message.data()),
                    static_cast<int>(message.size())) != 1 ||
      PQflush(connection()) < 0) {
    throw failure("answer the server", nullptr);
  }
}

void PqConnection::stream_wal(WalPosition start, const std::string& slot,
                              const WalStreamEvents& events) {
  send("START_REPLICATION SLOT \"" + slot + "\" PHYSICAL " + start.lsn.text() + " TIMELINE " +
       std::to_string(start.timeline.value));
  const auto begun = next_result();
  if (PQresultStatus(begun.get()) != PGRES_COPY_BOTH) {
    throw failure("stream WAL from the server", begun.get());
  }

  auto received = start.lsn;
  auto heard = steady_clock::now();
  auto told = heard - status_interval;
  auto told_durable = start.lsn;
  while (events.wanted()) {
    check_cancelled();
    const auto now = steady_clock::now();
    if (now - heard > silence_max) {
      throw Error(ErrorKind::unavailable, "the server does not answer",
                  "Its WAL stream is silent for too long.",
                  "Check the server and the network to it.")
          .transient();
    }
    // Whatever becomes durable is told at once: the slot holds no more than it has to, which a
    // server with a small max_slot_wal_keep_size may cut off.
    if (const auto durable = events.durable();
        now - told >= status_interval || durable != told_durable) {
      send_status(received, durable);
      told = now;
      told_durable = durable;
    }

    char* raw = nullptr;
    const int length = PQgetCopyData(connection(), &raw, 1);
    const std::unique_ptr<char, decltype(&PQfreemem)> owner(raw, &PQfreemem);
    if (length == 0) {
      pollfd entry{.fd = PQsocket(connection()), .events = POLLIN, .revents = 0};
      if (::poll(&entry, 1, wanted_check_ms) > 0 && PQconsumeInput(connection()) != 1) {
        throw failure("stream WAL from the server", nullptr);
      }
      continue;
    }
    if (length == -1) {
      const auto ended = next_result();
      if (ended && PQresultStatus(ended.get()) == PGRES_FATAL_ERROR) {
        throw failure("stream WAL from the server", ended.get());
      }
      throw Error(ErrorKind::unavailable, "the server ended the timeline that its WAL came from",
                  "It is timeline " + std::to_string(start.timeline.value) + ", up to " +
                      received.text() + ".",
                  "Run the backup again.");
    }
    if (length < 0) throw failure("stream WAL from the server", nullptr);

    heard = steady_clock::now();
    const auto message = parse_wal_message(
        {reinterpret_cast<const std::uint8_t*>(raw), static_cast<std::size_t>(length)});
    if (message.reply_wanted) {
      send_status(received, events.durable());
      told = heard;
    }
    if (message.data.empty()) continue;
    if (message.start != received) {
      throw Error(ErrorKind::corrupt, "the server's WAL stream has a gap",
                  "Expected " + received.text() + ", came " + message.start.text() + ".");
    }
    events.data(message.start, message.data);
    received.value += message.data.size();
  }
}

}  // namespace walvault
