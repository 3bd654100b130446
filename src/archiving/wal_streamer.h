// Brings the WAL of a running backup into the archive over a connection of its
// own, for servers that do not archive.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
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
  // becomes an archived one. Where the server is known to have the segment before, that comes
  // first: if another one is archived in its place, the stream ends, and nothing is archived.
  void start(WalPosition position);

  // The server keeps all WAL from the segment of this position on. Before start().
  void keeps_from(Lsn position) { kept_from_ = position; }

  // Archives what has come of the segment under way as a .partial, as soon as that reaches up to
  // this position; the stream goes on. For a standby, which ends no segment by itself.
  void keep_unfinished(Lsn up_to) { keep_up_to_ = up_to.value; }
  // Whether that is done.
  [[nodiscard]] bool has_kept_unfinished() const { return kept_; }

  // The stream has to go on with archived WAL: start() waits so long for the segment before it, and
  // is Error{conflict} where that does not come. Before start().
  void wants_archived_before(std::chrono::milliseconds patience) { patience_ = patience; }

  // Throws what ended the stream, if anything did.
  void check() const;

 private:
  void run(WalPosition first);
  void take(Lsn position, ByteView bytes);
  void take_segment(const SegmentName& segment);
  [[nodiscard]] bool has_segment_before() const;
  void keep_if_asked();
  void expect_archived_before() const;

  const WalArchive& archive_;
  ReplicationConnection& server_;
  std::string slot_;
  Clock& clock_;
  PushOptions options_;

  std::optional<Lsn> kept_from_;
  std::optional<std::chrono::milliseconds> patience_;

  TimelineId timeline_;
  Lsn durable_;
  Lsn wanted_from_;  // what comes before is compared, and not archived
  Bytes segment_;    // what has come of the one that is under way
  std::atomic<bool> wanted_{true};
  std::atomic<std::uint64_t> keep_up_to_{0};  // 0: nobody asked
  std::atomic<bool> kept_{false};
  mutable std::mutex mutex_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace walvault
