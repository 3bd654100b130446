// The archived WAL of one cluster: which files are there, under which keys.
//
// Thread safety: all operations may be called from any thread at once.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "catalog/records/cluster.h"
#include "catalog/records/timeline_branch.h"
#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_object.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_summary.h"

namespace walvault {

struct StoredSegment {
  std::uint64_t number = 0;
  std::uint64_t stored_bytes = 0;
};

// What proves how a segment hangs together with its neighbours.
struct ChainSummary {
  WalSummary summary;  // of its lists only those of points, changes and tablespaces need be there
  WalOrigin origin;
  // Of its file; nullopt: it tells nothing, see file_digest_tells.
  std::optional<Digest> digest;

  bool operator==(const ChainSummary&) const = default;
};

struct WalLedger;
class ArchiveMoment;

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

  // The same archive as it is at this moment: what is listed is listed once, and
  // what its chain is made of comes from ledgers where there are some
  // (catalog/wal/wal_ledger.h). For one look at the whole, not for who waits for
  // what is still to come. Copies and views of it share what it remembers.
  // With `keep_ledgers`, ledgers that do not exist yet are made; that they
  // cannot be stored is no error.
  [[nodiscard]] ArchiveMoment at_this_moment(bool keep_ledgers) const;

  // Sees to it that there is a ledger of the directory of that segment, which is still
  // written to, unless it would take a look at more than `make_max` segments.
  void keep_ledger(const SegmentName& name, std::size_t make_max) const;

  // All branches of all timelines that have anything archived, ascending.
  [[nodiscard]] std::vector<TimelineBranch> branches() const;

  // Whether any timeline ever was set aside.
  [[nodiscard]] bool has_branches_aside() const { return !openings_.empty(); }

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

  // When its server last wrote to an archived file; nullopt where that is damaged
  // or not there.
  [[nodiscard]] std::optional<Timestamp> last_written(const std::string& key) const;

  // The header of an archived segment or .partial, and its summary: as stored,
  // or made from the WAL where there is none. Error{corrupt} when either is
  // damaged. nullopt: it is not there.
  struct SummarizedWal {
    WalObjectHeader header;
    WalSummary summary;
    WalOrigin origin;
  };
  [[nodiscard]] std::optional<SummarizedWal> find_summary(const std::string& key) const;

  // A summary made anew.
  [[nodiscard]] std::optional<WalSummary> make_summary(const std::string& key,
                                                       const SummaryLimits& limits = {}) const;

  // Of a segment or .partial stored under `key`, what tells whether and how it
  // continues the WAL before it. Error{corrupt} also where it holds other WAL than its
  // name says.
  [[nodiscard]] std::optional<ChainSummary> find_chain_summary(const SegmentName& name,
                                                               const std::string& key) const;

  // All that are archived of a .partial of this name.
  [[nodiscard]] std::vector<std::string> partial_keys(std::string_view file_name) const;

  // The newest of them, by when it was archived; nullopt: none.
  [[nodiscard]] std::optional<std::string> find_partial_key(std::string_view file_name) const;

  // A small file's content (a .history, a .backup), checked; nullopt: absent.
  [[nodiscard]] std::optional<Bytes> find_file(std::string_view file_name) const;

  // The same of what is stored under a key.
  [[nodiscard]] std::optional<Bytes> find_stored_file(const std::string& key) const;

  // All timelines of which anything is archived in the branch shown, ascending.
  [[nodiscard]] std::vector<TimelineId> timelines() const;

  // The history of a timeline, from its .history file; that of timeline 1 has
  // none and no ancestors. nullopt: the file is not archived.
  [[nodiscard]] std::optional<TimelineHistory> find_history(TimelineId timeline) const;

  // Likewise; a timeline whose file is missing is taken to have no ancestors.
  [[nodiscard]] TimelineHistory history(TimelineId timeline) const;

  // The numbers of a timeline's archived segments from `first` on, ascending,
  // with their stored sizes.
  [[nodiscard]] std::vector<StoredSegment> segments(TimelineId timeline,
                                                    std::uint64_t first = 0) const;

  // Stored bytes of everything that is archived, on all branches.
  [[nodiscard]] std::uint64_t stored_bytes() const;

  // What the keys of all its files begin with.
  [[nodiscard]] std::string prefix() const;

 private:
  friend class ArchiveMoment;
  struct Memory;

  [[nodiscard]] std::vector<StoredSegment> list_segments(TimelineId timeline,
                                                         std::uint64_t first) const;
  [[nodiscard]] std::shared_ptr<const std::vector<StoredSegment>> remembered_segments(
      TimelineId timeline) const;
  void list_all() const;
  // As stored, or Error{corrupt} where it holds other WAL than its name says.
  [[nodiscard]] std::optional<ChainSummary> find_own_summary(const SegmentName& name,
                                                             const std::string& key) const;
  [[nodiscard]] std::shared_ptr<const WalLedger> find_ledger(const SegmentName& name) const;
  [[nodiscard]] std::string ledger_prefix(const SegmentName& name) const;
  [[nodiscard]] std::shared_ptr<const WalLedger> look_for_ledger(
      const SegmentName& name, std::span<const StoredSegment> segments, bool is_open,
      std::size_t make_max) const;
  [[nodiscard]] std::shared_ptr<const WalLedger> make_ledger(
      const std::string& key, TimelineId timeline, std::span<const StoredSegment> segments,
      const WalLedger* known) const;
  [[nodiscard]] std::string timeline_prefix(TimelineId timeline) const;
  void show_newest_branches();

  const Repository& repository_;
  ClusterIdentity identity_;
  std::vector<BranchOpening> openings_;
  std::map<TimelineId, std::uint32_t> shown_;  // branches other than 0
  std::shared_ptr<Memory> memory_;             // nullptr: none is kept
};

// An archive as it was at one moment. Copies and views share what it remembers.
class ArchiveMoment : public WalArchive {
 public:
  // As if the segments of a branch from number `first` to before `behind` were not
  // archived. No ledgers are made from then on.
  void forget(TimelineBranch branch, std::uint64_t first, std::uint64_t behind);

 private:
  friend class WalArchive;
  ArchiveMoment(const WalArchive& archive, bool keep_ledgers);
};

// Whether a file's digest is that of its WAL. Behind a switch the primary has zeros; a standby that
// was promoted before it received them has what the file held in an earlier use.
[[nodiscard]] bool file_digest_tells(const WalSummary& summary, std::uint64_t content_bytes);

// What the keys of one branch begin with: "wal/main/1/00000001-0/".
[[nodiscard]] std::string wal_branch_prefix(const std::string& cluster,
                                            std::uint32_t identity_number, TimelineBranch branch);

// What the keys of the ledgers begin with, of what lies below such a prefix.
[[nodiscard]] std::string ledgers_beside(std::string_view wal_prefix);

}  // namespace walvault
