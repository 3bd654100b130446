// Brings the WAL of a running backup into the archive over a connection of its
// own, for servers that do not archive.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include "archiving/push.h"
#include "postgres/client/replication_connection.h"

namespace walvault {

class WalStreamer {
 public:
  // `slot` is one of that server's, from which on it keeps its WAL; `server` is
  // used by the streaming thread from start() to the end.
  WalStreamer(const WalArchive& archive, ReplicationConnection& server, std::string slot,
              Clock& clock, PushOptions options);
  // Ends the stream; a segment that is not whole by then is forgotten.
  ~WalStreamer();
  WalStreamer(const WalStreamer&) = delete;
  WalStreamer& operator=(const WalStreamer&) = delete;

  // Streams from the segment that holds this position; each whole segment
  // becomes an archived one.
  void start(WalPosition position);

  // Throws what ended the stream, if anything did.
  void check() const;

 private:
  void run(WalPosition first);
  void take(Lsn position, ByteView bytes);

  const WalArchive& archive_;
  ReplicationConnection& server_;
  std::string slot_;
  Clock& clock_;
  PushOptions options_;

  TimelineId timeline_;
  Lsn durable_;
  Bytes segment_;  // what has come of the one that is under way
  std::atomic<bool> wanted_{true};
  mutable std::mutex mutex_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace walvault
