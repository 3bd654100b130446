// Pages of WAL into records (access/xlogrecord.h, access/transam/xlogreader.c):
// page headers, records across pages and segments, records that were never
// finished, the CRC and the xl_prev chain of every record. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "postgres/wal_page.h"

namespace walvault {

// SizeOfXLogRecord: the fixed header of every record.
inline constexpr std::size_t wal_record_header_bytes = 24;
// PostgreSQL builds none longer (MaxAllocSize; from 16 on XLogRecordMaxSize).
inline constexpr std::uint32_t wal_record_bytes_max = 1u << 30;
// A longer record is checked to its end, but only this much of it is kept.
inline constexpr std::size_t wal_record_kept_max = 1u << 20;
// What a summary keeps of each part of a record that crosses into the next
// segment: more than enough for the head of any transaction record.
inline constexpr std::size_t wal_part_kept_max = 512;

enum class ResourceManager : std::uint8_t {  // access/rmgrlist.h
  xlog = 0,
  transaction = 1,
  storage = 2,
  database = 4,
  tablespace = 5,
  heap2 = 9,
  heap = 10,
};

struct WalRecord {
  Lsn start;
  Lsn previous;              // where the record before it starts
  std::uint32_t length = 0;  // of the whole record
  std::uint32_t xid = 0;
  std::uint8_t info = 0;
  ResourceManager manager = ResourceManager::xlog;  // also numbers not named above
  // The record from its header on, cut after wal_record_kept_max. Valid until
  // the callback that it was handed to returns.
  ByteView bytes;
};

// The rest of a record that began before the first page.
struct WalHead {
  // The record that began before was given up by its server, which wrote on
  // behind it after a crash (XLP_FIRST_IS_OVERWRITE_CONTRECORD).
  bool overwrites = false;
  std::uint64_t bytes = 0;  // without page headers
  std::uint64_t left = 0;   // that do not lie in these pages either
  std::uint32_t crc = 0;    // CRC-32C of the bytes
  Bytes first;              // of them, at most wal_part_kept_max

  bool operator==(const WalHead&) const = default;
};

// The beginning of a record that the pages do not hold to its end.
struct WalTail {
  Lsn start;
  std::uint64_t bytes = 0;     // without page headers, fewer than the record has
  std::uint32_t length = 0;    // of the whole record
  std::uint32_t body_crc = 0;  // CRC-32C of what comes after the record's header
  Bytes first;                 // at most wal_part_kept_max

  bool operator==(const WalTail&) const = default;
};

// Whether a tail and the heads that follow it, segment by segment, are one
// whole record; nullopt: they are, else what is wrong.
[[nodiscard]] std::optional<std::string> check_seam(const WalTail& tail,
                                                    std::span<const WalHead> heads);

// Why reading ended before the pages did.
enum class WalStopReason : std::uint8_t {
  zeros = 1,       // nothing was written there yet
  stale_page = 2,  // a page of an older use of the file: likewise
  damage = 3,
};

struct WalStop {
  WalStopReason reason = WalStopReason::damage;
  Lsn at;  // the record or page that is not there
  std::string text;

  bool operator==(const WalStop&) const = default;
};

// Reads pages one after another, whole segments or parts of them.
class WalReader {
 public:
  using OnRecord = std::function<void(const WalRecord&)>;

  // `first` is what the segment says in which `start` lies; `start` is where a
  // page begins; `timeline` is that of the segment's name, of which or of whose
  // ancestors the pages are. A record that began before is not read: `head`
  // tells of it.
  WalReader(const WalSegmentHeader& first, Lsn start, TimelineId timeline);

  // Hands on every whole record of the pages, in order. REQUIRES: whole pages,
  // the next ones. Does nothing once it has stopped.
  void read(ByteView pages, const OnRecord& on_record);

  // Behind the last page that was read.
  [[nodiscard]] Lsn position() const { return {position_}; }
  // Behind the last whole record; behind the segment, where that is a switch.
  [[nodiscard]] Lsn end() const { return {end_}; }
  [[nodiscard]] const WalHead& head() const { return head_; }
  [[nodiscard]] const std::optional<WalStop>& stop() const { return stop_; }
  // The record that has begun and not ended.
  [[nodiscard]] std::optional<WalTail> tail() const;

 private:
  // The record whose bytes come in more than one page.
  struct Assembly {
    std::uint64_t start = 0;
    std::uint32_t length = 0;
    std::uint64_t bytes = 0;     // had so far
    std::uint32_t body_crc = 0;  // of those behind the record's header
    Bytes kept;
  };

  // A page behind its header, and what that says of its first bytes.
  struct PageStart {
    ByteView page;
    std::uint64_t address = 0;
    std::size_t offset = 0;       // of what is to be read next
    std::uint16_t info = 0;       // XLP_ flags
    std::uint32_t remaining = 0;  // of a record that it continues

    [[nodiscard]] ByteView payload() const { return page.subspan(offset); }
  };

  void read_page(ByteView page, const OnRecord& on_record);
  // Both read what a page has of a record that was begun before it: one of the segment before,
  // one of this. True: records follow at the offset.
  [[nodiscard]] bool read_head(PageStart& start);
  [[nodiscard]] bool read_continuation(PageStart& start, const OnRecord& on_record);
  [[nodiscard]] bool read_page_header(ByteReader& in);
  [[nodiscard]] bool check_header(ByteView header, std::uint64_t start);
  void read_records(ByteView page, std::size_t offset, const OnRecord& on_record);
  void add_to_head(ByteView bytes);
  [[nodiscard]] bool head_ends_switch() const;
  [[nodiscard]] std::uint64_t segment_end(std::uint64_t position) const;
  void assemble(ByteView bytes);
  void deliver(ByteView bytes, std::uint64_t start, std::uint32_t length, std::uint32_t body_crc,
               std::uint64_t end, const OnRecord& on_record);
  void stop_at(WalStopReason reason, std::uint64_t at, std::string text);
  [[nodiscard]] bool damaged_record(std::uint64_t at, const std::string& why);

  const std::uint16_t magic_;
  const std::uint64_t segment_bytes_;
  const std::size_t page_bytes_;
  std::uint64_t position_;
  std::uint64_t end_;
  const std::uint32_t timeline_max_;
  std::uint32_t timeline_ = 0;  // of the last page
  bool first_page_ = true;
  bool switched_ = false;       // the rest of the segment is not used
  std::uint64_t previous_ = 0;  // the last record's start; 0: not known
  WalHead head_;
  bool in_record_ = false;
  Assembly assembly_;
  std::uint64_t overwritten_ = 0;  // the record that the next one has to name
  std::optional<WalStop> stop_;
};

}  // namespace walvault
