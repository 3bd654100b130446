#include "catalog/wal/wal_check.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/ordered_workers.h"
#include "catalog/wal/stored_summary.h"
#include "codec/crc32c.h"
#include "postgres/wal_page.h"

namespace walvault {
namespace {

Error damaged(const std::string& key, std::string detail) {
  return {ErrorKind::corrupt, "the archived file " + key + " is damaged", std::move(detail),
          "Restore it from a copy of the repository."};
}

// No server writes a longer one.
constexpr std::size_t history_bytes_max = 16u << 20;

using OnRead = std::function<void(std::uint64_t)>;

// What the content of an archived file is checked with, in pieces as it is decoded:
// a segment of 1 GiB is not held in memory.
class ContentCheck {
 public:
  ContentCheck(const WalObjectHeader& header, std::string key)
      : header_(header), key_(std::move(key)) {}

  void take(const WalFrame& frame, ByteView stored) {
    piece_.resize(std::min<std::uint64_t>(wal_frame_bytes, header_.content_bytes - taken_));
    taken_ += piece_.size();
    decode_wal_frame(compressor_, frame, stored, piece_);
    add(piece_);
  }

  // nullopt: the file is none of WAL records.
  [[nodiscard]] std::optional<WalSummary> finish() {
    // The zeros at its end are not stored.
    for (auto left = header_.plain_bytes - header_.content_bytes; left > 0;) {
      piece_.assign(std::min<std::uint64_t>(left, wal_frame_bytes), 0);
      left -= piece_.size();
      add(piece_);
    }
    if (digest_.finish() != header_.digest) throw damaged(key_, "Its content has another digest.");
    if (header_.kind == WalFileKind::timeline) {
      (void)TimelineHistory::parse(timeline_of(header_.name), pending_);
    }
    if (!summarizer_) return std::nullopt;
    return summarizer_->finish();
  }

 private:
  void add(ByteView piece) {
    digest_.update(piece);
    if (header_.kind == WalFileKind::backup_history) return;
    pending_.insert(pending_.end(), piece.begin(), piece.end());
    if (header_.kind == WalFileKind::timeline) {
      if (pending_.size() > history_bytes_max) throw damaged(key_, "It is too long.");
      return;
    }
    if (!summarizer_) {
      if (pending_.size() < wal_segment_header_bytes) return;
      const auto first = parse_wal_segment_header(pending_);
      page_bytes_ = first.page_bytes;
      summarizer_.emplace(first, first.page.page_address, timeline_of(header_.name));
    }
    const auto whole = pending_.size() / page_bytes_ * page_bytes_;
    summarizer_->read(ByteView(pending_).first(whole));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(whole));
  }

