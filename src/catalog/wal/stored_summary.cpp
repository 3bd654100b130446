#include "catalog/wal/stored_summary.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "codec/crc32c.h"

namespace walvault {
namespace {

// Flags of the first byte.
constexpr std::uint8_t flag_switched = 1;
constexpr std::uint8_t flag_head_overwrites = 2;
constexpr std::uint8_t flag_tail = 4;
constexpr std::uint8_t flag_stop = 8;
constexpr std::uint8_t known_flags_1 = 15;
// From version 2 on.
constexpr std::uint8_t flag_before = 16;
constexpr std::uint8_t flag_archiver = 32;
constexpr std::uint8_t flag_changes_not_known = 64;
constexpr std::uint8_t flag_restarts_at_end = 128;

// Positions are stored as distances from `base`, either way, as varints.
class SummaryWriter {
 public:
  explicit SummaryWriter(Lsn base) : base_(base) {}

  ByteWriter& out() { return out_; }
  void lsn(Lsn lsn) { signed_varint(static_cast<std::int64_t>(lsn.value - base_.value)); }
  void time(Timestamp time) { out_.time(time); }
  void relation(const RelationFile& relation) {
    out_.varint(relation.tablespace);
    out_.varint(relation.database);
    out_.varint(relation.number);
  }
  template <typename List, typename Each>
  void list(const List& list, Each&& each) {
    out_.varint(list.size());
    for (const auto& entry : list) each(entry);
  }

 private:
  void signed_varint(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    out_.varint(bits << 1 ^ (value < 0 ? ~std::uint64_t{0} : 0));
  }

  ByteWriter out_;
  Lsn base_;
};

class SummaryReader {
 public:
  SummaryReader(ByteReader& in, Lsn base) : in_(in), base_(base) {}

  ByteReader& in() { return in_; }
  Lsn lsn() {
    const auto bits = in_.varint();
    return {base_.value + (bits >> 1 ^ ((bits & 1) != 0 ? ~std::uint64_t{0} : 0))};
  }
  Timestamp time() { return in_.time(); }
  std::uint32_t number() { return static_cast<std::uint32_t>(in_.varint()); }
  RelationFile relation() {
    RelationFile relation;
    relation.tablespace = number();
    relation.database = number();
    relation.number = number();
    return relation;
  }
  template <typename Entry, typename Each>
  void list(std::vector<Entry>& list, std::size_t bytes_each, Each&& each) {
    list.resize(in_.count(bytes_each));
    for (auto& entry : list) each(entry);
  }

