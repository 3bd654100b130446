#include "archive_command/push_ahead.h"

#include <algorithm>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "datadir/data_directory.h"

namespace walvault {
namespace {

constexpr std::string_view ready_suffix = ".ready";

// A larger segment's compressed frames are too much to hold for several.
constexpr std::uint64_t segment_bytes_max = 64u << 20;

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
};

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
  const auto at_once = std::max(1u, options.push.threads);
  PushAheadResult result;
  bool has_stopped = false;  // the delivering thread's
  OrderedWorkers<Item> workers(
      {.threads = at_once, .in_flight_max = at_once},
      [&](Item& item, unsigned) {
        try {
          item.prepared.emplace(archive, item.path, clock, alone);
        } catch (const Error&) {
          // Of what is the matter with others their own calls tell.
          if (item.is_offered) throw;
        }
      },
      // One after another, each only behind the one before it: where that is refused, as
      // another server's is, nothing of this one gets into that one's history.
      [&](Item& item) {
        if (item.is_offered) {
          result.offered = item.prepared->store(archive);
          return;
        }
        if (has_stopped || !item.prepared) {
          has_stopped = true;
          return;
        }
        try {
          const auto stored = item.prepared->store(archive);
          ++result.ahead;
          // Of damage its own call tells.
          if (stored.damage.empty()) notes->put(archive, stored);
        } catch (const Error&) {
          has_stopped = true;
        }
      });
  workers.submit({.path = path, .is_offered = true});
  for (const auto& waiting : next) {
    auto waiting_path = directory;
    workers.submit({.path = waiting_path.append("/").append(waiting)});
  }
  workers.finish();
  return result;
}

}  // namespace walvault
