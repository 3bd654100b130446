#include "archive_command/push_ahead.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

constexpr std::string_view ready_suffix = ".ready";

// A larger segment's compressed frames are too much to hold for several.
constexpr std::uint64_t segment_bytes_max = 64u << 20;

// After so long no further one is begun: the offered one, which is done, is not
// acknowledged before, and a server that shuts down waits for its archiver.
constexpr std::chrono::seconds ahead_time_max{10};

// The segments of the same timeline that wait behind this one, the oldest first.
std::vector<std::string> waiting_behind(const WalArchive& archive, const std::string& directory,
                                        const SegmentName& offered) {
  const auto segment_bytes = archive.identity().segment_bytes;
  std::vector<std::string> waiting;
  for (const auto& name : names_in(directory + "/archive_status")) {
    if (!name.ends_with(ready_suffix)) continue;
    auto file = name.substr(0, name.size() - ready_suffix.size());
    const auto segment = SegmentName::parse(file, segment_bytes);
    if (segment && segment->timeline == offered.timeline && segment->number > offered.number) {
      waiting.push_back(std::move(file));
    }
  }
  std::ranges::sort(waiting);
  return waiting;
}

struct Item {
  std::string path;
  bool is_offered = false;
  std::optional<PreparedFile> prepared = {};  // nullopt: it cannot be archived
  std::optional<PushResult> stored = {};      // nullopt: it is not
};

// Takes away the first that is archived already, and what follows it.
void cut_at_archived(const WalArchive& archive, const SegmentName& offered,
                     std::vector<std::string>& next) try {
  std::set<std::uint64_t> archived;
  for (const auto& segment : archive.segments(offered.timeline, offered.number + 1)) {
    archived.insert(segment.number);
  }
  const auto first = std::ranges::find_if(next, [&](const std::string& name) {
    const auto segment = SegmentName::parse(name, archive.identity().segment_bytes);
    return !segment || archived.contains(segment->number);
  });
  next.erase(first, next.end());
} catch (const Error&) {
  next.clear();
}

}  // namespace

PushAheadResult push_and_ahead(const WalArchive& archive, const std::string& path, Clock& clock,
                               const PushAheadOptions& options, const Acknowledgements* notes) {
  const auto slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash);
  const auto name = path.substr(slash + 1);
  const auto segment_bytes = archive.identity().segment_bytes;
  const auto segment = SegmentName::parse(name, segment_bytes);
  const auto alone_only = [&] {
    return PushAheadResult{.offered = push_wal_file(archive, path, clock, options.push)};
  };
  if (notes == nullptr || options.ahead == 0 || !segment || segment_bytes > segment_bytes_max) {
    return alone_only();
  }
  if (auto archived = notes->take(archive, path)) return {.offered = std::move(*archived)};

  std::vector<std::string> next;
  try {
    next = waiting_behind(archive, directory, *segment);
    // What cannot be noted would be done again by each call.
    if (!next.empty() && !notes->can_be_kept()) next.clear();
    notes->forget_before(archive, name);
    std::erase_if(next, [&](const std::string& waiting) { return notes->has(archive, waiting); });
    if (next.size() > options.ahead) next.resize(options.ahead);
  } catch (const Error&) {
    // The one at hand is what counts.
    next.clear();
  }
  if (next.empty()) return alone_only();

  auto alone = options.push;
  alone.threads = 1;
  const bool one_by_one = options.uploads <= 1;
  PushAheadResult result;
  if (!one_by_one) {
    // First of all the one that is offered: where that is refused, as another server's
    // is, nothing of this one gets into that one's history.
    result.offered = push_wal_file(archive, path, clock, options.push);
    cut_at_archived(archive, *segment, next);
  }
  const auto at_once = std::max(one_by_one ? 1u : options.uploads, options.push.threads);
  bool has_stopped = false;  // the delivering thread's
  const auto store_item = [&](Item& item) {
    try {
      if (item.prepared) item.stored = item.prepared->store(archive);
    } catch (const Error&) {
      if (item.is_offered) throw;
    }
  };
  OrderedWorkers<Item> workers(
      {.threads = at_once, .in_flight_max = at_once},
      [&](Item& item, unsigned) {
        try {
          item.prepared.emplace(archive, item.path, clock, alone);
        } catch (const Error&) {
          // Of what is the matter with others their own calls tell.
          if (item.is_offered) throw;
        }
        if (!one_by_one) store_item(item);
      },
      [&](Item& item) {
        // One after another, each only behind the one before it.
        if (one_by_one && !has_stopped) store_item(item);
        if (item.is_offered) {
          result.offered = *item.stored;
          return;
        }
        if (has_stopped || !item.stored) {
          has_stopped = true;
          return;
        }
        ++result.ahead;
        // Of damage its own call tells.
        if (item.stored->damage.empty()) notes->put(archive, *item.stored);
      });
  if (one_by_one) workers.submit({.path = path, .is_offered = true});
  const auto enough = clock.now() + ahead_time_max;
  for (const auto& waiting : next) {
    if (clock.now() > enough) break;
    auto waiting_path = directory;
    workers.submit({.path = waiting_path.append("/").append(waiting)});
  }
  workers.finish();
  return result;
}

}  // namespace walvault
