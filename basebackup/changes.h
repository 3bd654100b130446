// Has a server from 17 on send only what changed since the parent, where that can be
// relied upon: docs/decisions/0019.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "basebackup/backup_receiver.h"
#include "catalog/records/backup_info.h"
#include "catalog/wal/wal_archive.h"
#include "postgres/client/replication_connection.h"
#include "postgres/client/sql_connection.h"
#include "repository/writer_session.h"

namespace walvault {

// What the server would send cannot be told to be all that changed: another try may do
// better.
class ChangesOutdated : public Error {
 public:
  explicit ChangesOutdated(const std::string& why)
      : Error(ErrorKind::unavailable, "what changed since the backup before is not known for sure",
              why, "Run the backup again.") {}
};

// Not thread-safe.
class ChangesSince {
 public:
  // Gives a connection for SQL.
  using Connect = std::function<std::unique_ptr<SqlConnection>()>;

  // `tree`: the parent's, the session's. All must outlive this.
  ChangesSince(const WalArchive& archive, ReplicationConnection& server,
               const WriterSession& session, const BackupInfo& parent, const Root& tree,
               Connect connect);

  // Why the server has to send everything; empty: it may be asked for less.
  [[nodiscard]] std::string why_everything();

  // Hands the server the parent's manifest, without what has to be sent whole. Errors as
  // ReplicationConnection::upload_manifest; {corrupt, unavailable} also where the manifest
  // cannot be read.
  void upload();

  // Once the server has begun at this position, and before anything came of it.
  // ChangesOutdated.
  void check_begun(WalPosition position);

  [[nodiscard]] ChangesOnly form() const;

 private:
  [[nodiscard]] std::set<RelationFile> cut_relations();
  [[nodiscard]] bool are_summaries_complete(WalPosition end);

  const WalArchive& archive_;
  ReplicationConnection& server_;
  const WriterSession& session_;
  const BackupInfo& parent_;
  const Root& tree_;
  Connect connect_;
  std::unique_ptr<SqlConnection> sql_;
  std::set<RelationFile> cut_;  // known when the manifest was handed over
};

}  // namespace walvault
