#include "postgres/wal_record.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {

RelationFile read_relation(ByteReader& in) {
  RelationFile relation;
  relation.tablespace = in.u32();
  relation.database = in.u32();
  relation.number = in.u32();
  return relation;
}

namespace {

// access/xlogrecord.h
constexpr std::uint8_t id_data_short = 255;
constexpr std::uint8_t id_data_long = 254;
constexpr std::uint8_t id_origin = 253;
constexpr std::uint8_t id_toplevel_xid = 252;
constexpr std::uint8_t block_id_max = 32;
constexpr std::uint8_t block_fork_mask = 0x0F;
constexpr std::uint8_t block_has_image = 0x10;
constexpr std::uint8_t block_same_relation = 0x80;
constexpr std::uint8_t image_has_hole = 0x01;
constexpr std::uint8_t image_compressed_before_15 = 0x02;
constexpr std::uint8_t image_compressed_from_15 = 0x04 | 0x08 | 0x10;  // pglz, lz4, zstd

// access/xact.h
constexpr std::uint8_t xact_operation_mask = 0x70;
constexpr std::uint8_t xact_commit = 0x00;
constexpr std::uint8_t xact_abort = 0x20;
constexpr std::uint8_t xact_commit_prepared = 0x30;
constexpr std::uint8_t xact_abort_prepared = 0x40;
constexpr std::uint8_t xact_has_info = 0x80;
constexpr std::uint32_t xinfo_database = 1u << 0;
constexpr std::uint32_t xinfo_subtransactions = 1u << 1;
constexpr std::uint32_t xinfo_relations = 1u << 2;
constexpr std::uint32_t xinfo_invalidations = 1u << 3;
constexpr std::uint32_t xinfo_prepared = 1u << 4;
constexpr std::uint32_t xinfo_dropped_statistics = 1u << 8;
constexpr std::size_t invalidation_bytes = 16;
constexpr std::size_t relation_bytes = 12;

Error not_understood(const WalRecord& record, std::string why) {
  return {ErrorKind::corrupt,
          "the record at " + record.start.text() + " is not built as its header says",
          std::move(why)};
}

// A list's length; as many of them as are kept when the record was cut.
std::size_t list_length(ByteReader& in, std::size_t bytes_each, bool cut) {
  if (cut && in.left() < sizeof(std::uint32_t)) return 0;
  const auto length = in.u32();
  const auto most = in.left() / bytes_each;
  if (length > most && !cut) {
    throw Error(ErrorKind::corrupt, "a list in a transaction's record is longer than the record");
  }
  return std::min<std::size_t>(length, most);
}

std::optional<TransactionEnd> end_of_transaction(ResourceManager manager, std::uint8_t info) {
  if (manager != ResourceManager::transaction) return std::nullopt;
  switch (info & xact_operation_mask) {
    case xact_commit:
    case xact_commit_prepared: return TransactionEnd::commit;
    case xact_abort:
    case xact_abort_prepared: return TransactionEnd::abort;
    default: return std::nullopt;
  }
}

// A block's header behind its id; `before` is the relation of the block before.
void read_block_reference(ByteReader& in, int postgres_major, const RelationFile* before,
                          BlockReference& block) {
  const auto flags = in.u8();
  block.fork = flags & block_fork_mask;
  block.data_bytes = in.u16();
  if ((flags & block_has_image) != 0) {
    block.image_bytes = in.u16();
    block.hole_offset = in.u16();
    const auto image = in.u8();
    block.image_compressed = (image & (postgres_major < 15 ? image_compressed_before_15
                                                           : image_compressed_from_15)) != 0;
    // The hole of an image that is not compressed follows from its length.
    if ((image & image_has_hole) != 0 && block.image_compressed) block.hole_bytes = in.u16();
  }
  if ((flags & block_same_relation) == 0) {
    block.relation = read_relation(in);
  } else if (before != nullptr) {
    block.relation = *before;
  } else {
    throw Error(ErrorKind::corrupt, "a record's first block is said to be of the same relation");
  }
  block.block = in.u32();
}

}  // namespace

Timestamp from_postgres_time(std::int64_t microseconds) {
  constexpr std::int64_t epoch = 946'684'800'000'000;  // 2000-01-01
  // Modulo 2^64, so that no foreign value overflows.
  return Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(
      static_cast<std::uint64_t>(microseconds) + static_cast<std::uint64_t>(epoch))));
}

