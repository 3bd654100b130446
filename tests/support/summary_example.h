// A summary of a segment's WAL that has everything.
#pragma once

#include "catalog/wal/stored_summary.h"
#include "codec/crc32c.h"

namespace walvault {

[[nodiscard]] inline WalSummary example_summary() {
  WalSummary summary;
  summary.begin = {0x3'0000'0000};
  summary.first = {0x3'0000'0128};
  summary.first_previous = {0x2'FFFF'FF00};
  summary.last = {0x3'00FF'FF00};
  summary.end = {0x3'00FF'FFE0};
  summary.records = 123'456;
  summary.switched = true;
  summary.overwritten = {0x2'FFFF'FF80};
  summary.head = {.overwrites = true, .bytes = 200, .left = 7, .crc = 0xDEADBEEF, .first = {1, 2}};
  summary.tail = WalTail{.start = {0x3'00FF'FFE0},
                         .bytes = 32,
                         .length = 9000,
                         .body_crc = 0x12345678,
                         .first = {3, 4, 5}};
  summary.stop =
      WalStop{.reason = WalStopReason::damage, .at = {0x3'00FF'0000}, .text = "what is wrong"};
  summary.commits = 4711;
  summary.aborts = 12;
  const Timestamp time{std::chrono::microseconds(1'790'000'000'000'001)};
  summary.earliest = time - std::chrono::hours(1);
  summary.latest = time;
  summary.first_xid = 4'294'967'290u;
  summary.last_xid = 17;
  const RelationFile file{.tablespace = 1663, .database = 5, .number = 4'000'000'000u};
  const Lsn lsn{0x3'0012'3458};
  summary.restore_points = {{.lsn = lsn, .time = time, .name = "before the migration"}};
  summary.checkpoints = {{.lsn = lsn, .redo = {0x2'0000'0000}, .time = time, .shutdown = true}};
  summary.timeline_changes = {{.lsn = lsn, .from = {3}, .to = {5}, .time = time}};
  summary.database_changes = {{.lsn = lsn, .xid = 9, .database = 16400, .dropped = true}};
  summary.file_changes = {{.lsn = lsn, .xid = 9, .relation = file, .truncated_to = std::nullopt},
                          {.lsn = lsn, .xid = 0, .relation = file, .truncated_to = 0}};
  summary.file_drops = {{.lsn = lsn,
                         .time = time,
                         .xid = 9,
                         .end = TransactionEnd::abort,
                         .files = 70,
                         .relations = {file, file}}};
  summary.row_counts = {{.xid = 9, .relation = file, .inserted = 1, .deleted = 1'000'000}};
  summary.left_out = 3;
  summary.not_understood = 1;
  return summary;
}

// One with everything that version 2 has.
[[nodiscard]] inline StoredSummary example_stored_summary() {
  StoredSummary stored{.summary = example_summary()};
  const Lsn lsn{0x3'0012'3458};
  stored.summary.parameter_changes = {{.lsn = lsn,
                                       .previous = {0x3'0012'3400},
                                       .max_connections = 300,
                                       .max_worker_processes = 8,
                                       .max_wal_senders = 10,
                                       .max_prepared_transactions = 5,
                                       .max_locks_per_transaction = 64,
                                       .wal_level = WalLevel::minimal}};
  stored.summary.tablespace_creations = {{.lsn = lsn, .oid = 16500, .location = "/srv/fast"}};
  stored.summary.restarts_at_end = true;
  stored.origin.before = sha256(as_bytes("the segment before"));
  stored.origin.archiver.emplace().fill(7);
  return stored;
}

// As version 1 has it: what it lacks is given up.
[[nodiscard]] inline Bytes encode_wal_summary_1(WalSummary summary) {
  summary.parameter_changes.clear();
  summary.tablespace_creations.clear();
  summary.knows_changes = true;
  summary.restarts_at_end = false;
  auto stored = encode_wal_summary({summary});
  constexpr std::size_t crc_bytes = 4;
  constexpr std::size_t empty_lists = 2;
  stored.resize(stored.size() - crc_bytes - empty_lists);
  ByteWriter out;
  out.raw(stored);
  out.u32(crc32c(stored));
  return out.take();
}

}  // namespace walvault
