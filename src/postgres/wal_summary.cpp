#include "postgres/wal_summary.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace walvault {
namespace {

constexpr std::uint8_t info_mask = 0xF0;

// catalog/pg_control.h
constexpr std::uint8_t xlog_checkpoint_shutdown = 0x00;
constexpr std::uint8_t xlog_checkpoint_online = 0x10;
constexpr std::uint8_t xlog_switch = 0x40;
constexpr std::uint8_t xlog_parameter_change = 0x60;
constexpr std::uint8_t xlog_restore_point = 0x70;
constexpr std::uint8_t xlog_end_of_recovery = 0x90;
constexpr std::uint8_t xlog_overwrite_contrecord = 0xD0;
constexpr std::size_t checkpoint_time_offset = 64;

// catalog/storage_xlog.h, access/heapam_xlog.h
constexpr std::uint8_t storage_create = 0x10;
constexpr std::uint8_t storage_truncate = 0x20;
constexpr std::uint8_t heap_operation_mask = 0x70;
constexpr std::uint8_t heap_insert = 0x00;
constexpr std::uint8_t heap_delete = 0x10;
constexpr std::uint8_t heap2_multi_insert = 0x50;

constexpr std::uint32_t main_fork = 0;
// Below it lie the file numbers that initdb gave out: system catalogs.
constexpr std::uint32_t first_user_number = 16384;
// Of pg_class, unless it was rewritten.
constexpr std::uint32_t pg_class_number = 1259;
// Of all file drops together.
constexpr std::size_t dropped_relations_max = 1024;
// Transactions and relations whose rows are counted at a time.
constexpr std::size_t counted_rows_max = 65536;

Timestamp from_unix_seconds(std::int64_t seconds) {
  // No foreign value may overflow.
  constexpr std::int64_t most = 1'000'000'000'000;
  return Timestamp(std::chrono::seconds(std::clamp(seconds, -most, most)));
}

// Of two transaction ids the one that was given out first, as PostgreSQL
// compares them.
bool is_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

std::size_t WalSummarizer::RowKeyHash::operator()(const RowKey& key) const {
  const std::uint64_t mixed = (std::uint64_t{key.xid} << 32 | key.relation.number) ^
                              (std::uint64_t{key.relation.database} * 0x9E37'79B9'7F4A'7C15u) ^
                              key.relation.tablespace;
  return mixed * 0xBF58'476D'1CE4'E5B9u >> 16;
}

WalSummarizer::WalSummarizer(const WalSegmentHeader& first, Lsn start, TimelineId timeline,
                             const SummaryLimits& limits)
    : postgres_major_(postgres_major_of_magic(first.page.magic).value_or(postgres_major_max)),
      limits_(limits),
      reader_(first, start, timeline) {
  summary_.begin = start;
}

void WalSummarizer::read(ByteView pages) {
  reader_.read(pages, [this](const WalRecord& record) {
    is_cut_ |= limits_.before != Lsn{} && record.start >= limits_.before;
    if (is_cut_) return;
    if (summary_.records == 0) {
      summary_.first = record.start;
      summary_.first_previous = record.previous;
    }
    ++summary_.records;
    summary_.last = record.start;
    summary_.switched = false;
    try {
      add(record);
    } catch (const Error&) {
      // Its checksum fits, so these are the bytes that the server wrote.
      ++summary_.not_understood;
    }
  });
}

void WalSummarizer::add(const WalRecord& record) {
  switch (record.manager) {
    case ResourceManager::xlog: return add_xlog(record);
    case ResourceManager::transaction: return add_transaction(record);
    case ResourceManager::storage: return add_storage(record);
    case ResourceManager::database: return add_database(record);
    case ResourceManager::tablespace: return add_tablespace(record);
    case ResourceManager::heap:
    case ResourceManager::heap2: return add_heap(record);
  }
}

void WalSummarizer::add_xlog(const WalRecord& record) {
  const auto info = record.info & info_mask;
  if (info == xlog_switch) {
    summary_.switched = true;
    return;
  }
  if (info != xlog_checkpoint_shutdown && info != xlog_checkpoint_online &&
      info != xlog_restore_point && info != xlog_end_of_recovery && info != xlog_parameter_change &&
      info != xlog_overwrite_contrecord) {
    return;
  }
  if (info == xlog_restore_point) {
    if (auto point = restore_point_in(record.bytes, record.start)) {
      append(summary_.restore_points, std::move(*point));
    }
    return;
  }
  if (info == xlog_parameter_change) {
    if (const auto change = parameter_change_in(record.bytes, record.start)) {
      append(summary_.parameter_changes, *change);
    }
    return;
  }
  parse_wal_record(record, postgres_major_, parts_);
  ByteReader in(parts_.main, "a record of the WAL itself");
  if (info == xlog_end_of_recovery) {
    TimelineChange change{.lsn = record.start, .from = {}, .to = {}, .time = {}};
    change.time = from_postgres_time(in.i64());
    change.to = {in.u32()};
    change.from = {in.u32()};
    append(summary_.timeline_changes, change);
  } else if (info == xlog_overwrite_contrecord) {
    if (summary_.records == 1) summary_.overwritten = {in.u64()};
  } else {
    Checkpoint checkpoint{.lsn = record.start, .redo = {in.u64()}, .time = {}};
    checkpoint.shutdown = info == xlog_checkpoint_shutdown;
    const TimelineId to{in.u32()};
    const TimelineId from{in.u32()};
    (void)in.raw(checkpoint_time_offset - in.position());
    checkpoint.time = from_unix_seconds(in.i64());
    append(summary_.checkpoints, checkpoint);
    if (from != to) {
      append(summary_.timeline_changes,
             {.lsn = record.start, .from = from, .to = to, .time = checkpoint.time});
    }
  }
}

void WalSummarizer::add_xid(std::uint32_t xid) {
  if (xid == 0) return;
  if (summary_.first_xid == 0 || is_before(xid, summary_.first_xid)) summary_.first_xid = xid;
  if (summary_.last_xid == 0 || is_before(summary_.last_xid, xid)) summary_.last_xid = xid;
}

void WalSummarizer::add_end(TransactionEnd end, Timestamp time, std::uint32_t xid) {
  const bool first = summary_.commits + summary_.aborts == 0;
  summary_.earliest = first ? time : std::min(summary_.earliest, time);
  summary_.latest = first ? time : std::max(summary_.latest, time);
  ++(end == TransactionEnd::commit ? summary_.commits : summary_.aborts);
  add_xid(xid);
}

void WalSummarizer::add_transaction(const WalRecord& record) {
  if (!ends_transaction(record)) return;
  parse_wal_record(record, postgres_major_, parts_);
  const auto ended = transaction_record(record, parts_.main, postgres_major_);
  if (!ended) return;
  add_end(ended->end, ended->time, ended->xid);
  for (const auto xid : ended->subtransactions) add_xid(xid);
  if (ended->dropped.empty()) return;
  FileDrop drop{.lsn = record.start, .time = ended->time, .xid = ended->xid, .relations = {}};
  drop.end = ended->end;
  drop.files = static_cast<std::uint32_t>(ended->dropped.size());
  drop.relations = ended->dropped;
  const auto kept = std::min(drop.relations.size(), dropped_relations_max - dropped_relations_);
  drop.relations.resize(kept);
  dropped_relations_ += kept;
  append(summary_.file_drops, std::move(drop));
}

void WalSummarizer::add_storage(const WalRecord& record) {
  parse_wal_record(record, postgres_major_, parts_);
  ByteReader in(parts_.main, "a record of a file");
  FileChange change{
      .lsn = record.start, .xid = record.xid, .relation = {}, .truncated_to = std::nullopt};
  const auto info = record.info & info_mask;
  if (info == storage_create) {
    change.relation = read_relation(in);
    if (in.u32() != main_fork) return;
  } else if (info == storage_truncate) {
    change.truncated_to = in.u32();
    change.relation = read_relation(in);
  } else {
    return;
  }
  append(summary_.file_changes, change);
}

void WalSummarizer::add_database(const WalRecord& record) {
  parse_wal_record(record, postgres_major_, parts_);
  ByteReader in(parts_.main, "a record of a database");
  // Before 15 there is one way to create a database: 0x00; and 0x10 drops it.
  const std::uint8_t drop = postgres_major_ < 15 ? 0x10 : 0x20;
  append(summary_.database_changes, {.lsn = record.start,
                                     .xid = record.xid,
                                     .database = in.u32(),
                                     .dropped = (record.info & info_mask) == drop});
}

void WalSummarizer::add_tablespace(const WalRecord& record) {
  if (auto creation = tablespace_creation_in(record.bytes, record.start)) {
    append(summary_.tablespace_creations, std::move(*creation));
  }
}

void WalSummarizer::add_heap(const WalRecord& record) {
  const auto operation = record.info & heap_operation_mask;
  std::uint64_t inserted = 0;
  std::uint64_t deleted = 0;
  if (record.manager == ResourceManager::heap2) {
    if (operation != heap2_multi_insert) return;
    parse_wal_record(record, postgres_major_, parts_);
    ByteReader in(parts_.main, "a record of several rows");
    (void)in.u16();  // flags, padding
    inserted = in.u16();
  } else if (operation == heap_insert) {
    inserted = 1;
  } else if (operation == heap_delete) {
    deleted = 1;
  } else {
    return;
  }
  const auto relation = first_relation(record, postgres_major_);
  if (!relation) return;
  const RowKey key{.xid = record.xid, .relation = *relation};
  auto it = rows_.find(key);
  if (it == rows_.end()) {
    if (rows_.size() == counted_rows_max) {
      ++summary_.left_out;
      return;
    }
    it = rows_.emplace(key, Rows{}).first;
  }
  it->second.inserted += inserted;
  it->second.deleted += deleted;
}

void WalSummarizer::choose_row_counts() {
  std::vector<std::uint32_t> with_files;
  for (const auto& change : summary_.file_changes) with_files.push_back(change.xid);
  for (const auto& drop : summary_.file_drops) with_files.push_back(drop.xid);
  std::ranges::sort(with_files);
  const auto preference = [&](const RowCount& count) {
    if (count.relation.number < first_user_number) return 0;
    return std::ranges::binary_search(with_files, count.xid) ? 1 : 2;
  };
  std::vector<RowCount> counts;
  for (const auto& [key, rows] : rows_) {
    const RowCount count{.xid = key.xid,
                         .relation = key.relation,
                         .inserted = rows.inserted,
                         .deleted = rows.deleted};
    // Rows that were only inserted matter where they say what a transaction
    // that made or removed files did, maybe in another segment.
    if (rows.deleted > 0 || count.relation.number == pg_class_number ||
        std::ranges::binary_search(with_files, count.xid)) {
      counts.push_back(count);
    }
  }
  std::ranges::sort(counts, [&](const RowCount& a, const RowCount& b) {
    return std::tuple(preference(a), b.deleted, a.xid, a.relation) <
           std::tuple(preference(b), a.deleted, b.xid, b.relation);
  });
  for (auto& count : counts) append(summary_.row_counts, count);
}

bool has_restart_at_end(const WalSummary& summary) {
  // Room for the few records with which a server goes on.
  constexpr std::uint64_t near_bytes = 4096;
  const auto is_near = [&](Lsn lsn) {
    return summary.end >= lsn && summary.end.value - lsn.value <= near_bytes;
  };
  return std::ranges::any_of(
             summary.checkpoints,
             [&](const Checkpoint& each) { return each.shutdown && is_near(each.lsn); }) ||
         std::ranges::any_of(summary.timeline_changes,
                             [&](const TimelineChange& each) { return is_near(each.lsn); });
}

WalSummary WalSummarizer::finish() {
  summary_.end = reader_.end();
  summary_.head = reader_.head();
  summary_.tail = reader_.tail();
  summary_.stop = reader_.stop();
  // What crosses into the next segment begins behind all records of this one.
  if (is_cut_ ||
      (summary_.tail && limits_.before != Lsn{} && summary_.tail->start >= limits_.before)) {
    summary_.end = limits_.before;
    summary_.switched = false;
    summary_.tail.reset();
    summary_.stop.reset();
  }
  if (summary_.tail) {
    if (const auto ended = transaction_glimpse(summary_.tail->first)) {
      add_end(ended->end, ended->time, ended->xid);
    }
  }
  choose_row_counts();
  summary_.restarts_at_end = has_restart_at_end(summary_);
  return std::move(summary_);
}

}  // namespace walvault