void parse_wal_record(const WalRecord& record, int postgres_major, WalRecordParts& parts) {
  ByteReader in(record.bytes, "a WAL record");
  (void)in.raw(wal_record_header_bytes);
  parts.block_count = 0;
  parts.main = {};
  std::uint64_t left = record.length - wal_record_header_bytes;  // behind the headers read so far
  std::uint64_t data = 0;                                        // that they announce
  std::uint32_t main_bytes = 0;
  const RelationFile* relation = nullptr;
  while (left > data) {
    const auto before = in.position();
    const auto id = in.u8();
    bool last = false;
    if (id == id_data_short || id == id_data_long) {
      main_bytes = id == id_data_short ? in.u8() : in.u32();
      data += main_bytes;
      last = true;
    } else if (id == id_origin) {
      (void)in.u16();
    } else if (id == id_toplevel_xid) {
      (void)in.u32();
    } else if (id <= block_id_max && parts.block_count < WalRecordParts::blocks_max) {
      auto& block = parts.blocks.at(parts.block_count++);
      block = {};
      block.id = id;
      read_block_reference(in, postgres_major, relation, block);
      data += block.data_bytes + std::uint64_t{block.image_bytes.value_or(0)};
      relation = &block.relation;
    } else {
      throw not_understood(record, "It has a part number " + std::to_string(id) + ".");
    }
    const auto header = in.position() - before;
    if (header > left) throw not_understood(record, "Its headers are longer than it is.");
    left -= header;
    if (last) break;
  }
  if (left != data) {
    throw not_understood(record, "Its parts come to " + std::to_string(data) + " bytes, not " +
                                     std::to_string(left) + ".");
  }
  const std::size_t main_offset = record.length - main_bytes;
  if (main_offset < record.bytes.size()) parts.main = record.bytes.subspan(main_offset);
}

std::optional<RelationFile> first_relation(const WalRecord& record, int postgres_major) {
  // Block references come before everything else.
  ByteReader in(record.bytes, "a WAL record");
  (void)in.raw(wal_record_header_bytes);
  if (in.left() == 0 || in.u8() > block_id_max) return std::nullopt;
  BlockReference block;
  read_block_reference(in, postgres_major, nullptr, block);
  return block.relation;
}

bool ends_transaction(const WalRecord& record) {
  return end_of_transaction(record.manager, record.info).has_value();
}

std::optional<TransactionRecord> transaction_record(const WalRecord& record, ByteView main,
                                                    int postgres_major) {
  const auto end = end_of_transaction(record.manager, record.info);
  if (!end) return std::nullopt;
  const auto operation = record.info & xact_operation_mask;
  TransactionRecord result;
  result.end = *end;
  result.prepared = operation == xact_commit_prepared || operation == xact_abort_prepared;
  result.xid = record.xid;
  const bool cut = record.bytes.size() < record.length;
  ByteReader in(main, "the record of a transaction's end");
  result.time = from_postgres_time(in.i64());
  const auto info = (record.info & xact_has_info) != 0 ? in.u32() : 0;
  if ((info & xinfo_database) != 0) (void)in.raw(8);
  if ((info & xinfo_subtransactions) != 0) {
    result.subtransactions.resize(list_length(in, sizeof(std::uint32_t), cut));
    for (auto& xid : result.subtransactions) xid = in.u32();
  }
  if ((info & xinfo_relations) != 0) {
    result.dropped.resize(list_length(in, relation_bytes, cut));
    for (auto& relation : result.dropped) relation = read_relation(in);
  }
  if (!result.prepared) return result;
  // Behind further lists stands whose it is.
  if (postgres_major >= 15 && (info & xinfo_dropped_statistics) != 0) {
    const std::size_t bytes = postgres_major >= 18 ? 16 : 12;
    (void)in.raw(list_length(in, bytes, cut) * bytes);
  }
  if (result.end == TransactionEnd::commit && (info & xinfo_invalidations) != 0) {
    (void)in.raw(list_length(in, invalidation_bytes, cut) * invalidation_bytes);
  }
  if ((info & xinfo_prepared) != 0 && (!cut || in.left() >= sizeof(std::uint32_t))) {
    result.xid = in.u32();
  }
  return result;
}

