// What the records say of which recovery and the search for a mistake need to
// know. Pure; every function throws Error{corrupt} for a record that is not
// built as its header says.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "postgres/wal_reader.h"

namespace walvault {

// The files of one relation (storage/relfilelocator.h).
struct RelationFile {
  std::uint32_t tablespace = 0;
  std::uint32_t database = 0;
  std::uint32_t number = 0;

  auto operator<=>(const RelationFile&) const = default;
};

[[nodiscard]] RelationFile read_relation(ByteReader& in);

// A page that a record changes.
struct BlockReference {
  std::uint8_t id = 0;
  std::uint8_t fork = 0;
  RelationFile relation;
  std::uint32_t block = 0;
  std::uint16_t data_bytes = 0;
  // Of a full-page image, as stored; nullopt: it has none.
  std::optional<std::uint16_t> image_bytes;
  std::uint16_t hole_offset = 0;
  std::uint16_t hole_bytes = 0;  // of a compressed image; else what it lacks to a page
  bool image_compressed = false;
};

// The parts of a record (access/xlogrecord.h).
struct WalRecordParts {
  static constexpr std::size_t blocks_max = 33;  // XLR_MAX_BLOCK_ID + 1

  std::array<BlockReference, blocks_max> blocks;
  std::size_t block_count = 0;
  // The data of the resource manager; of a record that was not kept whole, what
  // is kept of it.
  ByteView main;
};

// Reads a record's parts.
void parse_wal_record(const WalRecord& record, int postgres_major, WalRecordParts& parts);

enum class TransactionEnd : std::uint8_t { commit = 0, abort = 1 };

// A commit or an abort, of a prepared transaction too.
struct TransactionRecord {
  TransactionEnd end = TransactionEnd::commit;
  bool prepared = false;
  Timestamp time;
  std::uint32_t xid = 0;  // of the transaction itself
  std::vector<std::uint32_t> subtransactions;
  std::vector<RelationFile> dropped;  // whose files go with it
};

// Whether it does, by its header alone.
[[nodiscard]] bool ends_transaction(const WalRecord& record);

// nullopt: the record ends no transaction. The lists of a record that was not
// kept whole are cut.
[[nodiscard]] std::optional<TransactionRecord> transaction_record(const WalRecord& record,
                                                                  ByteView main,
                                                                  int postgres_major);

// The time of a transaction's end alone, and whose it is where that is no
// prepared one, from the first bytes of its record; nullopt: it ends none, or
// the bytes are too few.
struct TransactionGlimpse {
  TransactionEnd end = TransactionEnd::commit;
  Timestamp time;
  std::uint32_t xid = 0;
};
[[nodiscard]] std::optional<TransactionGlimpse> transaction_glimpse(ByteView record);

// The relation of a record's first block, without reading the rest; nullopt: it
// names none.
[[nodiscard]] std::optional<RelationFile> first_relation(const WalRecord& record,
                                                         int postgres_major);

struct RestorePoint {
  Lsn lsn;
  Timestamp time;
  std::string name;

  bool operator==(const RestorePoint&) const = default;
};

// The restore point that a record makes, from its bytes; nullopt: it is none,
// or not whole.
[[nodiscard]] std::optional<RestorePoint> restore_point_in(ByteView record, Lsn lsn);

// How much a server writes into its WAL (access/xlog.h).
enum class WalLevel : std::uint8_t { minimal = 0, replica = 1, logical = 2 };

// The settings of a server that the recovery of its WAL depends on (xl_parameter_change): it
// writes them when it starts with others than before. Replay goes on only where the server
// that recovers has numbers no smaller, and never past a level of minimal.
struct ParameterChange {
  Lsn lsn;
  Lsn previous;  // the record before it
  std::uint32_t max_connections = 0;
  std::uint32_t max_worker_processes = 0;
  std::uint32_t max_wal_senders = 0;
  std::uint32_t max_prepared_transactions = 0;
  std::uint32_t max_locks_per_transaction = 0;
  WalLevel wal_level = WalLevel::replica;

  bool operator==(const ParameterChange&) const = default;
};

// A tablespace that was made: replay makes the link to the same place, on whatever machine.
struct TablespaceCreation {
  Lsn lsn;
  std::uint32_t oid = 0;
  std::string location;

  bool operator==(const TablespaceCreation&) const = default;
};

// What a record of that kind says, from its bytes; nullopt: it is none, or not whole.
[[nodiscard]] std::optional<ParameterChange> parameter_change_in(ByteView record, Lsn lsn);
[[nodiscard]] std::optional<TablespaceCreation> tablespace_creation_in(ByteView record, Lsn lsn);

// PostgreSQL's microseconds since 2000.
[[nodiscard]] Timestamp from_postgres_time(std::int64_t microseconds);

}  // namespace walvault
