// The libpq implementation of a replication connection.
#pragma once

#include <libpq-fe.h>

#include "postgres/client/replication_connection.h"

namespace walvault {

class PqConnection final : public ReplicationConnection {
 public:
  explicit PqConnection(ConnectOptions options);

  [[nodiscard]] SystemIdentity identify_system() override;
  [[nodiscard]] std::optional<std::string> show(const std::string& setting) override;
  [[nodiscard]] Bytes timeline_history(TimelineId timeline) override;
  [[nodiscard]] WalPosition base_backup(const BaseBackupOptions& options,
                                        const BaseBackupEvents& events) override;
  void create_temporary_slot(const std::string& name) override;
  void stream_wal(WalPosition start, const std::string& slot,
                  const WalStreamEvents& events) override;
  [[nodiscard]] int server_version() override;
  [[nodiscard]] bool is_local() override;

 private:
  using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

  void connect();
  void send(const std::string& command);
  [[nodiscard]] Result next_result();
  [[nodiscard]] Result next_result(std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] Result check_rows(Result result, const char* what, int columns_min);
  [[nodiscard]] Result expect_rows(const char* what, int columns_min);
  void expect_end();
  // One COPY OUT, to its end.
  void receive_copy(const std::function<void(ByteView)>& data);
  [[nodiscard]] WalPosition receive_copies(const std::vector<Tablespace>& tablespaces,
                                           const BaseBackupEvents& events);
  [[nodiscard]] WalPosition receive_messages(const std::vector<Tablespace>& tablespaces,
                                             const BaseBackupEvents& events);
  void send_status(Lsn received, Lsn durable);
  void wait_for_socket(short poll_events, std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] std::chrono::steady_clock::time_point stall_deadline() const;
  [[nodiscard]] Error failure(const std::string& action, const PGresult* result) const;

  ConnectOptions options_;
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_{nullptr, &PQfinish};
};

}  // namespace walvault
