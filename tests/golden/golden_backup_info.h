// A backup whose head is kept as golden bytes.
#pragma once

#include <chrono>

#include "catalog/records/backup_info.h"
#include "support/golden_files.h"

namespace walvault {

// Every field has a value of its own, so that two that changed places show.
[[nodiscard]] inline BackupInfo golden_backup_info() {
  BackupInfo info;
  info.id = "20260921T141320Z-3f9a";
  info.cluster = "main";
  info.identity_number = 2;
  info.label = "nightly";
  info.timeline = {3};
  info.start = {0x2'0300'0028};
  info.stop = {0x2'0400'0130};
  info.start_time = at(10, 11);
  info.stop_time = at(20, 21);
  info.server_version = 170'006;
  info.from_standby = true;
  info.host = "db1";
  info.data_directory = "/var/lib/postgresql/17/main";
  info.writer_version = "0.1.0";
  info.parent_id = "20260920T141320Z-77aa";
  info.sequence = 5;
  auto& control = info.control;
  control.system_identifier = 7'432'101'234'567'890'123u;
  control.control_version = 1700;
  control.catalog_version = 202'406'281;
  control.checkpoint = {0x2'0300'0098};
  control.redo = {0x2'0300'0060};
  control.timeline = {4};
  control.next_full_xid = 0x1'0000'02E5;
  control.max_connections = 100;
  control.max_worker_processes = 8;
  control.max_wal_senders = 10;
  control.max_prepared_transactions = 6;
  control.max_locks_per_transaction = 64;
  control.block_bytes = 8192;
  control.relation_segment_blocks = 131'072;
  control.wal_block_bytes = 4096;
  control.wal_segment_bytes = 16u << 20;
  control.data_checksum_version = 1;
  info.files = 976;
  info.size_bytes = 23'456'789;
  info.zero_bytes = 1'048'576;
  info.new_bytes = 345'678;
  info.stored_bytes = 123'456;
  info.duration = std::chrono::milliseconds(9876);
  return info;
}

}  // namespace walvault
