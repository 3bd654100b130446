#include "catalog/find/change_finder.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "catalog/find/relation_names.h"
#include "catalog/wal/transaction_ends.h"
#include "catalog/wal/wal_stretch.h"

namespace walvault {
namespace {

// Transactions whose rows and files are remembered until they end.
constexpr std::size_t open_transactions_max = 100'000;
// Entries of each list of a summary that is made for a search.
constexpr std::size_t detailed_list_max = 65'536;
// Snapshots that are kept decoded, and those that one name is looked for in.

struct Rows {
  std::uint64_t inserted = 0;
  std::uint64_t deleted = 0;
};

// What is known of a transaction, or subtransaction, that has not ended.
struct Open {
  std::map<RelationFile, Rows> rows;
  std::vector<RelationFile> created;
  std::vector<DatabaseChange> databases_dropped;
  std::uint64_t segment = 0;  // in which it was last seen
};

class Search {
 public:
  Search(const WalArchive& archive, const TimelineHistory& history, const ChangeQuery& query,
         const std::function<void(const TransactionChange&)>& each)
      : archive_(archive),
        history_(history),
        query_(query),
        each_(each),
        geometry_(archive.identity().geometry),
        names_(archive.repository(), archive.identity()) {}

  ChangeSearch run(Lsn start, const std::function<void()>& check_cancelled) {
    list(start);
    std::uint64_t expected = segments_.empty() ? 0 : segments_.begin()->first;
    for (const auto& [number, timeline] : segments_) {
      check_cancelled();
      if (number != expected) {
        result_.holes.push_back(geometry_.start_of(expected).text() + " to " +
                                geometry_.start_of(number).text() + " is not archived");
      }
      expected = number + 1;
      ++result_.segments;
      try {
        look_at({.timeline = timeline, .number = number});
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        result_.holes.push_back(one_line(error));
      }
    }
    return std::move(result_);
  }

 private:
  // The segments of the history, each of the timeline that replay would take it
  // of.
  void list(Lsn start) {
    std::vector<TimelineId> timelines;
    for (const auto& ancestor : history_.ancestors()) timelines.push_back(ancestor.timeline);
    timelines.push_back(history_.timeline());
    for (const auto timeline : timelines) {
      for (const auto& segment : archive_.segments(timeline, geometry_.number_of(start))) {
        const auto first = geometry_.start_of(segment.number);
        const Lsn last{geometry_.start_of(segment.number + 1).value - 1};
        if (history_.at(last) == timeline || history_.at(first) == timeline) {
          // A later timeline's file is asked for first.
          segments_[segment.number] = timeline;
        }
      }
    }
    if (segments_.empty()) return;
    // And what its server had written of the segment behind the last.
    const auto last = wal_from(archive_, history_, geometry_.start_of(segments_.rbegin()->first));
    if (!last.partial) return;
    segments_[last.partial->number] = last.partial->timeline;
    partial_ = {*last.partial, key_in_stretch(archive_, last, last.partial->number).value()};
  }

  [[nodiscard]] std::string key_of(const SegmentName& name) const {
    return name == partial_.first ? partial_.second : archive_.key_of(name.text(geometry_));
  }

  void look_at(const SegmentName& name) {
    auto found = archive_.find_summary(key_of(name));
    if (!found) return;
    if (found->summary.left_out > 0) {
      auto detailed = archive_.make_summary(key_of(name), {.list_max = detailed_list_max});
      if (detailed) found->summary = std::move(*detailed);
    }
    const auto& summary = found->summary;
    result_.left_out += summary.left_out;
    remember(name, summary);
    if (!may_hold(summary)) return;
    visit_transaction_ends(archive_,
                           {.name = name,
                            .key = key_of(name),
                            .timeline = history_.timeline(),
                            .key_behind = [&](std::uint64_t number) -> std::optional<std::string> {
                              const auto it = segments_.find(number);
                              if (it == segments_.end()) return std::nullopt;
                              return key_of({.timeline = it->second, .number = number});
                            }},
                           [&](Lsn lsn, const TransactionRecord& end) {
                             // The pages behind a switch are of a history that was abandoned.
                             if (history_.at(lsn) <= name.timeline) take(lsn, end);
                             return true;
                           });
  }

