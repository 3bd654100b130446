#include "archive_command/push_ahead.h"

#include <algorithm>
#include <atomic>
#include <limits>
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
  std::size_t index = 0;  // its place in the order
  bool is_offered = false;
  std::optional<PreparedFile> prepared = {};  // nullopt: it cannot be archived
  std::optional<PushResult> stored = {};      // nullopt: it is not
};

// Prepares several segments at once, and stores `uploads` at once of what is prepared, in
// order: what cannot be prepared, and what cannot be stored, lets nothing behind it begin.
class Pipeline {
 public:
  Pipeline(const WalArchive& archive, Clock& clock, const PushAheadOptions& options,
           unsigned uploads, const Acknowledgements& notes, PushAheadResult& result)
      : archive_(archive),
        notes_(notes),
        result_(result),
        storing_(
            {.threads = uploads, .in_flight_max = uploads},
            [this](Item& item, unsigned) { store(item); }, [this](Item& item) { deliver(item); }),
        preparing_(
            {.threads = std::max(1u, options.push.threads),
             .in_flight_max = std::max(1u, options.push.threads)},
            [this, &clock, alone = alone(options.push)](Item& item, unsigned) {
              unless_offered(item,
                             [&] { item.prepared.emplace(archive_, item.path, clock, alone); });
            },
            [this](Item& item) {
              if (item.prepared && !is_behind_failure(item)) storing_.submit(std::move(item));
            }) {}

  // False: one has failed, and no further one is wanted.
  [[nodiscard]] bool submit(Item item) {
    item.index = submitted_++;
    if (is_behind_failure(item)) return false;
    preparing_.submit(std::move(item));
    return true;
  }
  void finish() {
    preparing_.finish();
    storing_.finish();
  }

 private:
  static PushOptions alone(PushOptions options) {
    options.threads = 1;
    return options;
  }

  // Of what is the matter with others their own calls tell.
  template <typename Action>
  void unless_offered(const Item& item, const Action& action) {
    try {
      action();
    } catch (const Error&) {
      auto first = first_failed_.load();
      while (item.index < first && !first_failed_.compare_exchange_weak(first, item.index)) {
      }
      if (item.is_offered) throw;
    }
  }

  [[nodiscard]] bool is_behind_failure(const Item& item) const {
    return item.index > first_failed_;
  }

  void store(Item& item) {
    if (is_behind_failure(item)) return;
    unless_offered(item, [&] { item.stored = item.prepared->store(archive_); });
  }

  // In order: behind one that was not stored none is noted.
  void deliver(const Item& item) {
    if (!item.stored) noting_ = false;
    if (!noting_) return;
    if (item.is_offered) {
      result_.offered = *item.stored;
      return;
    }
    ++result_.ahead;
    // Of damage its own call tells, and of a place that is without it.
    if (item.stored->damage.empty() && item.stored->everywhere) notes_.put(archive_, *item.stored);
  }

  const WalArchive& archive_;
  const Acknowledgements& notes_;
  PushAheadResult& result_;
  std::size_t submitted_ = 0;
  std::atomic<std::size_t> first_failed_{std::numeric_limits<std::size_t>::max()};
  bool noting_ = true;  // the delivering thread's
  OrderedWorkers<Item> storing_;
  // Last: it hands to the other.
  OrderedWorkers<Item> preparing_;
};

// Which of those that follow may be stored at the same time: none where the first is
// archived already in some place, by another server perhaps, or that is not known.
unsigned uploads_behind(const WalArchive& archive, const SegmentName& offered,
                        const PushAheadOptions& options, std::vector<std::string>& next) try {
  std::set<std::uint64_t> archived;
  const auto look = [&](const WalArchive& place) {
    for (const auto& segment : place.segments(offered.timeline, offered.number + 1)) {
      archived.insert(segment.number);
    }
  };
  look(archive);
  // What is not everywhere is not noted, and would be done again by its own call.
  if (options.push.elsewhere && !options.push.elsewhere(look)) next.clear();
  const auto first = std::ranges::find_if(next, [&](const std::string& name) {
    const auto segment = SegmentName::parse(name, archive.identity().segment_bytes);
    return !segment || archived.contains(segment->number);
  });
  if (first == next.begin()) return 1;
  next.erase(first, next.end());
  return options.uploads;
} catch (const Error&) {
  next.clear();
  return 1;
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

  PushAheadResult result;
  const auto enough = clock.now() + ahead_time_max;
  const auto archive_next = [&](Pipeline& pipeline) {
    for (const auto& waiting : next) {
      auto waiting_path = directory;
      waiting_path.append("/").append(waiting);
      if (clock.now() > enough || !pipeline.submit({.path = std::move(waiting_path)})) break;
    }
    pipeline.finish();
  };
  if (options.uploads <= 1) {
    Pipeline pipeline(archive, clock, options, 1, *notes, result);
    // The first of all is behind no failure.
    (void)pipeline.submit({.path = path, .is_offered = true});
    archive_next(pipeline);
    return result;
  }
  // First of all the one that is offered: where that is refused, as another server's is,
  // nothing of this one gets into that one's history.
  result.offered = push_wal_file(archive, path, clock, options.push);
  try {
    const auto uploads = uploads_behind(archive, *segment, options, next);
    Pipeline pipeline(archive, clock, options, uploads, *notes, result);
    archive_next(pipeline);
  } catch (const std::exception&) {
    // It is archived; what else there is waits for its own call.
  }
  return result;
}

}  // namespace walvault
