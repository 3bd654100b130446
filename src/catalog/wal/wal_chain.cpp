#include "catalog/wal/wal_chain.h"

#include <algorithm>
#include <utility>

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
    std::optional<ChainSummary> found;
    try {
      found = read(name, key);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      return breaks(name, one_line(error));
    }
    if (!found) return breaks(name, "it is not there any more");
    ChainSegment segment{
        .name = name, .key = key, .summary = std::move(found->summary), .crossing = std::nullopt};
    if (!follows_by_content(segment, *found) || !joins(segment)) return false;
    if (const auto minimal = first_minimal(segment)) return ends_before(segment, *minimal);
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

  // The summary as stored, or made anew where it does not tell what matters.
  [[nodiscard]] std::optional<ChainSummary> read(const SegmentName& name, const std::string& key) {
    auto found = archive_.find_chain_summary(name, key);
    if (!found) return std::nullopt;
    const auto& summary = found->summary;
    const bool is_behind_restart = !summary.knows_changes && restarts_at_end_;
    const bool is_full = summary.parameter_changes.size() >= wal_summary_list_max ||
                         summary.tablespace_creations.size() >= wal_summary_list_max;
    // Of a segment that goes on behind a switch, into a history that was left, what is before it.
    const bool is_cut =
        stretch_.switches_from != TimelineId{} && name == stretch_.partial.value_or(stretch_.last);
    if (is_behind_restart || is_full || is_cut) {
      auto anew = archive_.make_summary(
          key, {.list_max = list_max, .before = is_cut ? stretch_.end : Lsn{}});
      if (!anew) return std::nullopt;
      found->summary = std::move(*anew);
    }
    restarts_at_end_ = found->summary.restarts_at_end;
    return found;
  }

  // Where both sides of the border are known: whether the segment before, as this one's source
  // had it, is the one that is archived.
  bool follows_by_content(const ChainSegment& segment, const ChainSummary& found) {
    const auto& origin = found.origin;
    if (origin.archiver && chain_.archiver && *origin.archiver != *chain_.archiver &&
        segment.name.timeline == archived_timeline_ &&
        chain_.archiver_changes.size() < wal_summary_list_max) {
      chain_.archiver_changes.push_back(
          {.segment = segment.name, .from = *chain_.archiver, .to = *origin.archiver});
    }
    if (origin.archiver) {
      chain_.archiver = origin.archiver;
      archived_timeline_ = segment.name.timeline;
    }
    const auto before = std::exchange(digest_before_, found.digest);
    if (is_first_) return true;
    if (!origin.before || !before) {
      ++chain_.linked_by_position;
      return true;
    }
    if (*origin.before != *before) {
      return breaks(segment.name,
                    "its server had another segment before it than the one that is "
                    "archived: sha256 " +
                        origin.before->hex().substr(0, 16) + "..., not " +
                        before->hex().substr(0, 16) + "...");
    }
    ++chain_.linked_by_content;
    return true;
  }

  // The first record, from where replay begins, behind which its server wrote too little.
  [[nodiscard]] std::optional<ParameterChange> first_minimal(const ChainSegment& segment) const {
    const auto is_minimal = [&](const ParameterChange& change) {
      return change.wal_level == WalLevel::minimal && change.lsn >= stretch_.begin;
    };
    if (segment.crossing && segment.crossing->parameter_change &&
        is_minimal(*segment.crossing->parameter_change)) {
      return segment.crossing->parameter_change;
    }
    const auto& changes = segment.summary.parameter_changes;
    const auto it = std::ranges::find_if(changes, is_minimal);
    return it == changes.end() ? std::nullopt : std::optional(*it);
  }

  // The chain goes to the record before that one: what lies before it can be recovered.
  bool ends_before(ChainSegment& segment, const ParameterChange& minimal) {
    chain_.is_minimal = true;
    const auto why =
        "from " + minimal.lsn.text() +
        " on its server wrote with wal_level = minimal, and no recovery goes past that";
    if (minimal.lsn < segment.summary.begin) {
      // It begins in the segment before, all of whose other records are proved.
      chain_.begin = minimal.previous;
      chain_.end = minimal.lsn;
      return breaks(segment.name, why);
    }
    try {
      auto cut = archive_.make_summary(segment.key, {.list_max = list_max, .before = minimal.lsn});
      if (!cut) return breaks(segment.name, "it is not there any more");
      segment.summary = std::move(*cut);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::corrupt) throw;
      return breaks(segment.name, one_line(error));
    }
    follow(segment);
    each_(segment);
    return breaks(segment.name, why);
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
    CrossingRecord crossing{};
    crossing.lsn = tail_->start;
    auto bytes = tail_->first;
    if (bytes.size() == tail_->bytes) {
      bytes.insert(bytes.end(), heads_.front().first.begin(), heads_.front().first.end());
    }
    crossing.end = transaction_glimpse(bytes);
    crossing.restore_point = restore_point_in(bytes, tail_->start);
    crossing.parameter_change = parameter_change_in(bytes, tail_->start);
    crossing.tablespace_creation = tablespace_creation_in(bytes, tail_->start);
    if (!crossing.end && !crossing.restore_point && !crossing.parameter_change &&
        !crossing.tablespace_creation) {
      return std::nullopt;
    }
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
    note_changes(segment);
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

  // What replay will meet.
  void note_changes(const ChainSegment& segment) {
    const auto note = [&](auto& noted, const auto& change) {
      if (change.lsn >= stretch_.begin && noted.size() < list_max) noted.push_back(change);
    };
    if (segment.crossing && segment.crossing->parameter_change) {
      note(chain_.parameter_changes, *segment.crossing->parameter_change);
    }
    if (segment.crossing && segment.crossing->tablespace_creation) {
      note(chain_.tablespace_creations, *segment.crossing->tablespace_creation);
    }
    for (const auto& change : segment.summary.parameter_changes) {
      note(chain_.parameter_changes, change);
    }
    for (const auto& creation : segment.summary.tablespace_creations) {
      note(chain_.tablespace_creations, creation);
    }
  }

  // Of changes and tablespaces, in one segment and in all: more than any server makes.
  static constexpr std::size_t list_max = 65'536;

  const WalArchive& archive_;
  const WalStretch& stretch_;
  const std::function<void(const ChainSegment&)>& each_;
  WalChain chain_;
  bool is_first_ = true;
  bool restarts_at_end_ = false;  // the segment before
  std::optional<Digest> digest_before_;
  TimelineId archived_timeline_;  // of the last one whose archiver is known
  Lsn expected_previous_;
  std::optional<WalTail> tail_;
  std::vector<WalHead> heads_;  // behind the tail
};

}  // namespace

std::string describe(const ArchiverChange& change, WalGeometry geometry) {
  return "from segment " + change.segment.text(geometry) + " on another data directory archived";
}

WalChain prove_chain(const WalArchive& archive, const WalStretch& stretch,
                     const std::function<void(const ChainSegment&)>& each) {
  return Walk(archive, stretch, each).run();
}

}  // namespace walvault
