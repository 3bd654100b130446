// The server's part of a backup whose files are read beside it: from pg_backup_start
// to pg_backup_stop, called pg_start_backup and pg_stop_backup before 15.
#pragma once

#include <string>

#include "base/bytes.h"
#include "postgres/client/sql_connection.h"
#include "postgres/lsn.h"

namespace walvault {

// The backup lasts as long as the connection: the server ends it when that goes.
class BackupSession {
 public:
  // `sql` must outlive the session.
  BackupSession(SqlConnection& sql, int major) : sql_(sql), major_(major) {}

  // Waits for a checkpoint; returns where replay begins. Error{usage}: the user of the
  // connection may not do this.
  [[nodiscard]] Lsn start(const std::string& label, bool fast_checkpoint);

  struct End {
    Lsn stop;              // where the data is consistent
    Bytes label;           // backup_label
    Bytes tablespace_map;  // empty: there are no tablespaces
  };
  // Does not wait for archiving.
  [[nodiscard]] End stop();

 private:
  void expect_allowed();

  SqlConnection& sql_;
  int major_;
};

}  // namespace walvault
