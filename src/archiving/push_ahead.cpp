#include "archiving/push_ahead.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "datadir/file_tree.h"

namespace walvault {
namespace {

constexpr std::string_view ready_suffix = ".ready";

// A larger segment's compressed frames are too much to hold for several.
constexpr std::uint64_t segment_bytes_max = 64u << 20;

// After so long no further one is begun: the offered one, which is done, is not
// acknowledged before, and a server that shuts down waits for its archiver.
constexpr std::chrono::seconds ahead_time_max{10};

// The segments of the same timeline that wait right behind this one, the oldest first.
std::vector<std::string> waiting_behind(const WalArchive& archive, const std::string& directory,
                                        const SegmentName& offered) {
  const auto geometry = archive.identity().geometry;
  std::vector<std::string> waiting;
  for (const auto& name : names_in(directory + "/archive_status")) {
    if (!name.ends_with(ready_suffix)) continue;
    auto file = name.substr(0, name.size() - ready_suffix.size());
    const auto segment = SegmentName::parse(file, geometry);
    if (segment && segment->timeline == offered.timeline && segment->number > offered.number) {
      waiting.push_back(std::move(file));
    }
  }
  std::ranges::sort(waiting);
  // Each goes on with the one before it: so far they are one after another.
  std::size_t next = 0;
  while (next < waiting.size() &&
         SegmentName::parse(waiting[next], geometry)->number == offered.number + next + 1) {
    ++next;
  }
  waiting.resize(next);
  return waiting;
}

struct Item {
  OfferedFile file;
  std::size_t index = 0;                      // its place in the order; 0: the offered one
  std::optional<PreparedFile> prepared = {};  // nullopt: it cannot be archived
  // Of the segment before: of the offered one's, and of that which is archived and noted already;
  // else that is the item before.
  std::optional<Digest> before = {};
  bool follows_item = false;
  std::optional<PushResult> stored = {};  // nullopt: it is not
};

// Those that are to be archived behind the offered one.
std::vector<Item> items_of(const std::vector<std::string>& waiting, const WalArchive& archive,
                           const OfferedFile& offered, const Acknowledgements& notes) {
  const auto geometry = archive.identity().geometry;
  std::vector<Item> items;
  auto last = *offered.segment(geometry);
  for (const auto& name : waiting) {
    const auto segment = *SegmentName::parse(name, geometry);
    Item item{.file = offered.sibling(name)};
    item.follows_item = segment.number == last.number + 1;
    if (!item.follows_item) {
      const SegmentName before{.timeline = segment.timeline, .number = segment.number - 1};
      item.before = notes.digest_of(archive, before.text(geometry));
    }
    items.push_back(std::move(item));
    last = segment;
  }
  return items;
}

// What became of the offered one: neither, where it could not be prepared, or the pipeline
// itself broke.
struct Outcome {
  std::optional<PushResult> offered = {};
  std::exception_ptr failure = {};  // to store it
  unsigned ahead = 0;
};

// Prepares several segments at once, and stores up to `uploads` at once of what is prepared:
// the offered one, which is the first, before any other is begun. What cannot be prepared,
// and what cannot be stored, lets nothing behind it begin.
class Pipeline {
 public:
  // `waiting` is what is submitted behind the offered one.
  Pipeline(const WalArchive& archive, Clock& clock, const PushAheadOptions& options,
           const std::vector<std::string>& waiting, const Acknowledgements& notes, Outcome& outcome)
      : archive_(archive),
        clock_(clock),
        options_(options),
        waiting_(waiting),
        notes_(notes),
        outcome_(outcome),
        storing_(
            {.threads = options.uploads, .in_flight_max = options.uploads},
            [this](Item& item, unsigned) { store(item); }, [this](Item& item) { deliver(item); }),
        preparing_(
            {.threads = std::max(1u, options.push.threads),
             .in_flight_max = std::max(1u, options.push.threads)},
            [this, alone = alone(options.push)](Item& item, unsigned) {
              (void)attempt(item.index,
                            [&] { item.prepared.emplace(archive_, item.file, clock_, alone); });
            },
            [this](Item& item) {
              if (!item.prepared || !is_wanted(item)) return;
              const auto before = std::exchange(before_, item.prepared->digest());
              if (item.follows_item) item.before = before;
              storing_.submit(std::move(item));
            }) {}

  // False: no further one is wanted.
  [[nodiscard]] bool submit(Item item) {
    item.index = submitted_++;
    if (!is_wanted(item) || (item.index > 0 && clock_.steady() > enough_)) return false;
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

  // What it throws: then nothing from this one on begins.
  template <typename Action>
  std::exception_ptr attempt(std::size_t index, const Action& action) {
    try {
      action();
      return nullptr;
    } catch (...) {
      end_before(index);
      return std::current_exception();
    }
  }

  void end_before(std::size_t index) {
    const std::lock_guard lock(mutex_);
    end_ = std::min(end_, index);
    turn_.notify_all();
  }
  void open_until(std::size_t index) {
    const std::lock_guard lock(mutex_);
    open_ = std::max(open_, index);
    turn_.notify_all();
  }
  [[nodiscard]] bool is_wanted(const Item& item) {
    const std::lock_guard lock(mutex_);
    return item.index < end_;
  }
  // Until it may be stored; false: it is not to be. Never in vain: those before it were
  // taken before it was, and each opens or ends the way when it is done.
  [[nodiscard]] bool wait_for_turn(const Item& item) {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return item.index < open_ || item.index >= end_; });
    return item.index < end_;
  }

