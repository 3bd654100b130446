#include "catalog/wal/wal_archive.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/format.h"
#include "catalog/wal/stored_summary.h"
#include "catalog/wal/wal_ledger.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

// Of an object's end: the trailer and nearly every summary.
constexpr std::uint64_t summary_read_bytes = 16384;

// An object that is read whole rather than by its two ends.
constexpr std::uint64_t whole_read_bytes = 65536;

// Of a directory that is still written to, so many segments more give another ledger.
constexpr std::size_t ledger_step = 8;

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
    if (view.branch_of(timeline) == branch_of(timeline) &&
        view.history(branch.timeline).leaves(timeline)) {
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

std::uint64_t WalArchive::segments_in_log() const {
  return 0x1'0000'0000u / identity_.segment_bytes;
}

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
  return repository_.storage().find_size(key_of(segment.text(identity_.segment_bytes))).has_value();
}

std::optional<WalObjectHeader> WalArchive::find_header(const std::string& key) const {
  const auto prefix = repository_.storage().find(key, {.length = wal_object_prefix_bytes});
  if (!prefix) return std::nullopt;
  return parse_wal_object_header(*prefix, key).header;
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
  auto header = parse_wal_object_header(*begin, key).header;
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
    return SummarizedWal{.header = std::move(header), .summary = std::move(*summary)};
  }
  const auto needed = std::uint64_t{place.length} + wal_object_trailer_bytes;
  if (place.offset + needed != *size) {
    throw Error(ErrorKind::corrupt, "the archived file " + key + " is damaged",
                "Its summary does not end where its trailer begins.",
                "Restore it from a copy of the repository.");
  }
  if (needed > tail.size() && !read_last(needed)) return std::nullopt;
  const auto stored = tail.last(needed).first(place.length);
  return SummarizedWal{.header = std::move(header), .summary = decode_wal_summary(stored, key)};
}

std::optional<WalSummary> WalArchive::make_summary(const std::string& key,
                                                   std::size_t list_max) const {
  const auto object = repository_.storage().find(key);
  if (!object) return std::nullopt;
  const auto wal = decode_wal_object(*object, key, 1, repository_.buffers());
  const auto first = parse_wal_segment_header(wal);
  WalSummarizer summarizer(first, first.page.page_address,
                           timeline_of(key.substr(key.rfind('/') + 1)), list_max);
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
    const auto header = find_header(key);
    if (header && (!newest || header->archived > newest_time)) {
      newest = std::move(key);
      newest_time = header->archived;
    }
  }
  return newest;
}

