#include "catalog/copy/wal_border.h"

#include "base/error.h"

namespace walvault {
namespace {

// nullopt: it is not there, or damaged, which contradicts nothing and is told elsewhere.
std::optional<ChainSummary> find_chain(const WalArchive& archive, const SegmentName& name) try {
  return archive.find_chain_summary(name, archive.key_of(name.text(archive.identity().geometry)));
} catch (const Error& error) {
  if (error.kind() != ErrorKind::corrupt) throw;
  return std::nullopt;
}

bool contradict(const std::optional<Digest>& one, const std::optional<Digest>& other) {
  return one && other && *one != *other;
}

class Borders {
 public:
  Borders(const WalArchive& from, const WalArchive& to) : from_(from), to_(to) {}

  [[nodiscard]] std::optional<WalConflict> before(const SegmentName& brought) const {
    if (brought.number == 0) return std::nullopt;
    const SegmentName neighbour{.timeline = timeline_before(brought), .number = brought.number - 1};
    const auto there = find_chain(to_, neighbour);
    if (!there) return std::nullopt;
    if (const auto here = find_chain(from_, neighbour)) {
      return contradict(here->digest, there->digest) ? other_content(neighbour) : std::nullopt;
    }
    const auto own = find_chain(from_, brought);
    return own && contradict(own->origin.before, there->digest) ? no_sequel(brought) : std::nullopt;
  }

  [[nodiscard]] std::optional<WalConflict> behind(const SegmentName& brought) const {
    const SegmentName neighbour{.timeline = brought.timeline, .number = brought.number + 1};
    const auto there = find_chain(to_, neighbour);
    if (!there) return std::nullopt;
    if (const auto here = find_chain(from_, neighbour)) {
      return contradict(here->digest, there->digest) ? other_content(neighbour) : std::nullopt;
    }
    const auto own = find_chain(from_, brought);
    return own && contradict(there->origin.before, own->digest) ? no_sequel(neighbour)
                                                                : std::nullopt;
  }

 private:
  [[nodiscard]] TimelineId timeline_before(const SegmentName& segment) const {
    if (segment.timeline.value == 1) return segment.timeline;
    const auto start = segment.start(from_.identity().geometry);
    try {
      return from_.history(segment.timeline).at({start.value - 1});
    } catch (const Error& error) {
      // Told elsewhere, and it contradicts nothing.
      if (error.kind() != ErrorKind::corrupt) throw;
      return segment.timeline;
    }
  }

  [[nodiscard]] std::string key_of(const SegmentName& name) const {
    return to_.key_of(name.text(to_.identity().geometry));
  }

  [[nodiscard]] std::optional<WalConflict> other_content(const SegmentName& name) const {
    return WalConflict{.key = key_of(name),
                       .why = "the destination has other content under this name"};
  }

  [[nodiscard]] std::optional<WalConflict> no_sequel(const SegmentName& name) const {
    return WalConflict{.key = key_of(name),
                       .why =
                           "its server had another segment before it than the one in the "
                           "other repository"};
  }

  const WalArchive& from_;
  const WalArchive& to_;
};

}  // namespace

bool contradict(const WalArchive& one, const WalArchive& other, const SegmentName& segment) {
  const auto first = find_chain(one, segment);
  const auto second = find_chain(other, segment);
  if (!first || !second || contradict(first->digest, second->digest)) return true;
  const bool are_both_known = first->digest && second->digest;
  return !are_both_known && first->summary.last != second->summary.last;
}

std::optional<WalConflict> find_border_conflict(const WalArchive& from, const WalArchive& to,
                                                std::span<const SegmentName> brought) {
  const Borders borders(from, to);
  for (std::size_t i = 0; i < brought.size(); ++i) {
    const auto& name = brought[i];
    const bool begins = i == 0 || brought[i - 1].number + 1 != name.number;
    const bool ends = i + 1 == brought.size() || brought[i + 1].number != name.number + 1;
    if (begins) {
      if (auto conflict = borders.before(name)) return conflict;
    }
    if (ends) {
      if (auto conflict = borders.behind(name)) return conflict;
    }
  }
  return std::nullopt;
}

}  // namespace walvault
