#include "archiving/wal_streamer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

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
  durable_ = SegmentName::containing(timeline_, position.lsn, geometry).start(geometry);
  segment_.reserve(geometry.segment_bytes);
  thread_ = std::thread([this, first = WalPosition{durable_, timeline_}] { run(first); });
}

void WalStreamer::run(WalPosition first) {
  try {
    server_.stream_wal(first, slot_,
                       {.data = [this](Lsn position, ByteView bytes) { take(position, bytes); },
                        .durable = [this] { return durable_; },
                        .wanted = [this] { return wanted_.load(); }});
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
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
    const auto pushed = push_wal_segment(
        archive_, SegmentName::before(timeline_, position, geometry), segment_, clock_, options_);
    if (!pushed.damage.empty()) {
      throw Error(ErrorKind::corrupt, "the server sends damaged WAL",
                  "Segment " + pushed.name + ": " + pushed.damage + ".",
                  "Check the disk of the server's pg_wal.");
    }
    segment_.clear();
    durable_ = position;
  }
}

void WalStreamer::check() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace walvault