std::optional<TransactionGlimpse> transaction_glimpse(ByteView record) {
  constexpr std::size_t info_offset = 16;
  if (record.size() < wal_record_header_bytes) return std::nullopt;
  const auto end = end_of_transaction(static_cast<ResourceManager>(record[info_offset + 1]),
                                      record[info_offset]);
  if (!end) return std::nullopt;
  TransactionGlimpse result;
  result.end = *end;
  ByteReader in(record, "the record of a transaction's end");
  (void)in.u32();
  result.xid = in.u32();
  (void)in.raw(wal_record_header_bytes - in.position());
  // Before the data there may be an origin and a top-level xid.
  while (in.left() >= sizeof(std::uint32_t) + 1) {
    switch (in.u8()) {
      case id_origin: (void)in.u16(); continue;
      case id_toplevel_xid: (void)in.u32(); continue;
      case id_data_short: (void)in.u8(); break;
      case id_data_long: (void)in.u32(); break;
      default: return std::nullopt;
    }
    if (in.left() < sizeof(std::int64_t)) return std::nullopt;
    result.time = from_postgres_time(in.i64());
    return result;
  }
  return std::nullopt;
}

namespace {

constexpr std::size_t previous_offset = 8;
constexpr std::size_t info_offset = 16;
constexpr std::size_t manager_offset = 17;

// The data of a record that names no block, which then stands behind its header alone; nullopt:
// it is of another kind, or not whole.
std::optional<ByteReader> data_of(ByteView record, ResourceManager manager, std::uint8_t info) {
  constexpr std::uint8_t info_mask = 0xF0;
  if (record.size() <= wal_record_header_bytes ||
      static_cast<ResourceManager>(record[manager_offset]) != manager ||
      (record[info_offset] & info_mask) != info) {
    return std::nullopt;
  }
  ByteReader in(record.subspan(wal_record_header_bytes), "a record without blocks");
  const auto id = in.u8();
  const bool is_long = id == id_data_long;
  if ((!is_long && id != id_data_short) || in.left() < (is_long ? 4u : 1u)) return std::nullopt;
  const std::uint32_t length = is_long ? in.u32() : in.u8();
  if (length > in.left()) return std::nullopt;
  return ByteReader(in.raw(length), "the data of a record");
}

}  // namespace

std::optional<RestorePoint> restore_point_in(ByteView record, Lsn lsn) {
  constexpr std::uint8_t xlog_restore_point = 0x70;
  constexpr std::size_t name_bytes = 64;
  auto in = data_of(record, ResourceManager::xlog, xlog_restore_point);
  if (!in || in->left() < sizeof(std::int64_t) + name_bytes) return std::nullopt;
  RestorePoint point{.lsn = lsn, .time = from_postgres_time(in->i64()), .name = {}};
  const auto name = as_text(in->raw(name_bytes));
  point.name = name.substr(0, name.find('\0'));
  return point;
}

std::optional<ParameterChange> parameter_change_in(ByteView record, Lsn lsn) {
  constexpr std::uint8_t xlog_parameter_change = 0x60;
  constexpr std::size_t numbers = 6;
  auto in = data_of(record, ResourceManager::xlog, xlog_parameter_change);
  if (!in || in->left() < numbers * sizeof(std::uint32_t)) return std::nullopt;
  ByteReader header(record.subspan(previous_offset), "a record's header");
  ParameterChange change{.lsn = lsn, .previous = {header.u64()}};
  change.max_connections = in->u32();
  change.max_worker_processes = in->u32();
  change.max_wal_senders = in->u32();
  change.max_prepared_transactions = in->u32();
  change.max_locks_per_transaction = in->u32();
  const auto level = in->u32();
  if (level > static_cast<std::uint32_t>(WalLevel::logical)) return std::nullopt;
  change.wal_level = static_cast<WalLevel>(level);
  return change;
}

std::optional<TablespaceCreation> tablespace_creation_in(ByteView record, Lsn lsn) {
  constexpr std::uint8_t tblspc_create = 0x00;
  auto in = data_of(record, ResourceManager::tablespace, tblspc_create);
  if (!in || in->left() <= sizeof(std::uint32_t)) return std::nullopt;
  TablespaceCreation creation{.lsn = lsn, .oid = in->u32(), .location = {}};
  const auto location = as_text(in->raw(in->left()));
  creation.location = location.substr(0, location.find('\0'));
  return creation;
}

}  // namespace walvault