  void remember(const SegmentName& name, const WalSummary& summary) {
    const auto open = [&](std::uint32_t xid) -> Open& {
      auto& entry = open_[xid];
      entry.segment = name.number;
      return entry;
    };
    for (const auto& count : summary.row_counts) {
      auto& rows = open(count.xid).rows[count.relation];
      rows.inserted += count.inserted;
      rows.deleted += count.deleted;
    }
    for (const auto& change : summary.file_changes) {
      if (!change.truncated_to && change.xid != 0) {
        open(change.xid).created.push_back(change.relation);
      }
    }
    for (const auto& change : summary.database_changes) {
      if (!change.dropped) continue;
      open(change.xid).databases_dropped.push_back(change);
      ++pending_databases_;
    }
    if (open_.size() > open_transactions_max) forget_oldest();
  }

  // Most of what is open has ended in segments that were not read.
  void forget_oldest() {
    std::vector<std::uint64_t> seen;
    for (const auto& [xid, entry] : open_) seen.push_back(entry.segment);
    const auto middle = seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 2);
    std::nth_element(seen.begin(), middle, seen.end());
    std::erase_if(open_, [&](const auto& each) { return each.second.segment <= *middle; });
    pending_databases_ = 0;
    for (const auto& [xid, entry] : open_) pending_databases_ += entry.databases_dropped.size();
  }

  [[nodiscard]] bool may_hold(const WalSummary& summary) const {
    // A record that crosses into the next segment, or was not understood, is in
    // no list.
    const bool crosses = summary.tail && (transaction_glimpse(summary.tail->first) ||
                                          summary.tail->first.size() < wal_record_header_bytes);
    if (summary.commits + summary.aborts == 0 && !crosses && summary.not_understood == 0) {
      return false;
    }
    if (crosses || summary.not_understood > 0) return true;
    if (query_.from && summary.latest < *query_.from) return false;
    if (query_.until && summary.earliest > *query_.until) return false;
    if (query_.files && (!summary.file_drops.empty() || pending_databases_ > 0)) return true;
    if (query_.deletes) return true;
    if (query_.xid && *query_.xid - summary.first_xid <= summary.last_xid - summary.first_xid) {
      return true;
    }
    return query_.time && summary.earliest <= *query_.time + query_.around &&
           summary.latest >= *query_.time - query_.around;
  }

  void take(Lsn lsn, const TransactionRecord& end) {
    TransactionChange change;
    change.lsn = change.stop = lsn;
    change.timeline = history_.at(lsn);
    change.time = end.time;
    change.xid = end.xid;
    change.end = end.end;
    change.files_removed = static_cast<std::uint32_t>(end.dropped.size());

    auto xids = end.subtransactions;
    xids.push_back(end.xid);
    Open all;
    for (const auto xid : xids) {
      const auto it = open_.find(xid);
      if (it == open_.end()) continue;
      for (const auto& [relation, rows] : it->second.rows) {
        all.rows[relation].inserted += rows.inserted;
        all.rows[relation].deleted += rows.deleted;
      }
      std::ranges::copy(it->second.created, std::back_inserter(all.created));
      std::ranges::copy(it->second.databases_dropped, std::back_inserter(all.databases_dropped));
      pending_databases_ -= it->second.databases_dropped.size();
      open_.erase(it);
    }
    if (is_meant(end, xids, all)) {
      describe(end, all, change);
      const bool files = query_.files && change.kind != ChangeKind::none;
      const bool rows = query_.deletes && change.rows_deleted > 0;
      if (files || rows || query_.xid || query_.time) each_(change);
    }
  }

  [[nodiscard]] bool is_meant(const TransactionRecord& end, const std::vector<std::uint32_t>& xids,
                              const Open& all) const {
    if (query_.from && end.time < *query_.from) return false;
    if (query_.until && end.time > *query_.until) return false;
    if (query_.xid) return std::ranges::find(xids, *query_.xid) != xids.end();
    if (query_.time) {
      return end.time >= *query_.time - query_.around && end.time <= *query_.time + query_.around;
    }
    if (end.end != TransactionEnd::commit) return false;
    return !end.dropped.empty() || !all.databases_dropped.empty() || query_.deletes;
  }

