// The libpq implementation of a replication connection.
#pragma once

#include "postgres/client/pq_session.h"
#include "postgres/client/replication_connection.h"

namespace walvault {

class PqConnection final : public ReplicationConnection, private PqSession {
 public:
  explicit PqConnection(ConnectOptions options)
      : PqSession(std::move(options), SessionMode::replication) {}

  [[nodiscard]] SystemIdentity identify_system() override;
  [[nodiscard]] std::optional<std::string> show(const std::string& setting) override;
  [[nodiscard]] Bytes timeline_history(TimelineId timeline) override;
  void upload_manifest(const std::function<void(const Sink&)>& write) override;
  [[nodiscard]] BaseBackupEnd base_backup(const BaseBackupOptions& options,
                                          const BaseBackupEvents& events) override;
  [[nodiscard]] bool create_temporary_slot(const std::string& name, SlotWal wal) override;
  void stream_wal(WalPosition start, const std::string& slot,
                  const WalStreamEvents& events) override;
  [[nodiscard]] int server_version() override;
  [[nodiscard]] bool is_local() override;

 private:
  // Past the results of a command that failed.
  void skip_results();
  // One COPY OUT that has begun, to its end; returns what follows it.
  [[nodiscard]] Result receive_copy(Result begun, const std::function<void(ByteView)>& data);
  [[nodiscard]] WalPosition receive_copies(const std::vector<Tablespace>& tablespaces,
                                           const BaseBackupEvents& events);
  [[nodiscard]] WalPosition receive_messages(const std::vector<Tablespace>& tablespaces,
                                             const BaseBackupEvents& events);
  void send_status(Lsn received, Lsn durable);
};

}  // namespace walvault
