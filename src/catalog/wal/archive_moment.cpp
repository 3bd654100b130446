// Of WalArchive what it remembers at one moment, and the ledgers.
#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "catalog/wal/wal_archive.h"
#include "catalog/wal/wal_ledger.h"

namespace walvault {
namespace {

// Of a directory that is still written to, so many segments more give another ledger.
constexpr std::size_t ledger_step = 8;

}  // namespace

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
  const auto first_log = identity_.geometry.log_of(first);
  std::vector<StoredSegment> found;
  for (const auto& log : storage.list_names(prefix)) {
    if (log.size() != 8 || parse_hex(log).value_or(0) < first_log) continue;
    const auto directory = prefix + log + "/";
    storage.list(directory, [&](const ObjectInfo& object) {
      const auto segment = SegmentName::parse(std::string_view(object.key).substr(directory.size()),
                                              identity_.geometry);
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
        SegmentName::parse(std::string_view(object.key).substr(name), identity_.geometry);
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

std::optional<ChainSummary> WalArchive::find_chain_summary(const SegmentName& name,
                                                           const std::string& key) const {
  if (memory_ && key == key_of(name.text(identity_.geometry))) {
    const auto ledger = find_ledger(name);
    const auto* const known = ledger ? ledger->find(name.number) : nullptr;
    if (known != nullptr) return *known;
  }
  return find_own_summary(name, key);
}

std::optional<ChainSummary> WalArchive::find_own_summary(const SegmentName& name,
                                                         const std::string& key) const {
  auto found = find_summary(key);
  if (!found) return std::nullopt;
  if (found->header.start != name.start(identity_.geometry) ||
      found->summary.begin != found->header.start) {
    throw Error(ErrorKind::corrupt, "it holds other WAL than its name says",
                "It starts at " + found->header.start.text() + ".");
  }
  ChainSummary chain{.summary = std::move(found->summary), .origin = found->origin, .digest = {}};
  if (file_digest_tells(chain.summary, found->header.content_bytes)) {
    chain.digest = found->header.digest;
  }
  // Of an older version: settings change with a restart alone, so few are read for them.
  const auto& checkpoints = chain.summary.checkpoints;
  const bool has_restart = std::ranges::any_of(checkpoints, &Checkpoint::shutdown) ||
                           !chain.summary.timeline_changes.empty();
  if (!chain.summary.knows_changes && has_restart) {
    auto anew = make_summary(key);
    if (!anew) return std::nullopt;
    chain.summary = std::move(*anew);
  }
  return chain;
}

// Of a directory that its timeline goes on behind nothing new comes as a rule, and if it
// does, the ledger has another name. nullptr: there is none.
std::shared_ptr<const WalLedger> WalArchive::find_ledger(const SegmentName& name) const {
  const auto all = remembered_segments(name.timeline);
  const auto log = identity_.geometry.log_of(name.number);
  const auto first = std::ranges::lower_bound(*all, identity_.geometry.first_of_log(log), {},
                                              &StoredSegment::number);
  const auto behind = std::ranges::lower_bound(*all, identity_.geometry.first_of_log(log + 1), {},
                                               &StoredSegment::number);
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
         name.text(identity_.geometry).substr(8, 8) + "/";
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
  const auto log = identity_.geometry.log_of(name.number);
  std::vector<StoredSegment> segments;
  const auto any = key_of(name.text(identity_.geometry));
  const auto directory = any.substr(0, any.rfind('/') + 1);
  repository_.storage().list(directory, [&](const ObjectInfo& object) {
    const auto segment = SegmentName::parse(std::string_view(object.key).substr(directory.size()),
                                            identity_.geometry);
    if (segment && identity_.geometry.log_of(segment->number) == log) {
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
    if (const auto* const chain = known != nullptr ? known->find(segment.number) : nullptr) {
      ledger.entries.push_back({.number = segment.number, .chain = *chain});
      continue;
    }
    const SegmentName name{.timeline = timeline, .number = segment.number};
    try {
      auto found = find_own_summary(name, key_of(name.text(identity_.geometry)));
      if (found) ledger.entries.push_back({.number = segment.number, .chain = std::move(*found)});
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