  void describe(const TransactionRecord& end, const Open& all, TransactionChange& change) {
    std::uint64_t catalog_deleted = 0;
    std::uint64_t catalog_inserted = 0;
    std::map<RelationFile, ChangedRelation> relations;
    const auto relation = [&](const RelationFile& file) -> ChangedRelation& {
      auto& each = relations[file];
      each.file = file;
      return each;
    };
    for (const auto& [file, rows] : all.rows) {
      if (is_catalog(file, change.lsn)) {
        if (file.number == names_.pg_class(file.database, change.lsn)) {
          catalog_deleted += rows.deleted;
          catalog_inserted += rows.inserted;
        }
        continue;
      }
      if (rows.deleted == 0) continue;
      relation(file).deleted = rows.deleted;
      change.rows_deleted += rows.deleted;
    }
    bool moved = !all.created.empty();
    bool any_old = false;
    for (const auto& file : end.dropped) {
      // What it made itself, nobody misses.
      if (std::ranges::find(all.created, file) != all.created.end()) continue;
      any_old = true;
      relation(file).removed = true;
      moved &= std::ranges::none_of(all.created, [&](const RelationFile& made) {
        return made.tablespace == file.tablespace;
      });
    }
    bool any_known = false;
    bool any_table = false;
    for (auto& [file, each] : relations) {
      name(each, change.lsn);
      any_known |= each.removed && each.kind != 0;
      any_table |= each.removed && (each.kind == 'r' || each.kind == 'm' || each.kind == 't');
    }
    if (end.end == TransactionEnd::commit && any_old) {
      if (catalog_deleted > catalog_inserted) {
        change.kind = ChangeKind::dropped;
      } else if (catalog_deleted > 0) {
        change.kind = ChangeKind::rewritten;
      } else if (moved) {
        change.kind = ChangeKind::moved;
      } else if (any_known) {
        change.kind = any_table ? ChangeKind::truncated : ChangeKind::reindexed;
      } else {
        change.kind = ChangeKind::truncated_or_reindexed;
      }
    }
    for (auto& [file, each] : relations) change.relations.push_back(std::move(each));
    if (end.end == TransactionEnd::commit && !all.databases_dropped.empty()) {
      change.kind = ChangeKind::database_dropped;
      for (const auto& database : all.databases_dropped) {
        // Its files go with this record, not with the transaction's end.
        change.stop = std::min(change.stop, database.lsn);
        ChangedRelation dropped;
        dropped.file.database = database.database;
        dropped.database = names_.database(database.database, change.lsn);
        dropped.removed = true;
        change.relations.push_back(std::move(dropped));
      }
    }
  }

  // Of those that initdb made; a rewritten one is known by name alone.
  [[nodiscard]] bool is_catalog(const RelationFile& file, Lsn lsn) {
    constexpr std::uint32_t first_user_number = 16384;
    if (file.number < first_user_number) return true;
    const auto known = names_.find(file, lsn);
    return known && known->name.starts_with("pg_catalog.");
  }

  void name(ChangedRelation& relation, Lsn lsn) {
    relation.database = names_.database(relation.file.database, lsn);
    const auto known = names_.find(relation.file, lsn);
    if (!known) return;
    relation.name = known->name;
    relation.kind = known->kind;
  }

  const WalArchive& archive_;
  const TimelineHistory& history_;
  const ChangeQuery& query_;
  const std::function<void(const TransactionChange&)>& each_;
  const WalGeometry geometry_;
  RelationNames names_;
  std::map<std::uint64_t, TimelineId> segments_;
  std::pair<SegmentName, std::string> partial_;  // and its key
  std::unordered_map<std::uint32_t, Open> open_;
  std::size_t pending_databases_ = 0;
  ChangeSearch result_;
};

}  // namespace

std::string change_kind_name(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::none: return "none";
    case ChangeKind::dropped: return "dropped";
    case ChangeKind::truncated: return "truncated";
    case ChangeKind::reindexed: return "reindexed";
    case ChangeKind::truncated_or_reindexed: return "truncated or reindexed";
    case ChangeKind::rewritten: return "rewritten";
    case ChangeKind::moved: return "moved";
    case ChangeKind::database_dropped: return "database dropped";
  }
  return {};
}

ChangeSearch find_changes(const WalArchive& archive, const TimelineHistory& history, Lsn start,
                          const ChangeQuery& query,
                          const std::function<void(const TransactionChange&)>& each,
                          const std::function<void()>& check_cancelled) {
  return Search(archive, history, query, each).run(start, check_cancelled);
}

}  // namespace walvault
