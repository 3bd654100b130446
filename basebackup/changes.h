// Has a server from 17 on send only what changed since the parent, where that can be
// relied upon: docs/decisions/0019.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "basebackup/backup_receiver.h"
#include "catalog/backup_info.h"
#include "catalog/wal_archive.h"
#include "postgres/client/replication_connection.h"
#include "postgres/client/sql_connection.h"
#include "repository/writer_session.h"

namespace walvault {

// What the server said before turned out not to be all of it: another try may do better.
class ChangesOutdated : public Error {
 public:
  ChangesOutdated()
      : Error(ErrorKind::unavailable, "relations were cut short while the backup began",
              "What the server sends of them would be wrong.", "Run the backup again.") {}
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

  // Once the server has begun, and before anything came of it. ChangesOutdated.
  void check_begun();

  [[nodiscard]] ChangesOnly form() const;

 private:
  [[nodiscard]] std::set<RelationFile> cut_relations();

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
