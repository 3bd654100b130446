// A physical replication connection (PostgreSQL documentation, "Streaming
// Replication Protocol"): a seam, so that a backup can be tested without a
// server. The libpq implementation is the only place that knows libpq.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "postgres/backup_label.h"
#include "postgres/client/connect_options.h"
#include "postgres/lsn.h"

namespace walvault {

struct SystemIdentity {
  std::uint64_t system_identifier = 0;
  TimelineId timeline;
  Lsn flushed;
};

struct WalPosition {
  Lsn lsn;
  TimelineId timeline;
};

struct BaseBackupOptions {
  std::string label;
  bool fast_checkpoint = true;
  std::optional<std::uint32_t> max_rate_kilobytes;  // a second, 32 to 1048576
  // Only what changed since the backup whose manifest was uploaded: from 17 on.
  bool incremental = false;
};

// What a base backup consists of, in the order of arrival: `start`, then for
// each archive `archive` and its tar stream as `archive_data` (tablespaces
// come before the data directory), then the manifest as `manifest_data`.
struct BaseBackupEvents {
  std::function<void(WalPosition, std::uint64_t estimated_bytes)> start;
  // nullopt: the data directory itself.
  std::function<void(const std::optional<Tablespace>&)> archive;
  std::function<void(ByteView)> archive_data;
  std::function<void()> archive_end;
  std::function<void(ByteView)> manifest_data;
  // What the server warns of meanwhile, damaged pages above all.
  std::function<void(const std::string&)> warning;
  // What it does not send because it is neither file nor directory: a link, a socket.
  // Relative to the data directory, or absolute in a tablespace.
  std::function<void(const std::string& path)> skipped;
};

struct BaseBackupEnd {
  WalPosition position;
  // Everything was sent, and the server says that pages fail their checksums.
  bool has_damaged_pages = false;
};

enum class SlotWal {
  kept,      // from the last checkpoint on
  not_kept,  // the slot is a mark that lasts as long as the connection
};

// What streams WAL in, called on the streaming thread.
struct WalStreamEvents {
  // Bytes of the WAL at a position, one after another without a gap.
  std::function<void(Lsn, ByteView)> data;
  // Up to where everything is durable: the server may forget what is before.
  std::function<Lsn()> durable;
  // Asked several times a second; false ends the stream.
  std::function<bool()> wanted;
};

// Every operation throws Error{unavailable} when the server cannot be reached,
// goes away or stalls for longer than the connection's timeout, with the
// server's own words as detail. Not thread-safe.
class ReplicationConnection {
 public:
  virtual ~ReplicationConnection() = default;

  [[nodiscard]] virtual SystemIdentity identify_system() = 0;

  // A setting's value as SHOW gives it; nullopt when this user may not see it.
  [[nodiscard]] virtual std::optional<std::string> show(const std::string& setting) = 0;

  // The content of a timeline's history file.
  [[nodiscard]] virtual Bytes timeline_history(TimelineId timeline) = 0;

  // Hands the manifest of an earlier backup to the server (from 17 on), for the next
  // base_backup of this connection. `write` is given where its bytes go. The connection
  // is of use afterwards, also when the server refuses it.
  using Sink = std::function<void(ByteView)>;
  virtual void upload_manifest(const std::function<void(const Sink&)>& write) = 0;

  // Runs BASE_BACKUP without waiting for archiving; returns where it ended. The
  // connection is of use afterwards when the server refuses it before `start`.
  [[nodiscard]] virtual BaseBackupEnd base_backup(const BaseBackupOptions& options,
                                                  const BaseBackupEvents& events) = 0;

  // Makes a physical slot that lasts as long as this connection. False: a slot
  // of that name is there already.
  [[nodiscard]] virtual bool create_temporary_slot(const std::string& name, SlotWal wal) = 0;

  // Streams WAL from `start` on until it is no longer wanted; the connection
  // is of no use afterwards. Error{unavailable} also when the server ends the
  // timeline.
  virtual void stream_wal(WalPosition start, const std::string& slot,
                          const WalStreamEvents& events) = 0;

  // 150018 for 15.18.
  [[nodiscard]] virtual int server_version() = 0;

  // True when the server runs on this very machine: a Unix socket, loopback.
  [[nodiscard]] virtual bool is_local() = 0;
};

[[nodiscard]] std::unique_ptr<ReplicationConnection> connect_replication(ConnectOptions options);

}  // namespace walvault
