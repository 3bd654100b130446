// The two ways that a server's data directory may come by: sent by the server, or read
// as files beside it.
#pragma once

#include <functional>
#include <string>

#include "archiving/wal_streamer.h"
#include "basebackup/backup_content.h"
#include "basebackup/base_backup.h"
#include "repository/tree_writer.h"
#include "repository/writer_session.h"

namespace walvault {

// What the two ways have in common that the data directory may come by.
struct BackupSource {
  const WalArchive& archive;
  ReplicationConnection& server;
  Clock& clock;
  const BaseBackupRequest& request;
  const Reporter& reporter;
  const Meter& meter;
  const BackupInfo* parent;  // nullptr: none
  const WriterSession& session;
  WalStreamer* streamer;  // nullptr: the server archives
  TreeWriter& tree;
  BackupInfo& info;  // gets start, timeline, end time, damage and what was skipped
  // Behind a command that the server refused, which drops its temporary slots.
  std::function<void()> claim_again;

  void start(WalPosition position, std::uint64_t bytes);
  [[nodiscard]] std::string label() const;
};

// Both fill the tree. Errors as take_base_backup.
[[nodiscard]] BackupContent receive_from_server(BackupSource& source);
[[nodiscard]] BackupContent read_data_directory(BackupSource& source);

}  // namespace walvault
