#include "catalog/wal/wal_chain.h"

#include <algorithm>

#include "base/error.h"

namespace walvault {
namespace {

class Walk {
 public:
  Walk(const WalArchive& archive, const WalStretch& stretch,
       const std::function<void(const ChainSegment&)>& each)
      : archive_(archive), stretch_(stretch), each_(each) {}

  WalChain run() {
    for (const auto& run : stretch_.runs) {
      for (std::uint64_t i = 0; i < run.segments; ++i) {
        const SegmentName name{.timeline = run.timeline, .number = run.first + i};
        if (!take(name)) return std::move(chain_);
      }
    }
    if (stretch_.partial) (void)take(*stretch_.partial);
    return std::move(chain_);
  }

 private:
  // False: the chain breaks here.
  bool take(const SegmentName& name) {
    const auto key = key_in_stretch(archive_, stretch_, name.number).value();
    std::optional<WalSummary> found;
    try {
      found = archive_.find_chain_summary(name, key);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      return breaks(name, one_line(error));
    }
    if (!found) return breaks(name, "it is not there any more");
    ChainSegment segment{
        .name = name, .key = key, .summary = std::move(*found), .crossing = std::nullopt};
    if (!joins(segment)) return false;
    follow(segment);
    each_(segment);
    const auto& stop = segment.summary.stop;
    if (!stop || stop->at >= stretch_.end) return true;
    // What was not filled ends early, in the middle of a record even.
    const bool ends_early = stretch_.partial
                                ? name == *stretch_.partial
                                : name == stretch_.last && stop->reason != WalStopReason::damage;
    return ends_early || breaks(name, stop->text);
  }

  bool breaks(const SegmentName& name, std::string why) {
    chain_.broken = std::move(why);
    chain_.broken_in = name;
    return false;
  }

  // Whether a segment goes on where the one before it ended.
  bool joins(ChainSegment& segment) {
    const auto& summary = segment.summary;
    const auto& head = summary.head;
    if (is_first_) {
      is_first_ = false;
      return true;
    }
    if (!tail_) {
      // Nothing is begun, and so nothing may be continued.
      if (head.bytes > 0) return breaks(segment.name, "it continues a record that was not begun");
    } else if (head.overwrites) {
      // Its server crashed before it was finished.
      if (summary.overwritten != tail_->start) {
        return breaks(segment.name,
                      "it gives up another record than the one at " + tail_->start.text());
      }
      tail_.reset();
    } else {
      heads_.push_back(head);
      if (head.left > 0) return true;
      if (const auto wrong = check_seam(*tail_, heads_)) {
        return breaks(segment.name,
                      "the record at " + tail_->start.text() + ", which ends in it: " + *wrong);
      }
      const auto previous = previous_of_crossing();
      if (expected_previous_ != Lsn{} && previous != expected_previous_) {
        return breaks(segment.name, "the record at " + tail_->start.text() +
                                        ", which ends in it, follows the one at " +
                                        previous.text() + ", not the one at " +
                                        expected_previous_.text());
      }
      segment.crossing = crossing_record();
      expected_previous_ = tail_->start;
      chain_.begin = tail_->start;
      tail_.reset();
    }
    if (summary.records > 0 && summary.first_previous != expected_previous_) {
      return breaks(segment.name, "its first record follows the one at " +
                                      summary.first_previous.text() + ", not the one at " +
                                      expected_previous_.text());
    }
    return true;
  }

  // Its header may lie in both parts. REQUIRES: its parts fit.
  [[nodiscard]] Lsn previous_of_crossing() const {
    auto header = tail_->first;
    header.insert(header.end(), heads_.front().first.begin(), heads_.front().first.end());
    ByteReader in(header, "a record's header");
    (void)in.u64();
    return {in.u64()};
  }

  // What the record says that is proved just now, if it is of those that a
  // target can mean. All of such a record, or as much as matters, is kept.
  std::optional<CrossingRecord> crossing_record() const {
    CrossingRecord crossing{.lsn = tail_->start, .end = {}, .restore_point = {}};
    auto bytes = tail_->first;
    if (bytes.size() == tail_->bytes) {
      bytes.insert(bytes.end(), heads_.front().first.begin(), heads_.front().first.end());
    }
    crossing.end = transaction_glimpse(bytes);
    crossing.restore_point = restore_point_in(bytes, tail_->start);
    if (!crossing.end && !crossing.restore_point) return std::nullopt;
    return crossing;
  }

  void follow(const ChainSegment& segment) {
    const auto& summary = segment.summary;
    const auto note = [&](Timestamp time) {
      chain_.until = chain_.has_ends ? std::max(chain_.until, time) : time;
      chain_.has_ends = true;
      chain_.frontier = std::max(chain_.frontier, time);
    };
    if (segment.crossing && segment.crossing->end) note(segment.crossing->end->time);
    if (summary.commits + summary.aborts > 0) note(summary.latest);
    if (segment.crossing && segment.crossing->restore_point) {
      chain_.frontier = std::max(chain_.frontier, segment.crossing->restore_point->time);
    }
    for (const auto& point : summary.restore_points) {
      chain_.frontier = std::max(chain_.frontier, point.time);
    }
    if (summary.records > 0) {
      expected_previous_ = summary.last;
      chain_.begin = summary.last;
    }
    chain_.end = summary.end;
    if (summary.tail) {
      tail_ = summary.tail;
      heads_.clear();
    }
  }

  const WalArchive& archive_;
  const WalStretch& stretch_;
  const std::function<void(const ChainSegment&)>& each_;
  WalChain chain_;
  bool is_first_ = true;
  Lsn expected_previous_;
  std::optional<WalTail> tail_;
  std::vector<WalHead> heads_;  // behind the tail
};

}  // namespace

WalChain prove_chain(const WalArchive& archive, const WalStretch& stretch,
                     const std::function<void(const ChainSegment&)>& each) {
  return Walk(archive, stretch, each).run();
}

}  // namespace walvault