  const WalObjectHeader& header_;
  const std::string key_;
  Compressor compressor_;
  Sha256 digest_;
  std::optional<WalSummarizer> summarizer_;
  std::size_t page_bytes_ = 1;
  Bytes piece_;
  Bytes pending_;  // less than a page, or a history
  std::uint64_t taken_ = 0;
};

// What proves the chain. The lists may be chosen otherwise by another version.
bool is_same_chain(const WalSummary& a, const WalSummary& b) {
  const auto chain = [](const WalSummary& s) {
    return std::tie(s.begin, s.first, s.first_previous, s.last, s.end, s.records, s.switched,
                    s.overwritten, s.commits, s.aborts);
  };
  const auto reason = [](const WalSummary& s) {
    return s.stop ? std::optional(std::pair(s.stop->reason, s.stop->at)) : std::nullopt;
  };
  return chain(a) == chain(b) && a.head == b.head && a.tail == b.tail && reason(a) == reason(b);
}

// The summary that lies between frames and trailer; nullopt: there is none that this
// program knows.
std::optional<WalSummary> read_summary(ByteView rest, std::uint64_t offset,
                                       const std::string& key) {
  const auto place = parse_wal_object_trailer(rest.last(wal_object_trailer_bytes), key);
  if (place.length == 0) return std::nullopt;
  if (place.offset != offset || place.length != rest.size() - wal_object_trailer_bytes) {
    throw damaged(key, "Its summary does not lie between its content and its trailer.");
  }
  return decode_wal_summary(rest.first(place.length), key, place.version).summary;
}

enum class WalCheckDepth {
  content,  // that it can be restored
  object,   // and its summary
  records,  // and that both are what the file's records say
};

// Gives a part of an object; nullopt: it is not there, or not any more.
using ReadObject = std::function<std::optional<Bytes>(ByteRange)>;

ReadObject reader_of(Storage& storage, const std::string& key) {
  return [&storage, &key](ByteRange range) { return storage.find(key, range); };
}

// Reads an object frame by frame. False: it is not there, or not any more.
bool check_object(const ObjectCodec& codec, const ReadObject& find, const std::string& key,
                  WalCheckDepth depth, const OnRead& meter) {
  const auto prefix = find({.length = wal_object_prefix_bytes});
  if (!prefix) return false;
  const auto parsed = parse_wal_object_header(codec, *prefix, key);
  meter(parsed.frames_offset);
  // Its name says where its WAL belongs.
  const auto name = key.substr(key.rfind('/') + 1);
  if (!name.starts_with(parsed.header.name)) {
    throw damaged(key, "It holds " + parsed.header.name + ".");
  }
  std::optional<ContentCheck> content;
  if (depth == WalCheckDepth::records) content.emplace(parsed.header, key);
  std::uint64_t offset = parsed.frames_offset;
  for (const auto& frame : parsed.header.frames) {
    meter(frame.length);
    const auto stored = find({.offset = offset, .length = frame.length});
    if (!stored) return false;
    if (stored->size() != frame.length || crc32c(*stored) != frame.crc) {
      throw damaged(
          key, "The checksum of its content at byte " + std::to_string(offset) + " does not fit.");
    }
    if (content) content->take(frame, *stored);
    offset += frame.length;
  }
  const auto rest = find({.offset = offset});
  if (!rest) return false;
  meter(rest->size());
  if (rest->size() < wal_object_trailer_bytes) throw damaged(key, "It is cut short.");
  (void)parse_wal_object_trailer(ByteView(*rest).last(wal_object_trailer_bytes), key);
  if (depth == WalCheckDepth::content) return true;
  const auto stored = read_summary(*rest, offset, key);
  if (!content) return true;
  const auto made = content->finish();
  if (made && stored && !is_same_chain(*made, *stored)) {
    throw damaged(key, "Its records are not those that its summary tells of.");
  }
  return true;
}

std::optional<std::string> fault_of(const ObjectCodec& codec, const ReadObject& read,
                                    const std::string& key, WalCheckDepth depth,
                                    const OnRead& meter) {
  try {
    return check_object(codec, read, key, depth, meter) ? std::optional<std::string>("")
                                                        : std::nullopt;
  } catch (const Error& error) {
    // A bit of the envelope makes it look like a newer program's.
    if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::conflict) throw;
    return one_line(error);
  }
}

}  // namespace

bool check_stored_wal(const WalArchive& archive, const std::string& key) {
  return check_object(archive.repository().codec(), reader_of(archive.repository().storage(), key),
                      key, WalCheckDepth::content, [](std::uint64_t) {});
}

std::optional<std::string> find_wal_fault(const Repository& repository, const std::string& key,
                                          bool deep, const OnRead& meter) {
  return fault_of(repository.codec(), reader_of(repository.storage(), key), key,
                  deep ? WalCheckDepth::records : WalCheckDepth::object, meter);
}

std::string find_wal_fault(const ObjectCodec& codec, ByteView object, const std::string& key) {
  const auto read = [&](ByteRange range) {
    const auto begin = std::min<std::uint64_t>(range.offset, object.size());
    const auto part = object.subspan(begin, std::min(range.length, object.size() - begin));
    return std::optional(Bytes(part.begin(), part.end()));
  };
  return fault_of(codec, read, key, WalCheckDepth::object, [](std::uint64_t) {}).value();
}

std::optional<UnreadableSegment> find_unreadable(const WalArchive& archive,
                                                 const WalStretch& stretch, std::uint64_t first,
                                                 std::uint64_t last, unsigned threads,
                                                 const std::function<void()>& check_cancelled) {
  struct Item {
    SegmentName name;
    std::string key;
    std::string why;
  };
  std::optional<UnreadableSegment> found;
  OrderedWorkers<Item> workers(
      {.threads = threads, .in_flight_max = std::size_t{threads} * 2},
      [&](Item& item, unsigned) {
        check_cancelled();
        try {
          if (!check_stored_wal(archive, item.key)) item.why = "it is not there any more";
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::corrupt) throw;
          item.why = one_line(error);
        }
      },
      [&](Item& item) {
        if (!found && !item.why.empty()) {
          found = UnreadableSegment{.name = item.name, .why = std::move(item.why)};
        }
      });
  const auto submit = [&](const SegmentName& name) {
    if (name.number < first) return true;
    if (name.number > last) return false;
    workers.submit(
        {.name = name, .key = key_in_stretch(archive, stretch, name.number).value(), .why = {}});
    return true;
  };
  bool more = true;
  for (const auto& run : stretch.runs) {
    for (std::uint64_t i = 0; more && i < run.segments; ++i) {
      more = submit({.timeline = run.timeline, .number = run.first + i});
    }
  }
  if (more && stretch.partial) (void)submit(*stretch.partial);
  workers.finish();
  return found;
}

}  // namespace walvault
