// The archived WAL of one cluster: which files are there, under which keys.
//
// Thread safety: all operations may be called from any thread at once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/cluster.h"
#include "catalog/timeline_branch.h"
#include "catalog/wal_object.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_summary.h"

namespace walvault {

// Of a timeline that was used twice an archive shows one branch: the newest,
// unless it is the view of an older history.
class WalArchive {
 public:
  // `repository` must outlive the archive.
  WalArchive(const Repository& repository, ClusterIdentity identity);

  [[nodiscard]] std::uint32_t branch_of(TimelineId timeline) const;

  // The archive as the history of one branch has it, whatever this object
  // shows: that branch, and of its ancestors those branches that it came from.
  [[nodiscard]] WalArchive view_of(TimelineBranch branch) const;
  // The archive with these branches in place of those it shows.
  [[nodiscard]] WalArchive with(const std::vector<TimelineBranch>& branches) const;

  // All branches of all timelines that have anything archived, ascending.
  [[nodiscard]] std::vector<TimelineBranch> branches() const;

  // Sets aside what is archived of a timeline; returns the branch that it goes
  // on with, which this object does not show. Error{not_found} when nothing is
  // archived of it.
  TimelineBranch set_aside(TimelineId timeline, Timestamp now) const;

  [[nodiscard]] const ClusterIdentity& identity() const { return identity_; }
  [[nodiscard]] const Repository& repository() const { return repository_; }

  // Where a file is kept. A .partial may come again with other content, so its
  // key carries its digest: `partial_key`.
  [[nodiscard]] std::string key_of(std::string_view file_name) const;
  [[nodiscard]] std::string partial_key(std::string_view file_name, const Digest& digest) const;

  [[nodiscard]] bool has_segment(const SegmentName& segment) const;

  // The header of an archived file; nullopt when it is not there.
  [[nodiscard]] std::optional<WalObjectHeader> find_header(const std::string& key) const;

  // The header of an archived segment or .partial, and its summary: as stored,
  // or made from the WAL where there is none. Error{corrupt} when either is
  // damaged. nullopt: it is not there.
  struct SummarizedWal {
    WalObjectHeader header;
    WalSummary summary;
  };
  [[nodiscard]] std::optional<SummarizedWal> find_summary(const std::string& key) const;

  // All that are archived of a .partial of this name.
  [[nodiscard]] std::vector<std::string> partial_keys(std::string_view file_name) const;

  // The newest of them, by when it was archived; nullopt: none.
  [[nodiscard]] std::optional<std::string> find_partial_key(std::string_view file_name) const;

  // A small file's content (a .history, a .backup), checked; nullopt: absent.
  [[nodiscard]] std::optional<Bytes> find_file(std::string_view file_name) const;

  // All timelines of which anything is archived in the branch shown, ascending.
  [[nodiscard]] std::vector<TimelineId> timelines() const;

  // The history of a timeline, from its .history file; that of timeline 1 has
  // none and no ancestors. nullopt: the file is not archived.
  [[nodiscard]] std::optional<TimelineHistory> find_history(TimelineId timeline) const;

  // Likewise; a timeline whose file is missing is taken to have no ancestors.
  [[nodiscard]] TimelineHistory history(TimelineId timeline) const;

  // The numbers of a timeline's archived segments from `first` on, ascending,
  // with their stored sizes.
  struct StoredSegment {
    std::uint64_t number = 0;
    std::uint64_t stored_bytes = 0;
  };
  [[nodiscard]] std::vector<StoredSegment> segments(TimelineId timeline,
                                                    std::uint64_t first = 0) const;

  // Stored bytes of everything that is archived.
  [[nodiscard]] std::uint64_t stored_bytes() const;

 private:
  [[nodiscard]] std::optional<WalSummary> summarize_object(const std::string& key) const;
  [[nodiscard]] std::string timeline_prefix(TimelineId timeline) const;
  void show_newest_branches();

  const Repository& repository_;
  ClusterIdentity identity_;
  std::vector<BranchOpening> openings_;
  std::map<TimelineId, std::uint32_t> shown_;  // branches other than 0
};

// Decodes a whole stored object held in memory, with `threads` at work; the
// plain file goes to `sink` in pieces, from first to last, on a thread of its
// own. Error{corrupt} when it is not the content of its digest: only when this
// returns may what the sink got be believed.
void decode_wal_object(ByteView object, std::string_view key, unsigned threads,
                       const std::function<void(ByteView)>& sink);

// The same, as the plain file.
[[nodiscard]] Bytes decode_wal_object(ByteView object, std::string_view key, unsigned threads);

}  // namespace walvault
