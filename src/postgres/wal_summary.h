// What a stretch of WAL, usually one segment, holds: how its records hang
// together with those before and after it, which transactions ended in it and
// when, and what of it the search for a mistake asks for. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "postgres/wal_record.h"

namespace walvault {

// Each list of a summary that is stored has at most so many entries; what is left
// out is counted, and stands in the WAL itself.
inline constexpr std::size_t wal_summary_list_max = 256;

struct Checkpoint {
  Lsn lsn;
  Lsn redo;
  Timestamp time;  // whole seconds
  bool shutdown = false;

  bool operator==(const Checkpoint&) const = default;
};

// Where a server went over to another timeline: the end of a recovery.
struct TimelineChange {
  Lsn lsn;
  TimelineId from;
  TimelineId to;
  Timestamp time;  // of a checkpoint: whole seconds

  bool operator==(const TimelineChange&) const = default;
};

struct DatabaseChange {
  Lsn lsn;
  std::uint32_t xid = 0;
  std::uint32_t database = 0;
  bool dropped = false;  // else created

  bool operator==(const DatabaseChange&) const = default;
};

// A relation's file that was made, or cut to a length.
struct FileChange {
  Lsn lsn;
  std::uint32_t xid = 0;  // 0: of no transaction (VACUUM cuts without one)
  RelationFile relation;
  std::optional<std::uint32_t> truncated_to;  // blocks; nullopt: made

  bool operator==(const FileChange&) const = default;
};

// Files that a transaction's end removed.
struct FileDrop {
  Lsn lsn;
  Timestamp time;
  std::uint32_t xid = 0;
  TransactionEnd end = TransactionEnd::commit;
  std::uint32_t files = 0;
  std::vector<RelationFile> relations;  // fewer than `files` where a list would be too long

  bool operator==(const FileDrop&) const = default;
};

// Rows that one transaction or subtransaction inserted into and deleted from
// one relation.
struct RowCount {
  std::uint32_t xid = 0;
  RelationFile relation;
  std::uint64_t inserted = 0;
  std::uint64_t deleted = 0;

  bool operator==(const RowCount&) const = default;
};

struct WalSummary {
  // The chain.
  Lsn begin;           // of the first page
  Lsn first;           // the first whole record; zero: there is none
  Lsn first_previous;  // where that says that the one before it starts
  Lsn last;            // the last whole record
  Lsn end;             // behind it
  std::uint64_t records = 0;
  bool switched = false;  // the last record is a switch: no more follows in its segment
  // The first record says that the one that began here was never finished.
  Lsn overwritten;
  WalHead head;
  std::optional<WalTail> tail;
  std::optional<WalStop> stop;

  // Ends of transactions, prepared ones included. What the record that crosses
  // into the next segment ends counts here when enough of it lies here, else in
  // neither: `WalHead::first` and `WalTail::first` together tell.
  std::uint64_t commits = 0;
  std::uint64_t aborts = 0;
  Timestamp earliest;  // of them; valid when there are any
  Timestamp latest;
  // Of them and their subtransactions, modulo 2^32, first before last.
  std::uint32_t first_xid = 0;
  std::uint32_t last_xid = 0;

  std::vector<RestorePoint> restore_points;
  std::vector<Checkpoint> checkpoints;
  std::vector<TimelineChange> timeline_changes;
  std::vector<DatabaseChange> database_changes;
  std::vector<FileChange> file_changes;
  std::vector<FileDrop> file_drops;
  // Of system catalogs, of transactions that made or removed files, and of
  // those that deleted most, in this order of preference.
  std::vector<RowCount> row_counts;
  // Both absent of WAL that was summed up before they were looked for, unless `knows_changes`.
  std::vector<ParameterChange> parameter_changes;
  std::vector<TablespaceCreation> tablespace_creations;
  bool knows_changes = true;
  // A server stopped or changed its timeline so near the end that what it wrote when it went on
  // may stand in the next segment.
  bool restarts_at_end = false;
  std::uint64_t left_out = 0;  // entries, of all lists
  // Records whose content is not what this program expects; 0 as a rule.
  std::uint64_t not_understood = 0;

  bool operator==(const WalSummary&) const = default;
};

// What `WalSummary::restarts_at_end` is, from the lists.
[[nodiscard]] bool has_restart_at_end(const WalSummary& summary);

// What of a stretch of WAL a summary takes.
struct SummaryLimits {
  std::size_t list_max = wal_summary_list_max;
  // Records from this position on are as if they were not there. Zero: there is no such limit.
  Lsn before = {};
};

class WalSummarizer {
 public:
  // As for WalReader.
  WalSummarizer(const WalSegmentHeader& first, Lsn start, TimelineId timeline,
                const SummaryLimits& limits = {});

  // REQUIRES: whole pages, the next ones.
  void read(ByteView pages);

  [[nodiscard]] WalSummary finish();

 private:
  struct RowKey {
    std::uint32_t xid;
    RelationFile relation;

    bool operator==(const RowKey&) const = default;
  };
  struct RowKeyHash {
    std::size_t operator()(const RowKey& key) const;
  };
  struct Rows {
    std::uint64_t inserted = 0;
    std::uint64_t deleted = 0;
  };

  void add(const WalRecord& record);
  void add_xlog(const WalRecord& record);
  void add_transaction(const WalRecord& record);
  void add_storage(const WalRecord& record);
  void add_database(const WalRecord& record);
  void add_tablespace(const WalRecord& record);
  void add_heap(const WalRecord& record);
  void add_end(TransactionEnd end, Timestamp time, std::uint32_t xid);
  void add_xid(std::uint32_t xid);
  void choose_row_counts();

  template <typename Entry>
  void append(std::vector<Entry>& list, Entry entry) {
    if (list.size() < limits_.list_max) {
      list.push_back(std::move(entry));
    } else {
      ++summary_.left_out;
    }
  }

  const int postgres_major_;
  const SummaryLimits limits_;
  bool is_cut_ = false;  // records were left out by the limit
  WalReader reader_;
  WalRecordParts parts_;
  WalSummary summary_;
  std::size_t dropped_relations_ = 0;
  std::unordered_map<RowKey, Rows, RowKeyHash> rows_;
};

}  // namespace walvault