std::optional<Bytes> WalArchive::find_file(std::string_view file_name) const {
  const auto key = key_of(file_name);
  const auto object = repository_.storage().find(key);
  if (!object) return std::nullopt;
  return decode_wal_object(*object, key, 1, repository_.buffers());
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

// What is remembered of an archive at one moment.
struct WalArchive::Memory {
  // A walk goes through one directory after another.
  static constexpr std::size_t ledgers_max = 2;

  explicit Memory(bool keeps) : keep_ledgers(keeps) {}

  bool keep_ledgers;
  std::mutex mutex;
  // Set with the first look at any of it.
  bool is_listed = false;
  std::uint64_t stored_bytes = 0;
  // By what the keys of a timeline begin with.
  std::map<std::string, std::shared_ptr<const std::vector<StoredSegment>>> segments;
  // By what its key begins with, the last one used at the end.
  using Ledger = std::pair<std::string, std::shared_ptr<const WalLedger>>;
  std::vector<Ledger> ledgers;
};

ArchiveMoment WalArchive::at_this_moment(bool keep_ledgers) const { return {*this, keep_ledgers}; }

ArchiveMoment::ArchiveMoment(const WalArchive& archive, bool keep_ledgers) : WalArchive(archive) {
  memory_ = std::make_shared<Memory>(keep_ledgers);
}

std::vector<StoredSegment> WalArchive::list_segments(TimelineId timeline,
                                                     std::uint64_t first) const {
  auto& storage = repository_.storage();
  const auto prefix = timeline_prefix(timeline);
  const auto first_log = first / segments_in_log();
  std::vector<StoredSegment> found;
  for (const auto& log : storage.list_names(prefix)) {
    if (log.size() != 8 || parse_hex(log).value_or(0) < first_log) continue;
    const auto directory = prefix + log + "/";
    storage.list(directory, [&](const ObjectInfo& object) {
      const auto segment = SegmentName::parse(std::string_view(object.key).substr(directory.size()),
                                              identity_.segment_bytes);
      if (segment && segment->number >= first) {
        found.push_back({.number = segment->number, .stored_bytes = object.size});
      }
    });
  }
  return found;
}

std::shared_ptr<const std::vector<StoredSegment>> WalArchive::remembered_segments(
    TimelineId timeline) const {
  const std::lock_guard lock(memory_->mutex);
  list_all();
  const auto it = memory_->segments.find(timeline_prefix(timeline));
  return it == memory_->segments.end() ? std::make_shared<const std::vector<StoredSegment>>()
                                       : it->second;
}

// REQUIRES: the lock of the memory is held.
void WalArchive::list_all() const {
  if (memory_->is_listed) return;
  std::string timeline;  // that of the key before
  std::shared_ptr<std::vector<StoredSegment>> segments;
  const auto all = prefix();
  repository_.storage().list(all, [&](const ObjectInfo& object) {
    memory_->stored_bytes += object.size;
    const auto name = object.key.rfind('/') + 1;
    const auto segment =
        SegmentName::parse(std::string_view(object.key).substr(name), identity_.segment_bytes);
    if (!segment) return;
    if (!segments || !object.key.starts_with(timeline)) {
      timeline = object.key.substr(0, object.key.find('/', all.size()) + 1);
      segments = std::make_shared<std::vector<StoredSegment>>();
      memory_->segments.emplace(timeline, segments);
    }
    segments->push_back({.number = segment->number, .stored_bytes = object.size});
  });
  memory_->is_listed = true;
}

void ArchiveMoment::forget(TimelineBranch branch, std::uint64_t first, std::uint64_t behind) {
  const std::lock_guard lock(memory_->mutex);
  list_all();
  memory_->keep_ledgers = false;
  auto& segments = memory_->segments[with({branch}).timeline_prefix(branch.timeline)];
  if (!segments) return;
  auto left = *segments;
  std::erase_if(left, [&](const StoredSegment& each) {
    return each.number >= first && each.number < behind;
  });
  segments = std::make_shared<const std::vector<StoredSegment>>(std::move(left));
  memory_->ledgers.clear();
}

std::uint64_t WalArchive::stored_bytes() const {
  if (!memory_) return at_this_moment(false).stored_bytes();
  const std::lock_guard lock(memory_->mutex);
  list_all();
  return memory_->stored_bytes;
}

std::vector<StoredSegment> WalArchive::segments(TimelineId timeline, std::uint64_t first) const {
  if (!memory_) return list_segments(timeline, first);
  const auto all = remembered_segments(timeline);
  return {std::ranges::lower_bound(*all, first, {}, &StoredSegment::number), all->end()};
}

std::optional<WalSummary> WalArchive::find_chain_summary(const SegmentName& name,
                                                         const std::string& key) const {
  if (memory_ && key == key_of(name.text(identity_.segment_bytes))) {
    const auto ledger = find_ledger(name);
    const auto* const known = ledger ? ledger->find(name.number) : nullptr;
    if (known != nullptr) return *known;
  }
  return find_own_summary(name, key);
}

std::optional<WalSummary> WalArchive::find_own_summary(const SegmentName& name,
                                                       const std::string& key) const {
  auto found = find_summary(key);
  if (!found) return std::nullopt;
  if (found->header.start != name.start(identity_.segment_bytes) ||
      found->summary.begin != found->header.start) {
    throw Error(ErrorKind::corrupt, "it holds other WAL than its name says",
                "It starts at " + found->header.start.text() + ".");
  }
  return std::move(found->summary);
}

// Of a directory that its timeline goes on behind nothing new comes as a rule, and if it
// does, the ledger has another name. nullptr: there is none.
std::shared_ptr<const WalLedger> WalArchive::find_ledger(const SegmentName& name) const {
  const auto all = remembered_segments(name.timeline);
  const auto log = name.number / segments_in_log();
  const auto first =
      std::ranges::lower_bound(*all, log * segments_in_log(), {}, &StoredSegment::number);
  const auto behind =
      std::ranges::lower_bound(*all, (log + 1) * segments_in_log(), {}, &StoredSegment::number);
  if (first == behind) return nullptr;

  const std::lock_guard lock(memory_->mutex);
  auto& ledgers = memory_->ledgers;
  const auto prefix = ledger_prefix(name);
  const auto known = std::ranges::find(ledgers, prefix, &Memory::Ledger::first);
  if (known != ledgers.end()) {
    std::rotate(known, known + 1, ledgers.end());
    return ledgers.back().second;
  }
  auto ledger = look_for_ledger(name, {first, behind}, behind == all->end(),
                                memory_->keep_ledgers ? all->size() : 0);
  if (ledgers.size() == Memory::ledgers_max) ledgers.erase(ledgers.begin());
  ledgers.emplace_back(prefix, ledger);
  return ledger;
}

std::string WalArchive::ledger_prefix(const SegmentName& name) const {
  return ledgers_beside(timeline_prefix(name.timeline)) +
         name.text(identity_.segment_bytes).substr(8, 8) + "/";
}

// `segments`: all of the directory. Made is one that lacks no more than `make_max`.
std::shared_ptr<const WalLedger> WalArchive::look_for_ledger(
    const SegmentName& name, std::span<const StoredSegment> segments, bool is_open,
    std::size_t make_max) const {
  const auto prefix = ledger_prefix(name);
  std::shared_ptr<const WalLedger> found;
  const auto find = [&](const std::string& key) {
    try {
      if (const auto payload = repository_.find_sealed(ObjectKind::ledger, key)) {
        found = std::make_shared<WalLedger>(decode_wal_ledger(*payload, key));
      }
    } catch (const Error& error) {
      // The segments say the same.
      if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    }
    return found != nullptr;
  };
  if (!is_open) {
    const auto key = prefix + ledger_name(segments);
    if (find(key) || segments.size() > make_max) return found;
    return make_ledger(key, name.timeline, segments, nullptr);
  }
  const auto most = (segments.size() - 1) / ledger_step * ledger_step;
  if (most == 0) return nullptr;
  const auto names = repository_.storage().list_names(prefix);
  std::size_t count = most;
  for (; count > 0; count -= ledger_step) {
    auto key = ledger_name(segments.first(count));
    if (std::ranges::find(names, key) != names.end() && find(prefix + key)) break;
  }
  if (count == most || most - count > make_max) return found;
  return make_ledger(prefix + ledger_name(segments.first(most)), name.timeline,
                     segments.first(most), found.get());
}

void WalArchive::keep_ledger(const SegmentName& name, std::size_t make_max) const {
  const auto log = name.number / segments_in_log();
  std::vector<StoredSegment> segments;
  const auto any = key_of(name.text(identity_.segment_bytes));
  const auto directory = any.substr(0, any.rfind('/') + 1);
  repository_.storage().list(directory, [&](const ObjectInfo& object) {
    const auto segment = SegmentName::parse(std::string_view(object.key).substr(directory.size()),
                                            identity_.segment_bytes);
    if (segment && segment->number / segments_in_log() == log) {
      segments.push_back({.number = segment->number, .stored_bytes = object.size});
    }
  });
  if (!segments.empty()) (void)look_for_ledger(name, segments, true, make_max);
}

std::shared_ptr<const WalLedger> WalArchive::make_ledger(const std::string& key,
                                                         TimelineId timeline,
                                                         std::span<const StoredSegment> segments,
                                                         const WalLedger* known) const {
  WalLedger ledger;
  for (const auto& segment : segments) {
    if (const auto* const summary = known != nullptr ? known->find(segment.number) : nullptr) {
      ledger.entries.push_back({.number = segment.number, .summary = *summary});
      continue;
    }
    const SegmentName name{.timeline = timeline, .number = segment.number};
    try {
      auto found = find_own_summary(name, key_of(name.text(identity_.segment_bytes)));
      if (found) ledger.entries.push_back({.number = segment.number, .summary = std::move(*found)});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
    }
  }
  trim_for_ledger(ledger.entries);
  try {
    (void)repository_.put_sealed(ObjectKind::ledger, key, encode_wal_ledger(ledger));
  } catch (const Error& error) {
    // Who may only read does without.
    if (error.kind() != ErrorKind::unavailable) throw;
  }
  return std::make_shared<WalLedger>(std::move(ledger));
}

}  // namespace walvault
