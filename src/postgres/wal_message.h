// The messages inside a WAL stream (PostgreSQL documentation, "Streaming
// Replication Protocol").
#pragma once

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace walvault {

struct WalMessage {
  Lsn start;      // of the data; the server's end of WAL in a keepalive
  ByteView data;  // into the message; empty in a keepalive
  bool reply_wanted = false;
};

// XLogData or a keepalive. Error{corrupt} for anything else.
[[nodiscard]] WalMessage parse_wal_message(ByteView message);

// The answer: what has arrived, and what of it is durable.
[[nodiscard]] Bytes standby_status_message(Lsn received, Lsn durable);

}  // namespace walvault