 private:
  ByteReader& in_;
  Lsn base_;
};

template <typename Enum>
Enum enum_from_disk(std::uint8_t value, Enum last, std::string_view key) {
  if (value > static_cast<std::uint8_t>(last)) {
    throw Error(ErrorKind::corrupt, "the summary of " + std::string(key) + " is damaged",
                "It holds a number that means nothing.");
  }
  return static_cast<Enum>(value);
}

void write_parts(SummaryWriter& writer, const WalSummary& summary) {
  auto& out = writer.out();
  out.varint(summary.head.bytes);
  out.varint(summary.head.left);
  out.u32(summary.head.crc);
  out.string(as_text(summary.head.first));
  if (summary.tail) {
    writer.lsn(summary.tail->start);
    out.varint(summary.tail->bytes);
    out.varint(summary.tail->length);
    out.u32(summary.tail->body_crc);
    out.string(as_text(summary.tail->first));
  }
  if (summary.stop) {
    out.u8(static_cast<std::uint8_t>(summary.stop->reason));
    writer.lsn(summary.stop->at);
    out.string(summary.stop->text);
  }
}

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

void read_parts(SummaryReader& reader, std::uint8_t flags, std::string_view key,
                WalSummary& summary) {
  auto& in = reader.in();
  summary.head.overwrites = (flags & flag_head_overwrites) != 0;
  summary.head.bytes = in.varint();
  summary.head.left = in.varint();
  summary.head.crc = in.u32();
  summary.head.first = bytes_of(in.string(wal_part_kept_max));
  if ((flags & flag_tail) != 0) {
    auto& tail = summary.tail.emplace();
    tail.start = reader.lsn();
    tail.bytes = in.varint();
    tail.length = reader.number();
    tail.body_crc = in.u32();
    tail.first = bytes_of(in.string(wal_part_kept_max));
  }
  if ((flags & flag_stop) != 0) {
    auto& stop = summary.stop.emplace();
    stop.reason = enum_from_disk(in.u8(), WalStopReason::damage, key);
    stop.at = reader.lsn();
    stop.text = in.string(1024);
  }
}

void write_lists(SummaryWriter& writer, const WalSummary& summary) {
  auto& out = writer.out();
  writer.list(summary.restore_points, [&](const RestorePoint& point) {
    writer.lsn(point.lsn);
    writer.time(point.time);
    out.string(point.name);
  });
  writer.list(summary.checkpoints, [&](const Checkpoint& checkpoint) {
    writer.lsn(checkpoint.lsn);
    writer.lsn(checkpoint.redo);
    writer.time(checkpoint.time);
    out.u8(checkpoint.shutdown ? 1 : 0);
  });
  writer.list(summary.timeline_changes, [&](const TimelineChange& change) {
    writer.lsn(change.lsn);
    out.u32(change.from.value);
    out.u32(change.to.value);
    writer.time(change.time);
  });
  writer.list(summary.database_changes, [&](const DatabaseChange& change) {
    writer.lsn(change.lsn);
    out.varint(change.xid);
    out.varint(change.database);
    out.u8(change.dropped ? 1 : 0);
  });
  writer.list(summary.file_changes, [&](const FileChange& change) {
    writer.lsn(change.lsn);
    out.varint(change.xid);
    writer.relation(change.relation);
    // 0: made; else the length and one.
    out.varint(change.truncated_to ? std::uint64_t{*change.truncated_to} + 1 : 0);
  });
  writer.list(summary.file_drops, [&](const FileDrop& drop) {
    writer.lsn(drop.lsn);
    writer.time(drop.time);
    out.varint(drop.xid);
    out.u8(static_cast<std::uint8_t>(drop.end));
    out.varint(drop.files);
    writer.list(drop.relations, [&](const RelationFile& file) { writer.relation(file); });
  });
  writer.list(summary.row_counts, [&](const RowCount& count) {
    out.varint(count.xid);
    writer.relation(count.relation);
    out.varint(count.inserted);
    out.varint(count.deleted);
  });
}

void read_lists(SummaryReader& reader, std::string_view key, WalSummary& summary) {
  auto& in = reader.in();
  reader.list(summary.restore_points, 10, [&](RestorePoint& point) {
    point.lsn = reader.lsn();
    point.time = reader.time();
    point.name = in.string();
  });
  reader.list(summary.checkpoints, 11, [&](Checkpoint& checkpoint) {
    checkpoint.lsn = reader.lsn();
    checkpoint.redo = reader.lsn();
    checkpoint.time = reader.time();
    checkpoint.shutdown = in.u8() != 0;
  });
  reader.list(summary.timeline_changes, 17, [&](TimelineChange& change) {
    change.lsn = reader.lsn();
    change.from = {in.u32()};
    change.to = {in.u32()};
    change.time = reader.time();
  });
  reader.list(summary.database_changes, 4, [&](DatabaseChange& change) {
    change.lsn = reader.lsn();
    change.xid = reader.number();
    change.database = reader.number();
    change.dropped = in.u8() != 0;
  });
  reader.list(summary.file_changes, 6, [&](FileChange& change) {
    change.lsn = reader.lsn();
    change.xid = reader.number();
    change.relation = reader.relation();
    const auto length = in.varint();
    if (length > 0) change.truncated_to = static_cast<std::uint32_t>(length - 1);
  });
  reader.list(summary.file_drops, 13, [&](FileDrop& drop) {
    drop.lsn = reader.lsn();
    drop.time = reader.time();
    drop.xid = reader.number();
    drop.end = enum_from_disk(in.u8(), TransactionEnd::abort, key);
    drop.files = reader.number();
    reader.list(drop.relations, 3, [&](RelationFile& file) { file = reader.relation(); });
  });
  reader.list(summary.row_counts, 6, [&](RowCount& count) {
    count.xid = reader.number();
    count.relation = reader.relation();
    count.inserted = in.varint();
    count.deleted = in.varint();
  });
}

// What version 2 adds.
void write_changes(SummaryWriter& writer, const StoredSummary& stored) {
  auto& out = writer.out();
  writer.list(stored.summary.parameter_changes, [&](const ParameterChange& change) {
    writer.lsn(change.lsn);
    writer.lsn(change.previous);
    out.varint(change.max_connections);
    out.varint(change.max_worker_processes);
    out.varint(change.max_wal_senders);
    out.varint(change.max_prepared_transactions);
    out.varint(change.max_locks_per_transaction);
    out.u8(static_cast<std::uint8_t>(change.wal_level));
  });
  writer.list(stored.summary.tablespace_creations, [&](const TablespaceCreation& creation) {
    writer.lsn(creation.lsn);
    out.varint(creation.oid);
    out.string(creation.location);
  });
  if (stored.origin.before) out.raw(stored.origin.before->view());
  if (stored.origin.archiver) out.raw(*stored.origin.archiver);
}

void read_changes(SummaryReader& reader, std::uint8_t flags, std::string_view key,
                  StoredSummary& stored) {
  auto& in = reader.in();
  reader.list(stored.summary.parameter_changes, 8, [&](ParameterChange& change) {
    change.lsn = reader.lsn();
    change.previous = reader.lsn();
    change.max_connections = reader.number();
    change.max_worker_processes = reader.number();
    change.max_wal_senders = reader.number();
    change.max_prepared_transactions = reader.number();
    change.max_locks_per_transaction = reader.number();
    change.wal_level = enum_from_disk(in.u8(), WalLevel::logical, key);
  });
  reader.list(stored.summary.tablespace_creations, 3, [&](TablespaceCreation& creation) {
    creation.lsn = reader.lsn();
    creation.oid = reader.number();
    creation.location = in.string();
  });
  if ((flags & flag_before) != 0) stored.origin.before = Digest::read(in);
  if ((flags & flag_archiver) != 0) {
    std::ranges::copy(in.raw(sizeof(RandomId)), stored.origin.archiver.emplace().begin());
  }
}

std::uint8_t flags_of(const StoredSummary& stored) {
  const auto& summary = stored.summary;
  std::uint8_t flags = 0;
  const auto set = [&](bool is_set, std::uint8_t flag) {
    if (is_set) flags = static_cast<std::uint8_t>(flags | flag);
  };
  set(summary.switched, flag_switched);
  set(summary.head.overwrites, flag_head_overwrites);
  set(summary.tail.has_value(), flag_tail);
  set(summary.stop.has_value(), flag_stop);
  set(stored.origin.before.has_value(), flag_before);
  set(stored.origin.archiver.has_value(), flag_archiver);
  set(!summary.knows_changes, flag_changes_not_known);
  set(summary.restarts_at_end, flag_restarts_at_end);
  return flags;
}

}  // namespace

Bytes encode_wal_summary(const StoredSummary& stored) {
  const auto& summary = stored.summary;
  SummaryWriter writer(summary.begin);
  auto& out = writer.out();
  out.u8(flags_of(stored));
  out.u64(summary.begin.value);
  for (const auto lsn :
       {summary.first, summary.first_previous, summary.last, summary.end, summary.overwritten}) {
    writer.lsn(lsn);
  }
  out.varint(summary.records);
  write_parts(writer, summary);

  out.varint(summary.commits);
  out.varint(summary.aborts);
  writer.time(summary.earliest);
  writer.time(summary.latest);
  out.u32(summary.first_xid);
  out.u32(summary.last_xid);

  write_lists(writer, summary);
  out.varint(summary.left_out);
  out.varint(summary.not_understood);
  write_changes(writer, stored);
  out.u32(crc32c(out.bytes()));
  return out.take();
}

StoredSummary decode_wal_summary(ByteView stored, std::string_view key, std::uint32_t version) {
  const auto what = "the summary of " + std::string(key);
  constexpr std::size_t crc_bytes = 4;
  if (stored.size() < crc_bytes || stored.size() > wal_summary_bytes_max) {
    throw Error(ErrorKind::corrupt, what + " is damaged",
                "It has " + std::to_string(stored.size()) + " bytes.");
  }
  const auto body = stored.first(stored.size() - crc_bytes);
  ByteReader checksum(stored.last(crc_bytes), what);
  if (checksum.u32() != crc32c(body)) {
    throw Error(ErrorKind::corrupt, what + " is damaged", "Its checksum does not fit.");
  }
  ByteReader in(body, what);
  const auto flags = in.u8();
  const bool has_changes = version > wal_summary_version_min;
  if (!has_changes && (flags & ~known_flags_1) != 0) {
    throw Error(ErrorKind::corrupt, what + " is damaged", "Its flags are not known.");
  }
  StoredSummary result;
  auto& summary = result.summary;
  summary.switched = (flags & flag_switched) != 0;
  summary.begin = {in.u64()};
  SummaryReader reader(in, summary.begin);
  for (auto* lsn : {&summary.first, &summary.first_previous, &summary.last, &summary.end,
                    &summary.overwritten}) {
    *lsn = reader.lsn();
  }
  summary.records = in.varint();
  read_parts(reader, flags, key, summary);

  summary.commits = in.varint();
  summary.aborts = in.varint();
  summary.earliest = reader.time();
  summary.latest = reader.time();
  summary.first_xid = in.u32();
  summary.last_xid = in.u32();

  read_lists(reader, key, summary);
  summary.left_out = in.varint();
  summary.not_understood = in.varint();
  if (has_changes) read_changes(reader, flags, key, result);
  summary.knows_changes = has_changes && (flags & flag_changes_not_known) == 0;
  summary.restarts_at_end =
      has_changes ? (flags & flag_restarts_at_end) != 0 : has_restart_at_end(summary);
  in.expect_end();
  return result;
}

}  // namespace walvault
