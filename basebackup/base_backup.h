// One base backup: from a replication connection, or from the files beside the server,
// into the repository.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/reporter.h"
#include "catalog/records/backup_info.h"
#include "catalog/records/backup_keep.h"
#include "catalog/wal/wal_archive.h"
#include "codec/compression.h"
#include "postgres/client/replication_connection.h"
#include "postgres/client/sql_connection.h"
#include "repository/tree_writer.h"

namespace walvault {

struct BaseBackupRequest {
  std::string label;
  std::optional<BackupKeep> keep;
  bool fast_checkpoint = true;
  std::optional<std::uint32_t> max_rate_kilobytes;
  // Streamed WAL need not go on with what is archived: somebody says that it is this cluster's.
  bool accepts_unlinked_wal = false;
  std::chrono::milliseconds wal_timeout{std::chrono::minutes(10)};
  // A backup whose process was killed has its claim until the server notices that its
  // client is gone: at once while it sends, but not during a checkpoint.
  std::chrono::milliseconds claim_patience{5000};
  CompressionSetting compression;  // of the data
  // As TreeWriter::Options.
  std::size_t delta_depth = 4;
  bool weighs_deltas = false;
  CompressionSetting wal_compression;  // of what is streamed
  unsigned jobs = 2;
  // As TreeWriter::Options.
  unsigned uploads = 1;
  std::size_t pack_bytes = PackBuilder::Limits{}.bytes_max;
  std::uint64_t unfinished_bytes_min = TreeWriter::Options().unfinished_bytes_min;
  std::string host;  // this machine's name, recorded when the server runs here
  // Gives a second connection when the WAL is to be streamed over it; without
  // one the server is expected to archive.
  std::function<std::unique_ptr<ReplicationConnection>()> connect_for_wal;
  // Gives a connection for SQL when the data directory is to be read as files, on the
  // machine where the server runs; without one the server sends it.
  std::function<std::unique_ptr<SqlConnection>()> connect_for_files;
  bool reads_all_files = false;  // also those that show that they were not written to
  // Gives a connection for SQL by which a server from 17 on is asked whether it can send
  // what changed alone; without one it sends everything.
  std::function<std::unique_ptr<SqlConnection>()> connect_for_changes;
};

// Takes the backup, waits until the WAL from its start to its stop is in the
// repository, and commits it. When it throws, no backup is left behind.
//
// Pages that the server found damaged do not stop the backup, which would leave
// a cluster in trouble without any: they are recorded in it.
//
// Error{conflict}: another cluster than the registered one. {usage}: a server
// whose settings cannot give a restorable backup. {corrupt}: what arrived is
// not what the server's manifest lists. {unavailable}: server or storage
// failed, the WAL did not come in time, or another backup of this cluster into
// this repository is running. UnusableParent: what the server sent was changes to what
// turned out to be damaged; another try, with reads_all_files, does without.
// ChangesOutdated: a further try may do.
[[nodiscard]] BackupInfo take_base_backup(const WalArchive& archive, ReplicationConnection& server,
                                          RandomId writer, Clock& clock,
                                          const BaseBackupRequest& request,
                                          const Reporter& reporter, const Meter& meter = {});

}  // namespace walvault
