#include "archiving/wal_streamer.h"

#include <algorithm>
#include <utility>

#include "archiving/wal_gate.h"
#include "base/error.h"
#include "codec/sha256.h"

namespace walvault {

WalStreamer::WalStreamer(const WalArchive& archive, ReplicationConnection& server, std::string slot,
                         Clock& clock, PushOptions options)
    : archive_(archive),
      server_(server),
      slot_(std::move(slot)),
      clock_(clock),
      options_(std::move(options)) {}

WalStreamer::~WalStreamer() {
  wanted_ = false;
  if (thread_.joinable()) thread_.join();
}

void WalStreamer::start(WalPosition position) {
  const auto geometry = archive_.identity().geometry;
  timeline_ = position.timeline;
  wanted_from_ = SegmentName::containing(timeline_, position.lsn, geometry).start(geometry);
  durable_ = wanted_from_;
  if (patience_) expect_archived_before();
  if (has_segment_before()) durable_.value -= geometry.segment_bytes;
  segment_.reserve(geometry.segment_bytes);
  thread_ = std::thread([this, first = WalPosition{durable_, timeline_}] { run(first); });
}

// Where others rely on what is archived, a server that shares nothing with it may be a copy's.
void WalStreamer::expect_archived_before() const {
  const auto geometry = archive_.identity().geometry;
  if (wanted_from_.value < geometry.segment_bytes) return;
  const Lsn position{wanted_from_.value - geometry.segment_bytes};
  const SegmentName before{.timeline = archive_.history(timeline_).at(position),
                           .number = geometry.number_of(position)};
  const auto deadline = clock_.steady() + *patience_;
  while (!archive_.has_segment(before)) {
    if (clock_.steady() >= deadline) {
      throw Error(
          ErrorKind::conflict, "nothing shows that this server's WAL goes on with what is archived",
          "Segment " + before.text(geometry) +
              " is not archived, which comes before what "
              "this backup needs, and other WAL of the timeline is. No backup was recorded.",
          "Look whether the archive_command fails. If this is the cluster's server, and "
          "not a copy: walvault backup --accept");
    }
    clock_.sleep_for(std::chrono::milliseconds(200));
  }
}

// On the timeline that is streamed: of the one before it the server sends nothing.
bool WalStreamer::has_segment_before() const {
  const auto geometry = archive_.identity().geometry;
  if (!kept_from_ || wanted_from_.value < geometry.segment_bytes) return false;
  const Lsn before{wanted_from_.value - geometry.segment_bytes};
  const auto kept = SegmentName::containing(timeline_, *kept_from_, geometry).start(geometry);
  return before >= kept && archive_.history(timeline_).at(before) == timeline_;
}

void WalStreamer::run(WalPosition first) {
  try {
    server_.stream_wal(first, slot_,
                       {.data = [this](Lsn position, ByteView bytes) { take(position, bytes); },
                        .durable = [this] { return durable_; },
                        .wanted =
                            [this] {
                              keep_if_asked();
                              return wanted_.load();
                            }});
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
}

void WalStreamer::keep_if_asked() {
  const auto up_to = keep_up_to_.load();
  if (up_to == 0 || kept_ || segment_.empty() || durable_.value + segment_.size() < up_to) return;
  const auto segment = SegmentName::containing(timeline_, durable_, archive_.identity().geometry);
  if (segment.start(archive_.identity().geometry) < wanted_from_) return;
  (void)push_unfinished_segment(archive_, segment, segment_, clock_, options_);
  kept_ = true;
}

void WalStreamer::take(Lsn position, ByteView bytes) {
  const auto geometry = archive_.identity().geometry;
  while (!bytes.empty()) {
    const auto part =
        bytes.first(std::min<std::size_t>(bytes.size(), geometry.segment_bytes - segment_.size()));
    segment_.insert(segment_.end(), part.begin(), part.end());
    position.value += part.size();
    bytes = bytes.subspan(part.size());
    if (segment_.size() < geometry.segment_bytes) return;
    take_segment(SegmentName::before(timeline_, position, geometry));
    segment_.clear();
    durable_ = position;
  }
}

void WalStreamer::take_segment(const SegmentName& segment) {
  if (segment.start(archive_.identity().geometry) < wanted_from_) {
    options_.origin.before = find_telling_digest(segment_, segment);
    if (options_.origin.before) {
      expect_same_as_archived(archive_, segment, *options_.origin.before);
    }
    return;
  }
  const auto pushed = push_wal_segment(archive_, segment, segment_, clock_, options_);
  options_.origin.before = pushed.digest;
  if (pushed.damage.empty()) return;
  throw Error(ErrorKind::corrupt, "the server sends damaged WAL",
              "Segment " + pushed.name + ": " + pushed.damage + ".",
              "Check the disk of the server's pg_wal.");
}

void WalStreamer::check() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace walvault
