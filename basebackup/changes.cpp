#include "basebackup/changes.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/backup_manifest.h"
#include "postgres/relation_path.h"
#include "repository/tree_reader.h"

namespace walvault {
ChangesSince::ChangesSince(const WalArchive& archive, ReplicationConnection& server,
                           const WriterSession& session, const BackupInfo& parent, const Root& tree,
                           Connect connect)
    : archive_(archive),
      server_(server),
      session_(session),
      parent_(parent),
      tree_(tree),
      connect_(std::move(connect)) {}

std::string ChangesSince::why_everything() {
  if (server_.show("summarize_wal") != "on") return "summarize_wal is off";
  if (parent_.identity_number != archive_.identity().number) return "it is from before pg_upgrade";
  // What was summarized of WAL that another history went on without is not told apart.
  const auto timeline = server_.identify_system().timeline;
  if (parent_.timeline != timeline || parent_.branch != archive_.branch_of(timeline)) {
    return "it is of another timeline";
  }
  if (!parent_.damaged_pages.empty()) return "it holds damaged pages";
  // pg_checksums writes no WAL.
  const bool has_checksums = server_.show("data_checksums") == "on";
  if (has_checksums != (parent_.control.data_checksum_version != 0)) {
    return "checksums of pages were switched since then";
  }
  for (const auto& entry : tree_.packs.entries()) {
    if (!session_.may_borrow(entry.name)) return "not all that it needs may be relied upon";
  }
  try {
    sql_ = connect_();
    cut_ = cut_relations();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable && error.kind() != ErrorKind::corrupt) throw;
    return "which relations were cut short since then cannot be asked: " + error.detail();
  }
  return {};
}

// Those that were made shorter since the parent began, by the server's own summaries. Grown
// again, they may have blocks of zeros that no WAL speaks of, and for which the server
// would have us take what the parent has there.
std::set<RelationFile> ChangesSince::cut_relations() {
  std::set<RelationFile> cut;
  const auto rows = sql_->query(
      "SELECT DISTINCT c.reltablespace, c.reldatabase, c.relfilenode"
      " FROM pg_catalog.pg_available_wal_summaries() s,"
      " LATERAL pg_catalog.pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) c"
      " WHERE s.end_lsn OPERATOR(pg_catalog.>) '" +
      parent_.start.text() +
      "' AND c.is_limit_block AND c.relblocknumber OPERATOR(pg_catalog.>) 0");
  for (const auto& row : rows) {
    cut.insert({.tablespace = sql_number(row.at(0)),
                .database = sql_number(row.at(1)),
                .number = sql_number(row.at(2))});
  }
  return cut;
}

void ChangesSince::upload() {
  TreeReader parent(archive_.repository(), tree_);
  server_.upload_manifest([&](const ReplicationConnection::Sink& sink) {
    // A visibility map's changes are not in the summaries of all releases; it is small.
    const auto is_kept = [&](const std::string& path) {
      const auto relation = parse_relation_path(path);
      return !relation || (relation->fork != "vm" && !cut_.contains(relation->relation));
    };
    ManifestFilter filter(is_kept, sink);
    parent.read_stream(manifest_stream, [&](ByteView bytes) { filter.feed(bytes); });
    filter.finish();
  });
}

// Whether the server that was asked knows all WAL from the parent's start on. It need not
// be the one that sends: a connection string may name several.
bool ChangesSince::are_summaries_complete(WalPosition end) {
  auto known = parent_.start;
  const auto rows = sql_->query(
      "SELECT start_lsn, end_lsn FROM pg_catalog.pg_available_wal_summaries()"
      " WHERE tli OPERATOR(pg_catalog.=) " +
      std::to_string(end.timeline.value) + " AND end_lsn OPERATOR(pg_catalog.>) '" +
      parent_.start.text() + "' ORDER BY start_lsn");
  for (const auto& row : rows) {
    const auto first = Lsn::parse(row.at(0).value_or(""));
    const auto last = Lsn::parse(row.at(1).value_or(""));
    if (!first || !last || *first > known) return false;
    known = std::max(known, *last);
  }
  return known >= end.lsn;
}

void ChangesSince::check_begun(WalPosition position) {
  if (position.timeline != parent_.timeline) throw ChangesOutdated("The timeline changed.");
  try {
    if (!are_summaries_complete(position)) {
      throw ChangesOutdated("The server that was asked has no summaries of all its WAL.");
    }
    for (const auto& relation : cut_relations()) {
      if (!cut_.contains(relation)) {
        throw ChangesOutdated("Relations were cut short while the backup began.");
      }
    }
  } catch (const ChangesOutdated&) {
    throw;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable && error.kind() != ErrorKind::corrupt) throw;
    throw ChangesOutdated(one_line(error));
  }
}

ChangesOnly ChangesSince::form() const {
  const auto& control = parent_.control;
  return {.sizes = {.block_bytes = control.block_bytes,
                    .segment_blocks = control.relation_segment_blocks},
          .major = server_.server_version() / 10000,
          .system_identifier = control.system_identifier};
}

}  // namespace walvault
