#include "archiving/wal_gate.h"

#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "codec/sha256.h"
#include "datadir/file_tree.h"
#include "postgres/timeline_history.h"
#include "postgres/wal_page.h"
#include "postgres/wal_summary.h"

namespace walvault {
namespace {

constexpr std::uint64_t history_bytes_max = 1u << 20;

// A larger one is not read for a comparison.
constexpr std::uint64_t compared_bytes_max = 64u << 20;

// SHA-256 of a segment's file; nullopt: it is not there, cannot be read, holds other WAL than its
// name says, as a file does that is used again, or its digest does not tell (file_digest_tells).
std::optional<Digest> find_digest(const std::string& pg_wal, const SegmentName& segment,
                                  WalGeometry geometry) try {
  if (geometry.segment_bytes > compared_bytes_max) return std::nullopt;
  const auto path = pg_wal + "/" + segment.text(geometry);
  const auto file = find_file(path, O_RDONLY);
  if (!file) return std::nullopt;
  Bytes content(geometry.segment_bytes);
  if (read_at(*file, content, 0, path) != content.size()) return std::nullopt;
  const auto header = parse_wal_segment_header(content);
  if (!is_wal_of_its_name(pg_wal, header, segment, geometry)) return std::nullopt;
  return find_telling_digest(content, segment);
} catch (const Error&) {
  // What cannot be compared contradicts nothing.
  return std::nullopt;
}

// As a server has it; nullopt: it has none that can be read, and a first timeline needs none.
std::optional<TimelineHistory> find_own_history(const std::string& pg_wal, TimelineId timeline) {
  const auto path = pg_wal + "/" + history_file_name(timeline);
  if (timeline.value == 1 || !find_status(path)) return std::nullopt;
  try {
    return TimelineHistory::parse(timeline, read_file(path, history_bytes_max));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

// The name of the segment before one, which need not be there.
std::optional<SegmentName> name_before(const std::string& pg_wal, const SegmentName& segment,
                                       WalGeometry geometry) {
  if (segment.number == 0) return std::nullopt;
  SegmentName before{.timeline = segment.timeline, .number = segment.number - 1};
  if (const auto history = find_own_history(pg_wal, segment.timeline)) {
    before.timeline = history->at({segment.start(geometry).value - 1});
  }
  return before;
}

Error another_one(const WalArchive& archive, const SegmentName& segment, const Digest& own,
                  const WalObjectHeader& archived, const std::string& what) {
  const auto timeline = std::to_string(segment.timeline.value);
  return {ErrorKind::conflict, what,
          "Segment " + segment.text(archive.identity().geometry) + " is archived with sha256 " +
              archived.digest.hex().substr(0, 16) + "... since " + to_rfc3339(archived.archived) +
              "; this server has it with sha256 " + own.hex().substr(0, 16) + "....",
          "Another server archives under the name " + archive.identity().name +
              ": a copy that goes on, as a rule. Stop archiving on the one that is not the "
              "original. If this one is to go on with its own: walvault timeline set-aside " +
              timeline + " --yes, and a new backup."};
}

// Where no segment before is shared, the history file of a timeline tells which one of its number
// this is: two promotions write two.
void expect_same_history(const WalArchive& archive, const std::string& pg_wal,
                         TimelineId timeline) {
  const auto name = history_file_name(timeline);
  const auto path = pg_wal + "/" + name;
  if (timeline.value == 1 || !find_status(path)) return;
  const auto archived = archive.find_header(archive.key_of(name));
  if (!archived || archived->digest == sha256(read_file(path, history_bytes_max))) return;
  const auto number = std::to_string(timeline.value);
  throw Error(
      ErrorKind::conflict, "timeline " + number + " of this server is not the one that is archived",
      "Its " + name +
          " has other content than the archived one: two servers were promoted "
          "onto one number.",
      "Stop archiving on the one that is not to go on. If this one is to: walvault timeline "
      "set-aside " +
          number + " --yes, and a new backup.");
}

std::optional<WalArchive::SummarizedWal> find_archived(const WalArchive& archive,
                                                       const SegmentName& segment) {
  try {
    auto found = archive.find_summary(archive.key_of(segment.text(archive.identity().geometry)));
    if (found && file_digest_tells(found->summary, found->header.content_bytes)) return found;
  } catch (const Error& error) {
    // A damaged object contradicts nothing.
    if (error.kind() != ErrorKind::corrupt) throw;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Digest> find_telling_digest(ByteView content, const SegmentName& segment) {
  const auto header = parse_wal_segment_header(content);
  WalSummarizer summarizer(header, header.page.page_address, segment.timeline);
  summarizer.read(content);
  const auto last =
      std::find_if(content.rbegin(), content.rend(), [](std::uint8_t byte) { return byte != 0; });
  const auto content_bytes = static_cast<std::uint64_t>(content.rend() - last);
  if (!file_digest_tells(summarizer.finish(), content_bytes)) return std::nullopt;
  return sha256(content);
}

bool is_wal_of_its_name(const std::string& pg_wal, const WalSegmentHeader& header,
                        const SegmentName& segment, WalGeometry geometry) {
  if (header.page.page_address != segment.start(geometry)) return false;
  const auto written_on = header.page.timeline;
  if (written_on == segment.timeline) return true;
  if (written_on > segment.timeline) return false;
  // What lies before the switch in the segment in which a timeline begins is its parent's.
  const auto history = find_own_history(pg_wal, segment.timeline);
  return !history || history->at(segment.start(geometry)) == written_on;
}

bool is_left_within(const std::string& pg_wal, const SegmentName& segment, WalGeometry geometry) {
  TimelineId newest = segment.timeline;
  for (const auto& name : names_in(pg_wal)) {
    if (classify_wal_file(name) == WalFileKind::timeline) {
      newest = std::max(newest, timeline_of(name));
    }
  }
  const auto history = find_own_history(pg_wal, newest);
  const auto leaves = history ? history->leaves(segment.timeline) : std::nullopt;
  return leaves && segment.end(geometry) > *leaves;
}

std::optional<SegmentName> find_segment_before(const std::string& pg_wal,
                                               const SegmentName& segment, WalGeometry geometry) {
  const auto before = name_before(pg_wal, segment, geometry);
  const bool is_there = before && find_status(pg_wal + "/" + before->text(geometry));
  return is_there ? before : std::nullopt;
}

std::optional<Digest> find_noted_before(const WalArchive& archive, const SegmentName& segment,
                                        const std::string& place,
                                        const std::optional<LastArchived>& last) {
  if (segment.number == 0 || !last || last->place != place) return std::nullopt;
  const SegmentName before{.timeline = segment.timeline, .number = segment.number - 1};
  const auto key = archive.key_of(before.text(archive.identity().geometry));
  return last->key == key ? std::optional(last->digest) : std::nullopt;
}

std::optional<Digest> expect_follows_archived(const WalArchive& archive, const OfferedFile& offered,
                                              const SegmentName& segment, const std::string& place,
                                              const std::optional<LastArchived>& last) {
  const auto geometry = archive.identity().geometry;
  if (const auto noted = find_noted_before(archive, segment, place, last)) return noted;
  const auto before = find_segment_before(offered.directory, segment, geometry);
  const auto own = before ? find_digest(offered.directory, *before, geometry) : std::nullopt;
  const auto archived = own ? find_archived(archive, *before) : std::nullopt;
  if (!archived) expect_same_history(archive, offered.directory, segment.timeline);
  if (!own) return std::nullopt;
  if (archived && archived->header.digest != *own) {
    throw another_one(archive, *before, *own, archived->header,
                      "WAL segment " + offered.name + " does not go on with what is archived");
  }
  return own;
}

void expect_same_as_archived(const WalArchive& archive, const SegmentName& segment,
                             const Digest& own) {
  const auto archived = find_archived(archive, segment);
  if (!archived || archived->header.digest == own) return;
  throw another_one(archive, segment, own, archived->header,
                    "the WAL that the server sends does not go on with what is archived");
}

WalPlacement place_segments(const WalArchive& archive, const std::string& pg_wal,
                            std::span<const SegmentName> segments, bool is_last_whole,
                            const std::optional<LastArchived>& last) {
  const auto geometry = archive.identity().geometry;
  if (segments.empty()) return {};
  const auto first = segments.front();
  const auto whole = segments.first(segments.size() - (is_last_whole ? 0 : 1));
  std::optional<SegmentName> shared;
  for (const auto& stored : archive.segments(first.timeline, first.number)) {
    const SegmentName name{.timeline = first.timeline, .number = stored.number};
    if (std::ranges::binary_search(whole, name)) shared = name;
  }
  if (!shared) {
    expect_same_history(archive, pg_wal, first.timeline);
    shared = name_before(pg_wal, first, geometry);
  }
  if (!shared) return {};
  const auto key = archive.key_of(shared->text(geometry));
  auto own = find_digest(pg_wal, *shared, geometry);
  if (!own && last && last->key == key) own = last->digest;
  if (!own) return {};
  const auto archived = find_archived(archive, *shared);
  if (!archived) return {};
  if (archived->header.digest != *own) {
    throw another_one(archive, *shared, *own, archived->header,
                      "the WAL in \"" + pg_wal + "\" does not go on with what is archived");
  }
  return {.shared = shared, .digest = own, .archiver = archived->origin.archiver};
}

}  // namespace walvault
