#include "catalog/wal/wal_archive.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "catalog/wal/stored_summary.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

// Of an object's end: the trailer and nearly every summary.
constexpr std::uint64_t summary_read_bytes = 16384;

// An object that is read whole rather than by its two ends.
constexpr std::uint64_t whole_read_bytes = 65536;

}  // namespace

WalArchive::WalArchive(const Repository& repository, ClusterIdentity identity)
    : repository_(repository),
      identity_(std::move(identity)),
      openings_(list_branch_openings(repository_, identity_)) {
  show_newest_branches();
}

void WalArchive::show_newest_branches() {
  shown_.clear();
  for (const auto& opening : openings_) shown_[opening.opened.timeline] = opening.opened.branch;
}

std::uint32_t WalArchive::branch_of(TimelineId timeline) const {
  const auto it = shown_.find(timeline);
  return it == shown_.end() ? 0 : it->second;
}

WalArchive WalArchive::with(const std::vector<TimelineBranch>& branches) const {
  auto changed = *this;
  for (const auto& each : branches) changed.shown_[each.timeline] = each.branch;
  return changed;
}

WalArchive WalArchive::view_of(TimelineBranch branch) const {
  auto view = *this;
  view.show_newest_branches();
  view.shown_[branch.timeline] = branch.branch;
  // Later openings first, so that of several that list it the earliest counts:
  // the branch before that one was what it came from.
  for (auto it = openings_.rbegin(); it != openings_.rend(); ++it) {
    if (std::ranges::find(it->descendants, branch) != it->descendants.end()) {
      view.shown_[it->opened.timeline] = it->opened.branch - 1;
    }
  }
  return view;
}

std::vector<TimelineBranch> WalArchive::branches() const {
  std::vector<TimelineBranch> found;
  // Timeline directories are "<8 hex digits>-<branch>".
  for (const auto& name : repository_.storage().list_names(prefix())) {
    const auto id =
        parse_hex(std::string_view(name).substr(0, std::min<std::size_t>(8, name.size())));
    if (!id || name.size() < 9) continue;
    const auto branch = TimelineBranch::parse(std::to_string(*id) + name.substr(8));
    if (branch) found.push_back(*branch);
  }
  std::ranges::sort(found);
  return found;
}

namespace {

// What is archived so far cannot go on from a branch that is opened now: so where a history cannot
// be read, its timeline stays with the old one.
bool leaves_or_is_unreadable(const WalArchive& view, TimelineId timeline, TimelineId from) {
  try {
    return view.history(timeline).leaves(from).has_value();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return true;
  }
}

}  // namespace

TimelineBranch WalArchive::set_aside(TimelineId timeline, Timestamp now) const {
  const auto archived = timelines();
  if (std::ranges::find(archived, timeline) == archived.end()) {
    const auto known = list_of(archived, [](TimelineId id) { return std::to_string(id.value); });
    throw Error(ErrorKind::not_found,
                "nothing of timeline " + std::to_string(timeline.value) + " is archived",
                "Archived timelines: " + (known.empty() ? "none" : known) + ".");
  }
  BranchOpening opening{.opened = {.timeline = timeline, .branch = branch_of(timeline) + 1},
                        .when = now,
                        .descendants = {}};
  // Those that were set aside themselves included.
  for (const auto& branch : branches()) {
    const auto view = view_of(branch);
    if (branch.timeline <= timeline || view.branch_of(timeline) != branch_of(timeline)) continue;
    if (leaves_or_is_unreadable(view, branch.timeline, timeline)) {
      opening.descendants.push_back(branch);
    }
  }
  if (!put_branch_opening(repository_, identity_, opening)) {
    throw Error(ErrorKind::unavailable,
                "timeline " + std::to_string(timeline.value) + " was set aside at this instant", {},
                "Look at it with: walvault info");
  }
  return opening.opened;
}

bool file_digest_tells(const WalSummary& summary, std::uint64_t content_bytes) {
  if (!summary.switched) return true;
  // The switch is a header alone; a page's header may lie within it.
  constexpr std::uint64_t switch_bytes = 2 * wal_record_header_bytes;
  return content_bytes <= summary.last.value - summary.begin.value + switch_bytes;
}

std::string wal_branch_prefix(const std::string& cluster, std::uint32_t identity_number,
                              TimelineBranch branch) {
  return prefix_of(ObjectPlace::wal, cluster) + std::to_string(identity_number) + "/" +
         to_upper_hex(branch.timeline.value) + "-" + std::to_string(branch.branch) + "/";
}

std::string ledgers_beside(std::string_view wal_prefix) {
  return std::string(prefix_of(ObjectPlace::ledgers)) +
         std::string(wal_prefix.substr(prefix_of(ObjectPlace::wal).size()));
}

std::string WalArchive::prefix() const { return prefix_of(ObjectPlace::wal, identity_); }

std::string WalArchive::timeline_prefix(TimelineId timeline) const {
  return wal_branch_prefix(identity_.name, identity_.number,
                           {.timeline = timeline, .branch = branch_of(timeline)});
}

std::string WalArchive::key_of(std::string_view file_name) const {
  const auto prefix = timeline_prefix(timeline_of(file_name));
  if (classify_wal_file(file_name) == WalFileKind::timeline) {
    return prefix + std::string(file_name);
  }
  return prefix + std::string(file_name.substr(8, 8)) + "/" + std::string(file_name);
}

