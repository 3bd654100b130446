#include "archiving/rescue.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <set>

#include "archiving/server_notes.h"
#include "archiving/wal_gate.h"
#include "base/error.h"
#include "base/file.h"
#include "catalog/records/backup_list.h"
#include "codec/sha256.h"
#include "datadir/data_directory.h"
#include "datadir/file_tree.h"
#include "datadir/running_server.h"
#include "postgres/control_file.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

constexpr std::uint64_t control_file_bytes_max = 65536;
constexpr std::uint64_t history_bytes_max = 1u << 20;

void check_data_directory(const std::string& path) {
  if (!find_status(path + "/pg_wal")) {
    throw Error(ErrorKind::not_found, "there is no pg_wal in \"" + path + "\"", {},
                "Name the data directory of the server.");
  }
  DataDirectory(path).expect_stopped();
}

// The first page's header of a file in pg_wal; nullopt when it has none.
std::optional<WalSegmentHeader> find_segment_header(const std::string& pg_wal,
                                                    const std::string& name) {
  const auto path = pg_wal + "/" + name;
  const auto file = open_file(path, O_RDONLY);
  Bytes first(wal_segment_header_bytes);
  if (read_at(file, first, 0, path) != first.size()) return std::nullopt;
  try {
    return parse_wal_segment_header(first);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

// Where the WAL begins that any backup needs; before it no restore begins, and what was archived
// may have expired. Without a backup all may be needed.
std::uint64_t first_needed(const WalArchive& archive) {
  const auto& identity = archive.identity();
  std::optional<std::uint64_t> first;
  const auto list = list_backups(archive.repository(), identity.name);
  // What a damaged one needs is not known.
  if (!list.damaged.empty()) return 0;
  for (const auto& backup : list.backups) {
    if (backup.identity_number != identity.number) continue;
    const auto number = identity.geometry.number_of(backup.start);
    first = std::min(first.value_or(number), number);
  }
  return first.value_or(0);
}

// The segments of a cluster that a pg_wal holds, by timeline, ascending: files
// with the WAL that their names say, as opposed to those that were made ahead,
// zeroed, or recycled under a new name, which are counted.
struct OwnSegments {
  std::map<TimelineId, std::vector<SegmentName>> by_timeline;
  std::vector<SegmentName> others;
};

OwnSegments own_segments(const ClusterIdentity& identity, const std::string& pg_wal,
                         std::uint64_t needed_from = 0) {
  OwnSegments found;
  for (const auto& name : names_in(pg_wal)) {
    if (classify_wal_file(name) != WalFileKind::segment) continue;
    const auto segment = SegmentName::parse(name, identity.geometry);
    if (!segment || segment->number < needed_from) continue;
    const auto header = find_segment_header(pg_wal, name);
    if (header && header->system_identifier == identity.system_identifier &&
        is_wal_of_its_name(pg_wal, *header, *segment, identity.geometry)) {
      found.by_timeline[segment->timeline].push_back(*segment);
    } else {
      found.others.push_back(*segment);
    }
  }
  return found;
}

class Rescue {
 public:
  Rescue(const WalArchive& archive, const std::string& data_directory, RescueOf what, Clock& clock,
         const PushOptions& options)
      : archive_(archive),
        pg_wal_(data_directory + "/pg_wal"),
        data_directory_(data_directory),
        what_(what),
        clock_(clock),
        options_(options),
        names_(names_in(pg_wal_)),
        last_(find_last_archived(data_directory)) {
    options_.origin.archiver = find_archiver_id(data_directory);
    for (const auto& name : names_in(pg_wal_ + "/archive_status")) {
      const auto dot = name.rfind('.');
      const auto suffix = name.substr(dot == std::string::npos ? name.size() : dot);
      // Either mark is set when a segment is complete.
      if (suffix == ".ready" || suffix == ".done") complete_.insert(name.substr(0, dot));
      if (suffix == ".ready") ready_.insert(name.substr(0, dot));
    }
  }

  RescueResult run() {
    const auto segments = own_segments(archive_.identity(), pg_wal_, first_needed(archive_));
    look_at_others(segments);
    if (segments.by_timeline.empty()) return std::move(result_);
    has_archived_itself_ = has_archived_itself();
    find_history(segments.by_timeline.rbegin()->first);
    expect_placed(segments);
    // Histories first, as a server does: they say what the segments belong to.
    for (const auto& name : names_) {
      if (classify_wal_file(name) == WalFileKind::timeline) push(name, WalFileKind::timeline);
    }
    for (const auto& name : names_) {
      const auto kind = classify_wal_file(name);
      if (kind == WalFileKind::partial || kind == WalFileKind::backup_history) push(name, *kind);
    }
    for (const auto& [timeline, list] : segments.by_timeline) {
      for (const auto& segment : list) {
        const auto name = segment.text(archive_.identity().geometry);
        const bool is_last = segment == list.back();
        if (is_left_in(segment) && archive_.has_segment(segment)) {
          ++result_.passed_over;
          continue;
        }
        if (is_last && complete_.contains(name) && is_archived_in_part(name)) {
          ++result_.passed_over;
          continue;
        }
        push_segment(segment, name, !is_left_in(segment) && (!is_last || complete_.contains(name)));
      }
    }
    return std::move(result_);
  }

 private:
  // That of the newest timeline, as the server has it.
  void find_history(TimelineId newest) {
    const auto path = pg_wal_ + "/" + history_file_name(newest);
    if (newest.value == 1 || !find_status(path)) return;
    try {
      history_ = TimelineHistory::parse(newest, read_file(path, history_bytes_max));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
    }
  }

  // Whether the server's history leaves the timeline within a segment, or before it: there the
  // other server's, which went on, differs rightly.
  [[nodiscard]] bool is_left_in(const SegmentName& segment) const {
    const auto leaves = history_ ? history_->leaves(segment.timeline) : std::nullopt;
    return leaves && segment.end(archive_.identity().geometry) > *leaves;
  }

  // All that is to be archived, before any of it is.
  void expect_placed(const OwnSegments& segments) {
    for (const auto& name : names_) {
      if (classify_wal_file(name) == WalFileKind::timeline) expect_same_history(name);
    }
    for (const auto& [timeline, list] : segments.by_timeline) {
      const auto geometry = archive_.identity().geometry;
      // Where the server's own history left a timeline, its file is not filled further.
      auto own = list;
      std::erase_if(own, [&](const SegmentName& each) { return is_left_in(each); });
      if (own.empty()) continue;
      const bool is_whole =
          own.size() < list.size() || complete_.contains(own.back().text(geometry));
      const auto placement = place_segments(archive_, pg_wal_, own, is_whole, last_);
      if (placement.shared) digests_.emplace(*placement.shared, *placement.digest);
      find_unplaced(own, placement);
    }
    if (!unplaced_.empty() && what_ != RescueOf::anything) throw not_placed();
  }

  void expect_same_history(const std::string& name) {
    const auto archived = archive_.find_file(name);
    if (!archived || *archived == read_file(pg_wal_ + "/" + name, history_bytes_max)) return;
    throw Error(ErrorKind::conflict,
                "\"" + data_directory_ + "\" is on a timeline " +
                    std::to_string(timeline_of(name).value) + " of its own",
                "The archived " + name + " has other content: two servers took the same number.",
                "What is archived is another server's. Keep a copy of pg_wal if it may be needed.");
  }

  // What of a timeline is not archived, and not shown to go on with what is.
  void find_unplaced(const std::vector<SegmentName>& list, const WalPlacement& placement) {
    const auto geometry = archive_.identity().geometry;
    const auto stored = archive_.segments(list.front().timeline, list.front().number);
    const auto before = find_segment_before(pg_wal_, list.front(), geometry);
    const bool follows_rescued = before && rescued_.contains(*before);
    std::optional<std::uint64_t> last;
    if (placement.shared) last = placement.shared->number;
    // The server of this very directory archived the timeline's history file, or a segment that has
    // expired: what of it nobody archived is its own.
    const bool follows_own =
        stored.empty() && has_archived_itself_ &&
        timeline_of(last_->key.substr(last_->key.rfind('/') + 1)) == list.front().timeline;
    if (!placement.shared && (follows_rescued || follows_own)) last = list.front().number - 1;
    const bool is_this_server = is_archived_for_this(placement) || follows_rescued;
    for (const auto& segment : list) {
      const auto name = segment.text(geometry);
      const bool is_archived =
          std::ranges::binary_search(stored, segment.number, {}, &StoredSegment::number) ||
          (segment == list.back() && is_archived_in_part(name));
      const bool follows = is_first_of_all() || (last && segment.number <= *last + 1);
      if (follows) last = std::max(last.value_or(0), segment.number);
      if (is_archived) continue;
      if (follows && is_this_server) {
        rescued_.insert(segment);
      } else {
        unplaced_.push_back(name);
      }
    }
  }

  // Nothing is archived of the cluster that could contradict it.
  [[nodiscard]] bool is_first_of_all() const { return archive_.branches().empty(); }

  // Two servers may archive the same WAL (archive_mode = always), and the other one may have been
  // first: what this directory's server noted is as good as what is archived says.
  [[nodiscard]] bool has_archived_itself() const {
    if (!last_ || !last_->key.starts_with(archive_.prefix())) return false;
    try {
      const auto archived = archive_.find_header(last_->key);
      return archived && archived->digest == last_->digest;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      return false;
    }
  }

  [[nodiscard]] bool is_archived_for_this(const WalPlacement& placement) const {
    const auto& own = options_.origin.archiver;
    if (has_archived_itself_) return true;
    if (placement.archiver) return own == placement.archiver;
    return what_ != RescueOf::the_same_server || is_first_of_all();
  }

  [[nodiscard]] Error not_placed() const {
    const auto some = unplaced_.size() == 1 ? unplaced_.front()
                                            : std::to_string(unplaced_.size()) + " segments, " +
                                                  unplaced_.front() + " to " + unplaced_.back();
    return {ErrorKind::conflict, "it is not known whose WAL \"" + data_directory_ + "\" holds",
            "Not archived so far: " + some +
                ". That this is the directory which was archived for cannot be shown: a copy of "
                "the original has WAL that looks alike.",
            "If it belongs to this cluster's history: walvault wal rescue --accept --cluster " +
                archive_.identity().name + " --pgdata " + data_directory_};
  }

  // A file that waits for the archiver, or that others follow, was written as
  // what its name says: if that is not in it, it is damaged.
  void look_at_others(const OwnSegments& segments) {
    for (const auto& segment : segments.others) {
      const auto name = segment.text(archive_.identity().geometry);
      const auto it = segments.by_timeline.find(segment.timeline);
      const bool is_followed = it != segments.by_timeline.end() && segment < it->second.back();
      if (ready_.contains(name) || is_followed) {
        result_.failed.push_back({.name = name, .why = "its first page is damaged, or another's"});
      } else {
        ++result_.passed_over;
      }
    }
  }

  // A restore may have fetched it as the end of the WAL; the server then keeps
  // it under its whole name and marks it.
  [[nodiscard]] bool is_archived_in_part(const std::string& name) const {
    const auto content =
        read_file(pg_wal_ + "/" + name, archive_.identity().geometry.segment_bytes);
    const auto key = archive_.partial_key(name + ".partial", sha256(content));
    return archive_.repository().storage().find_size(key).has_value();
  }

  void push_segment(const SegmentName& segment, const std::string& name, bool is_whole) {
    const auto before = find_segment_before(pg_wal_, segment, archive_.identity().geometry);
    const auto known = before ? digests_.find(*before) : digests_.end();
    options_.origin.before = known == digests_.end() ? std::nullopt : std::optional(known->second);
    push(name, is_whole ? WalFileKind::segment : WalFileKind::partial);
    options_.origin.before.reset();
    if (is_whole && !result_.archived.empty() && result_.archived.back().name == name &&
        result_.archived.back().digest) {
      digests_.emplace(segment, *result_.archived.back().digest);
    }
  }

  void push(const std::string& name, WalFileKind kind) {
    if (has_conflict_) return;
    const auto path = pg_wal_ + "/" + name;
    const bool is_rest =
        kind == WalFileKind::partial && classify_wal_file(name) == WalFileKind::segment;
    try {
      result_.archived.push_back(is_rest ? push_partial_segment(archive_, path, clock_, options_)
                                         : push_wal_file(archive_, path, clock_, options_));
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unavailable) throw;
      // Nothing is archived behind what is archived otherwise.
      has_conflict_ = error.kind() == ErrorKind::conflict;
      result_.failed.push_back({.name = name, .why = one_line(error)});
    }
  }

  const WalArchive& archive_;
  const std::string pg_wal_;
  const std::string data_directory_;
  const RescueOf what_;
  Clock& clock_;
  PushOptions options_;
  std::vector<std::string> names_;
  std::set<std::string> complete_;
  std::set<std::string> ready_;
  const std::optional<LastArchived> last_;
  std::set<SegmentName> rescued_;  // that will be, in this run
  std::vector<std::string> unplaced_;
  std::map<SegmentName, Digest> digests_;  // of whole ones, as they lie there
  std::optional<TimelineHistory> history_;
  bool has_archived_itself_ = false;
  bool has_conflict_ = false;
  RescueResult result_;
};

}  // namespace