  void store(Item& item) {
    if (!wait_for_turn(item)) return;
    const auto failure =
        attempt(item.index, [&] { item.stored = item.prepared->store(archive_, item.before); });
    // Of what is the matter with others their own calls tell.
    if (item.index == 0) outcome_.failure = failure;
    if (failure) return;
    // What is not everywhere is not noted, and would be done again by its own call.
    if (!item.stored->everywhere || clock_.steady() > enough_) return end_before(item.index + 1);
    if (item.index == 0 && options_.uploads > 1) {
      (void)attempt(1, [&] { open_behind_offered(); });
    } else {
      open_until(item.index + 2);
    }
  }

  // All that wait may be stored at the same time, up to the first that is archived already
  // in some place, by another server perhaps. Where that is the first of all, they are
  // stored one after another, as whoever has them does.
  void open_behind_offered() {
    const auto first = waiting_name(0);
    std::set<std::uint64_t> archived;
    const auto look = [&](const WalArchive& place) {
      for (const auto& segment : place.segments(first.timeline, first.number)) {
        archived.insert(segment.number);
      }
    };
    look(archive_);
    if (options_.push.elsewhere && !options_.push.elsewhere(look)) return end_before(1);
    std::size_t before = 0;  // it
    while (before < waiting_.size() && !archived.contains(waiting_name(before).number)) ++before;
    if (before == 0) return open_until(2);
    end_before(before + 1);
    open_until(before + 1);
  }
  [[nodiscard]] SegmentName waiting_name(std::size_t index) const {
    return *SegmentName::parse(waiting_.at(index), archive_.identity().geometry);
  }

  // In order: behind one that was not stored none is noted.
  void deliver(const Item& item) {
    if (!item.stored) noting_ = false;
    if (!noting_) return;
    if (item.index == 0) {
      outcome_.offered = *item.stored;
      return;
    }
    ++outcome_.ahead;
    // Of damage its own call tells, and of a place that is without it.
    if (item.stored->damage.empty() && item.stored->everywhere &&
        item.stored->name == item.file.name) {
      notes_.put(archive_, *item.stored);
    }
  }

  const WalArchive& archive_;
  Clock& clock_;
  const PushAheadOptions& options_;
  const std::vector<std::string>& waiting_;
  const Acknowledgements& notes_;
  Outcome& outcome_;
  const SteadyTime enough_ = clock_.steady() + ahead_time_max;
  std::size_t submitted_ = 0;
  std::mutex mutex_;
  std::condition_variable turn_;
  std::size_t open_ = 1;  // items before this one may be stored
  std::size_t end_ = std::numeric_limits<std::size_t>::max();  // this one and others never
  bool noting_ = true;                                         // the delivering thread's
  // Of the one that was handed on last: they are prepared, and handed on, in order.
  std::optional<Digest> before_;
  OrderedWorkers<Item> storing_;
  // Behind it: it hands to the other.
  OrderedWorkers<Item> preparing_;
};

}  // namespace

PushAheadResult push_and_ahead(const WalArchive& archive, const OfferedFile& offered, Clock& clock,
                               const PushAheadOptions& options, const Acknowledgements* notes) {
  const auto geometry = archive.identity().geometry;
  const auto segment = offered.segment(geometry);
  const auto alone_only = [&] {
    return PushAheadResult{.offered = push_wal_file(archive, offered, clock, options.push)};
  };
  if (notes == nullptr || options.ahead == 0 || !segment ||
      geometry.segment_bytes > segment_bytes_max) {
    return alone_only();
  }
  if (auto archived = notes->take(archive, offered)) return {.offered = std::move(*archived)};

  std::vector<std::string> next;
  std::vector<Item> items;
  try {
    next = waiting_behind(archive, offered.directory, *segment);
    // What cannot be noted would be done again by each call.
    if (!next.empty() && !notes->can_be_kept()) next.clear();
    notes->forget_before(archive, offered.name);
    std::erase_if(next, [&](const std::string& waiting) { return notes->has(archive, waiting); });
    if (next.size() > options.ahead) next.resize(options.ahead);
    items = items_of(next, archive, offered, *notes);
  } catch (const Error&) {
    // The one at hand is what counts.
    next.clear();
  }
  if (next.empty()) return alone_only();

  Outcome outcome;
  try {
    Pipeline pipeline(archive, clock, options, next, *notes, outcome);
    bool is_wanted = pipeline.submit({.file = offered, .before = options.push.origin.before});
    for (auto& item : items) is_wanted = is_wanted && pipeline.submit(std::move(item));
    pipeline.finish();
  } catch (const std::exception&) {
    // No thread, no memory: what is ahead waits for its own call.
  }
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if (!outcome.offered) return alone_only();
  return {.offered = std::move(*outcome.offered), .ahead = outcome.ahead};
}

}  // namespace walvault