std::string WalArchive::partial_key(std::string_view file_name, const Digest& digest) const {
  return key_of(file_name) + "." + digest.hex().substr(0, 32);
}

bool WalArchive::has_segment(const SegmentName& segment) const {
  return repository_.storage().find_size(key_of(segment.text(identity_.geometry))).has_value();
}

std::optional<WalObjectHeader> WalArchive::find_header(const std::string& key) const {
  const auto prefix = repository_.storage().find(key, {.length = wal_object_prefix_bytes});
  if (!prefix) return std::nullopt;
  return parse_wal_object_header(repository_.codec(), *prefix, key).header;
}

std::optional<Timestamp> WalArchive::last_written(const std::string& key) const {
  try {
    const auto header = find_header(key);
    return header ? std::optional(header->modified) : std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return std::nullopt;
  }
}

std::optional<WalArchive::SummarizedWal> WalArchive::find_summary(const std::string& key) const {
  auto& storage = repository_.storage();
  const auto size = storage.find_size(key);
  if (!size) return std::nullopt;
  // A small object at once, of a larger one its two ends; most summaries come with the
  // trailer.
  const bool is_small = *size <= whole_read_bytes;
  const auto begin = storage.find(key, {.length = is_small ? *size : wal_object_prefix_bytes});
  if (!begin) return std::nullopt;
  auto header = parse_wal_object_header(repository_.codec(), *begin, key).header;
  std::optional<Bytes> rest;
  ByteView tail = *begin;
  const auto read_last = [&](std::uint64_t bytes) {
    if (tail.size() >= bytes && is_small) return true;
    rest = storage.find(key, {.offset = *size - bytes, .length = bytes});
    if (rest) tail = *rest;
    return rest && rest->size() == bytes;
  };
  if (!read_last(std::min<std::uint64_t>(*size, summary_read_bytes)) ||
      tail.size() < wal_object_trailer_bytes) {
    return std::nullopt;
  }
  const auto place = parse_wal_object_trailer(tail.last(wal_object_trailer_bytes), key);
  if (place.length == 0) {
    auto summary = make_summary(key);
    if (!summary) return std::nullopt;
    return SummarizedWal{.header = std::move(header), .summary = std::move(*summary), .origin = {}};
  }
  const auto needed = std::uint64_t{place.length} + wal_object_trailer_bytes;
  if (place.offset + needed != *size) {
    throw Error(ErrorKind::corrupt, "the archived file " + key + " is damaged",
                "Its summary does not end where its trailer begins.",
                "Restore it from a copy of the repository.");
  }
  if (needed > tail.size() && !read_last(needed)) return std::nullopt;
  auto stored = decode_wal_summary(tail.last(needed).first(place.length), key, place.version);
  return SummarizedWal{
      .header = std::move(header), .summary = std::move(stored.summary), .origin = stored.origin};
}

std::optional<WalSummary> WalArchive::make_summary(const std::string& key,
                                                   const SummaryLimits& limits) const {
  const auto object = repository_.storage().find(key);
  if (!object) return std::nullopt;
  const auto wal = decode_wal_object(repository_.codec(), *object, key, 1, repository_.buffers());
  const auto first = parse_wal_segment_header(wal);
  WalSummarizer summarizer(first, first.page.page_address,
                           timeline_of(key.substr(key.rfind('/') + 1)), limits);
  summarizer.read(wal);
  return summarizer.finish();
}

std::vector<std::string> WalArchive::partial_keys(std::string_view file_name) const {
  const auto key = key_of(file_name);
  const auto directory = key.substr(0, key.find_last_of('/') + 1);
  std::vector<std::string> keys;
  for (const auto& name : repository_.storage().list_names(directory)) {
    if (name.starts_with(std::string(file_name) + ".")) keys.push_back(directory + name);
  }
  return keys;
}

std::optional<std::string> WalArchive::find_partial_key(std::string_view file_name) const {
  std::optional<std::string> newest;
  Timestamp newest_time{};
  for (auto& key : partial_keys(file_name)) {
    std::optional<WalObjectHeader> header;
    try {
      header = find_header(key);
    } catch (const Error& error) {
      // A damaged one is none.
      if (error.kind() != ErrorKind::corrupt) throw;
    }
    if (header && (!newest || header->archived > newest_time)) {
      newest = std::move(key);
      newest_time = header->archived;
    }
  }
  return newest;
}

std::optional<Bytes> WalArchive::find_file(std::string_view file_name) const {
  return find_stored_file(key_of(file_name));
}

std::optional<Bytes> WalArchive::find_stored_file(const std::string& key) const {
  const auto object = repository_.storage().find(key);
  if (!object) return std::nullopt;
  return decode_wal_object(repository_.codec(), *object, key, 1, repository_.buffers());
}

std::vector<TimelineId> WalArchive::timelines() const {
  std::vector<TimelineId> timelines;
  for (const auto& branch : branches()) {
    if (branch.branch == branch_of(branch.timeline)) timelines.push_back(branch.timeline);
  }
  return timelines;
}

std::optional<TimelineHistory> WalArchive::find_history(TimelineId timeline) const {
  if (timeline.value == 1) return TimelineHistory::root(timeline);
  const auto content = find_file(history_file_name(timeline));
  if (!content) return std::nullopt;
  return TimelineHistory::parse(timeline, *content);
}

TimelineHistory WalArchive::history(TimelineId timeline) const {
  return find_history(timeline).value_or(TimelineHistory::root(timeline));
}

}  // namespace walvault