std::optional<ClusterIdentity> find_identity_of(const std::vector<ClusterIdentity>& identities,
                                                const std::string& data_directory) {
  const auto identity_with = [&](std::uint64_t system_identifier) {
    const auto it =
        std::ranges::find(identities, system_identifier, &ClusterIdentity::system_identifier);
    return it == identities.end() ? std::nullopt : std::optional(*it);
  };
  const auto path = data_directory + "/" + std::string(control_file_path);
  if (find_status(path)) {
    try {
      return identity_with(
          parse_control_file(read_file(path, control_file_bytes_max)).system_identifier);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
    }
  }
  const auto pg_wal = data_directory + "/pg_wal";
  for (const auto& name : names_in(pg_wal)) {
    if (classify_wal_file(name) != WalFileKind::segment) continue;
    if (const auto header = find_segment_header(pg_wal, name)) {
      return identity_with(header->system_identifier);
    }
  }
  return std::nullopt;
}

std::optional<TimelineId> newest_timeline_in(const ClusterIdentity& identity,
                                             const std::string& data_directory) {
  const auto segments = own_segments(identity, data_directory + "/pg_wal");
  if (segments.by_timeline.empty()) return std::nullopt;
  return segments.by_timeline.rbegin()->first;
}

RescueResult rescue_wal(const WalArchive& archive, const std::string& data_directory, RescueOf what,
                        Clock& clock, const PushOptions& options) {
  check_data_directory(data_directory);
  return Rescue(archive, data_directory, what, clock, options).run();
}

}  // namespace walvault
